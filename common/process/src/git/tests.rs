//! Against real repositories, and against remotes that fail, hang or lie.

use std::{
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

#[tokio::test]
async fn branches_and_tags_are_told_with_the_sha_of_their_commit() {
    let directory = tempfile::tempdir().unwrap();
    let (bare, clone) = repository(directory.path());
    let url = bare.to_string_lossy().into_owned();
    assert!(ls_remote(&url, LIMIT).await.unwrap().is_empty());
    let first = commit(&clone, "one");
    git(
        &clone,
        &["push", "-q", "origin", "HEAD:refs/heads/paasta-prod.main"],
    );
    let second = commit(&clone, "two");
    git(&clone, &["tag", "light"]);
    git(&clone, &["tag", "-a", "-m", "x", "annotated"]);
    git(&clone, &["push", "-q", "origin", "light", "annotated"]);
    for url in [url.clone(), format!("file://{url}")] {
        let refs = ls_remote(&url, LIMIT).await.unwrap();
        let expected = [
            ("refs/heads/paasta-prod.main", &first),
            ("refs/tags/annotated", &second),
            ("refs/tags/light", &second),
        ];
        let expected = expected.map(|(name, sha)| (name.to_owned(), sha.clone()));
        assert_eq!(refs, BTreeMap::from(expected));
    }
    let error = ls_remote_within(&url, LIMIT, 100).await.unwrap_err();
    assert!(matches!(error, GitError::TooMuch { .. }), "{error}");
}

#[tokio::test]
async fn a_failure_is_told_in_gits_own_words() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none.git");
    let error = ls_remote(&missing.to_string_lossy(), LIMIT)
        .await
        .unwrap_err();
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
    let error = ls_remote(&shell, LIMIT).await.unwrap_err();
    assert!(matches!(error, GitError::Failed { .. }), "{error}");
    let option = format!("--upload-pack=touch {}", trap.display());
    for url in [option.as_str(), "", "a\nb"] {
        let error = ls_remote(url, LIMIT).await.unwrap_err();
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
    assert_eq!(refs("u", &fine).unwrap().len(), 1);
    for bad in ["<html>", "abc\trefs/heads/x", &"z".repeat(40)] {
        let error = refs("u", &format!("{fine}{bad}\n")).unwrap_err();
        assert!(matches!(error, GitError::Line { .. }), "{error}");
    }
    let peeled = format!("{}\trefs/tags/t\n{sha}\trefs/tags/t^{{}}\n", "b".repeat(40));
    assert_eq!(refs("u", &peeled).unwrap()["refs/tags/t"], sha);
    assert_eq!(words(b"a\n\n  b \n"), "a; b");
}
