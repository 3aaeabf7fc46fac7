//! Against real repositories, and against remotes that fail, hang or lie.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    time::Instant,
};

use super::*;

const LIMIT: Duration = Duration::from_secs(60);

/// Runs git in `directory` and returns what it wrote.
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .args(["-c", "user.name=T", "-c", "user.email=t@example.com"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A bare repository below `directory` and a clone of it; returns both paths.
pub(crate) fn repository(directory: &Path) -> (PathBuf, PathBuf) {
    let (bare, clone) = (directory.join("remote.git"), directory.join("clone"));
    git(directory, &["init", "-q", "--bare", "remote.git"]);
    git(directory, &["init", "-q", "clone"]);
    git(
        &clone,
        &["remote", "add", "origin", &bare.to_string_lossy()],
    );
    (bare, clone)
}

/// Makes a commit and returns its sha.
pub(crate) fn commit(clone: &Path, message: &str) -> String {
    git(clone, &["commit", "-q", "--allow-empty", "-m", message]);
    git(clone, &["rev-parse", "HEAD"])
}

fn limit(error: &GitError) -> Option<Limit> {
    match error {
        GitError::Limit { limit, .. } => Some(*limit),
        _ => None,
    }
}

#[tokio::test]
async fn branches_and_tags_are_told_with_the_sha_of_their_commit() {
    let directory = tempfile::tempdir().unwrap();
    let (bare, clone) = repository(directory.path());
    let url = bare.to_string_lossy().into_owned();
    let asked = Url::new(&url);
    assert_eq!(ls_remote(&asked, LIMIT).await.unwrap(), Refs::default());
    let first = commit(&clone, "one");
    git(
        &clone,
        &["push", "-q", "origin", "HEAD:refs/heads/paasta-prod.main"],
    );
    let second = commit(&clone, "two");
    git(&clone, &["tag", "light"]);
    git(&clone, &["tag", "-a", "-m", "x", "annotated"]);
    git(&clone, &["push", "-q", "origin", "light", "annotated"]);
    let object = git(&clone, &["rev-parse", "refs/tags/annotated"]);
    for url in [url.clone(), format!("file://{url}")] {
        let refs = ls_remote(&Url::new(url), LIMIT).await.unwrap();
        let expected = [
            ("refs/heads/paasta-prod.main", &first),
            ("refs/tags/annotated", &second),
            ("refs/tags/light", &second),
        ];
        let expected = expected.map(|(name, sha)| (name.to_owned(), sha.clone()));
        assert_eq!(refs.tips, BTreeMap::from(expected));
        let peeled = BTreeMap::from([(object.clone(), second.clone())]);
        assert_eq!(refs.peeled, peeled);
    }
    let limits = Limits {
        output: 100,
        ..Limits::LOCAL
    };
    let error = ls_remote_limited(&asked, LIMIT, limits).await.unwrap_err();
    assert!(limit(&error) == Some(Limit::Output(100)), "{error}");
}

#[tokio::test]
async fn a_failure_is_told_in_gits_own_words() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none.git");
    let missing = Url::new(missing.to_string_lossy());
    let error = ls_remote(&missing, LIMIT).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("does not appear to be a git repository"),
        "{text}"
    );
    assert!(!text.contains('\n'), "{text}");
}

#[tokio::test]
async fn a_url_is_never_a_command() {
    let directory = tempfile::tempdir().unwrap();
    let trap = directory.path().join("trap");
    let shell = format!("ext::sh -c touch% {}", trap.display());
    let error = ls_remote(&Url::new(shell), LIMIT).await.unwrap_err();
    assert!(matches!(error, GitError::Failed { .. }), "{error}");
    let option = format!("--upload-pack=touch {}", trap.display());
    for url in [option.as_str(), "", "a\nb"] {
        let error = ls_remote(&Url::new(url), LIMIT).await.unwrap_err();
        assert!(matches!(error, GitError::Url { .. }), "{error}");
    }
    assert!(!trap.exists());
}

#[tokio::test]
async fn a_remote_that_hangs_is_given_up() {
    // Connections succeed and nothing ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("git://{}/x.git", silent.local_addr().unwrap());
    let started = Instant::now();
    let url = Url::new(url);
    let error = ls_remote(&url, Duration::from_millis(300))
        .await
        .unwrap_err();
    assert!(matches!(error, GitError::Timeout { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
    let (mut connection, _) = silent.accept().unwrap();
    // Git is gone: what it sent ends.
    connection.set_read_timeout(Some(LIMIT)).unwrap();
    io::copy(&mut connection, &mut io::sink()).unwrap();
}

#[test]
fn lines_that_are_no_refs_are_refused() {
    let sha = "a".repeat(40);
    let fine = format!("{sha}\trefs/heads/x\n");
    let url = Url::new("u");
    assert_eq!(refs(&url, &fine).unwrap().tips.len(), 1);
    for bad in ["<html>", "abc\trefs/heads/x", &"z".repeat(40)] {
        let error = refs(&url, &format!("{fine}{bad}\n")).unwrap_err();
        assert!(matches!(error, GitError::Line { .. }), "{error}");
    }
    let peeled = format!("{}\trefs/tags/t\n{sha}\trefs/tags/t^{{}}\n", "b".repeat(40));
    let read = refs(&url, &peeled).unwrap();
    assert_eq!(read.tips["refs/tags/t"], sha);
    assert_eq!(read.peeled["b".repeat(40).as_str()], sha);
    assert_eq!(call::words(b"a\n\n  b \n"), "a; b");
}

/// What a server of this test does with a request, the head of which it gets.
type Serve = fn(&str, &mut std::net::TcpStream) -> io::Result<()>;

/// An HTTP server for one test, a thread for each connection; returns `HOST:PORT`.
fn server(serve: Serve) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && connection.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                }
                // The client may have closed the connection.
                let _ = serve(&String::from_utf8_lossy(&head), &mut connection);
            });
        }
    });
    address
}

fn answer(connection: &mut std::net::TcpStream, status: &str) -> io::Result<()> {
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\
         WWW-Authenticate: Basic realm=x\r\nConnection: close\r\n\r\n"
    )
}

fn packet(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

/// Refs without an end, by the protocol that buffers them all.
fn refs_for_ever(_: &str, connection: &mut std::net::TcpStream) -> io::Result<()> {
    answer(connection, "200 OK")?;
    let sha = "a".repeat(40);
    write!(connection, "{}0000", packet("# service=git-upload-pack\n"))?;
    write!(
        connection,
        "{}",
        packet(&format!("{sha} refs/heads/x\0 \n"))
    )?;
    let line = packet(&format!("{sha} refs/tags/{}\n", "x".repeat(900)));
    let many = line.repeat(1_000);
    loop {
        connection.write_all(many.as_bytes())?;
    }
}

#[tokio::test]
async fn a_server_that_sends_for_ever_costs_one_answer() {
    let address = server(refs_for_ever);
    let url = Url::new(format!("http://bob:s3cr3t@{address}/x.git"));
    let started = Instant::now();
    let error = ls_remote(&url, LIMIT).await.unwrap_err();
    assert!(matches!(limit(&error), Some(Limit::Memory(_))), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&format!(
            "git ls-remote http://{address}/x.git used more than"
        )),
        "{text}"
    );
    println!("ended after {} ms", started.elapsed().as_millis());
    assert!(started.elapsed() < LIMIT);
}

#[tokio::test]
async fn memory_is_that_of_the_group_and_bounded_by_the_kernel_as_well() {
    let address = server(refs_for_ever);
    let url = Url::new(format!("http://{address}/x.git"));
    let narrow = Limits {
        memory: u64::MAX,
        process_memory: 64 * 1024 * 1024,
        ..Limits::REMOTE
    };
    let error = ls_remote_limited(&url, LIMIT, narrow).await.unwrap_err();
    assert_eq!(
        limit(&error),
        Some(Limit::Memory(64 * 1024 * 1024)),
        "{error}"
    );
}

#[tokio::test]
async fn a_dropped_call_ends_git_with_all_that_it_started() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::new(format!("http://{}/x.git", silent.local_addr().unwrap()));
    let asked = tokio::time::timeout(Duration::from_secs(3), ls_remote(&url, LIMIT));
    let (dropped, accepted) = tokio::join!(
        asked,
        tokio::task::spawn_blocking(move || silent.accept().unwrap())
    );
    assert!(dropped.is_err(), "nobody answered");
    let (mut connection, _) = accepted.unwrap();
    // It is not git itself that has this connection, but what git started for it.
    connection.set_read_timeout(Some(LIMIT)).unwrap();
    io::copy(&mut connection, &mut io::sink()).unwrap();
}

/// Says yes to the one login, and tells the arguments of every git that runs for it.
fn asks_who(head: &str, connection: &mut std::net::TcpStream) -> io::Result<()> {
    // "bob:s3c%r3t", as HTTP writes it.
    if !head.contains("Authorization: Basic Ym9iOnMzYyVyM3Q=") {
        return answer(connection, "401 Unauthorized");
    }
    answer(connection, "200 OK")?;
    let sha = "b".repeat(40);
    write!(connection, "{}0000", packet("# service=git-upload-pack\n"))?;
    // What runs now, while git waits for the rest.
    let seen = arguments(head.contains("/argv/"));
    write!(
        connection,
        "{}",
        packet(&format!("{sha} refs/heads/x\0 \n"))
    )?;
    for (at, line) in seen.iter().enumerate() {
        let name: String = line.chars().filter(char::is_ascii_alphanumeric).collect();
        write!(
            connection,
            "{}",
            packet(&format!("{sha} refs/tags/{at}-{name}\n"))
        )?;
    }
    write!(connection, "0000")
}

/// The command lines of all gits on this machine that speak of this test's path.
fn arguments(wanted: bool) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|one| std::fs::read(one.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines
        .filter(|line| wanted && line.contains("git") && line.contains("/argv/"))
        .collect()
}

#[tokio::test]
async fn a_login_works_and_is_in_no_arguments_and_no_words() {
    let address = server(asks_who);
    let url = Url::new(format!("http://bob:s3c%25r3t@{address}/argv/x.git"));
    let refs = ls_remote(&url, LIMIT).await.unwrap();
    let seen: Vec<&String> = refs.tips.keys().collect();
    assert!(seen.len() >= 2, "git's own helper was seen: {seen:?}");
    for line in &seen {
        assert!(!line.contains("s3c") && !line.contains("bob"), "{line}");
    }
    let url = Url::new(format!("http://bob:wr0ng@{address}/argv/x.git"));
    let error = ls_remote(&url, LIMIT).await.unwrap_err();
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains("wr0ng") && !text.contains("bob@"), "{text}");
        assert!(text.contains("Authentication failed"), "{text}");
    }
}

/// The limit is reached by a real git, and the error is one line that names it and the repository.
fn assert_reached(error: &GitError, expected: Limit, url: &Url, words: &str) {
    assert_eq!(limit(error), Some(expected), "{error}");
    let text = error.to_string();
    let begin = format!("git ls-remote {url} used more than {words} and was stopped");
    assert!(text.starts_with(&begin), "{text}");
    assert!(!text.contains('\n'), "{text}");
}

/// A finite answer: many refs, and an end.
fn many_refs(_: &str, connection: &mut std::net::TcpStream) -> io::Result<()> {
    answer(connection, "200 OK")?;
    let sha = "a".repeat(40);
    write!(connection, "{}0000", packet("# service=git-upload-pack\n"))?;
    let first = packet(&format!("{sha} refs/heads/x\0 \n"));
    write!(connection, "{first}")?;
    for number in 0..1_000 {
        let line = packet(&format!("{sha} refs/tags/v{number:04}\n"));
        write!(connection, "{line}")?;
    }
    write!(connection, "0000")
}

#[tokio::test]
async fn more_output_than_allowed_is_told_with_the_limit_and_the_repository() {
    let url = Url::new(format!("http://{}/x.git", server(many_refs)));
    // 1,000 lines of some 60 bytes each.
    let limits = |output| Limits {
        output,
        ..Limits::REMOTE
    };
    let error = ls_remote_limited(&url, LIMIT, limits(10_000)).await;
    let error = error.unwrap_err();
    assert_reached(&error, Limit::Output(10_000), &url, "10000 bytes of output");
    let refs = ls_remote_limited(&url, LIMIT, limits(100_000)).await;
    assert_eq!(refs.unwrap().tips.len(), 1_001);
}

#[tokio::test]
async fn more_processor_time_than_allowed_is_told_with_the_limit_and_the_repository() {
    let limits = Limits {
        cpu_seconds: 1,
        ..Limits::REMOTE
    };
    let url = Url::new("ssh://busy.example.com/x.git");
    let call = call(&url, limits);
    let mut git = call.command();
    // What stands for ssh computes for ever.
    git.env("GIT_SSH_COMMAND", "while :; do :; done; :");
    git.args(["ls-remote", "--", REMOTE]);
    let error = call.run(git).await.unwrap_err();
    assert_reached(&error, Limit::Cpu(1), &url, "1 s of processor time");
}

#[tokio::test]
async fn more_processes_than_allowed_are_told_with_the_limit_and_the_repository() {
    let url = Url::new("ssh://many.example.com/x.git");
    let call = call(&url, Limits::REMOTE);
    let mut git = call.command();
    let forks = "for n in 1 2 3 4 5 6 7 8 9 10; do sleep 60 & sleep 60 & sleep 60 & sleep 60 & \
                 done; wait; :";
    git.env("GIT_SSH_COMMAND", forks);
    git.args(["ls-remote", "--", REMOTE]);
    let started = Instant::now();
    let error = call.run(git).await.unwrap_err();
    assert_reached(&error, Limit::Processes(32), &url, "32 processes");
    assert!(started.elapsed() < Duration::from_secs(30));
}

fn call(url: &Url, limits: Limits) -> Call<'_> {
    Call {
        verb: "ls-remote",
        url,
        within: LIMIT,
        limits,
    }
}
