//! The program itself, as an operator starts it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

fn coordinator(config: &Path, verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_paasta-coordinator"));
    command.args([verb, "--node-id", "1", "--config-dir"]);
    command.arg(config);
    command
}

fn config(dir: &Path, files: &[(&str, &str)]) -> std::path::PathBuf {
    let at = dir.join("etc");
    let _ = fs::remove_dir_all(&at);
    fs::create_dir(&at).unwrap();
    for (name, text) in files {
        fs::write(at.join(name), text).unwrap();
    }
    at
}

/// Reads its log until a line holds the text; returns what was logged until then.
fn until_logged(child: &mut Child, text: &'static str) -> String {
    let log = BufReader::new(child.stderr.take().unwrap());
    let (found, heard) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut said = String::new();
        for line in log.lines().map_while(Result::ok) {
            said.push_str(&line);
            if line.contains(text) {
                let _ = found.try_send(std::mem::take(&mut said));
            }
        }
    });
    heard.recv_timeout(Duration::from_secs(30)).unwrap()
}

#[test]
fn check_config_wants_one_cluster() {
    let dir = tempfile::tempdir().unwrap();
    for (files, fine, words) in [
        (&[("a.yaml", "cluster: prod\n")][..], true, ""),
        (&[("a.yaml", "soa_dir: /a\n")], false, "cluster: is not set"),
        (&[("a.yaml", "cluster:\n")], false, "cluster"),
        (
            &[("a.yaml", "cluster: a\n"), ("b.yaml", "cluster: b\n")],
            false,
            "cluster: is given twice",
        ),
        (
            &[("a.yaml", "cluster: a\ncluster: b\n")],
            false,
            "given twice: first at line 1",
        ),
        (
            &[("a.yaml", "cluster: a\ncoordinator: {http_listen: off}\n")],
            true,
            "",
        ),
        (
            &[("a.yaml", "cluster: a\ncoordinator: {http_listen: on}\n")],
            false,
            "coordinator.http_listen: expected IP:PORT, or off",
        ),
    ] {
        let at = config(dir.path(), files);
        let output = coordinator(&at, "check-config").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.success(), fine, "{files:?}: {said}");
        assert!(said.contains(words), "{files:?}: {said}");
    }
}

#[test]
fn its_data_is_its_owners_only_and_off_is_off() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir_all(data.join("snapshots")).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(dir.path().join("soa")).unwrap();
    let at = config(
        dir.path(),
        &[("a.yaml", "cluster: prod\ncoordinator: {http_listen: off}\n")],
    );
    let mut command = coordinator(&at, "run");
    command.args(["--listen", "127.0.0.1:0", "--advertise", "127.0.0.1:1"]);
    command
        .arg("--data-dir")
        .arg(&data)
        .arg("--soa-dir")
        .arg(dir.path().join("soa"));
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let log = until_logged(&mut child, "coordinator runs");
    assert!(log.contains("was open to other users"), "{log}");
    assert!(log.contains("http_listen=None"), "{log}");
    // The store is open when the process says that it is ready to be stopped.
    let mut files = 0;
    for _ in 0..200 {
        files = check(&data);
        if files > 3 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(files > 3, "a store was made: {files}");
    kill(
        Pid::from_raw(child.id().try_into().unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert!(child.wait().unwrap().success());
    check(&data);
}

/// Every directory 0700, every file 0600; returns how many files there are.
fn check(root: &Path) -> usize {
    let (mut waiting, mut files) = (vec![root.to_owned()], 0);
    while let Some(path) = waiting.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        let mode = metadata.permissions().mode() & 0o777;
        assert_eq!(mode, expected, "{}", path.display());
        match metadata.is_dir() {
            true => waiting.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .flatten()
                    .map(|entry| entry.path()),
            ),
            false => files += 1,
        }
    }
    files
}

#[test]
fn check_names_what_is_missing_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (data, soa) = (dir.path().join("data"), dir.path().join("soa"));
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let yaml = format!(
        "cluster: prod\nsoa_dir: {}\ncoordinator: {{listen: \"127.0.0.1:0\", http_listen: off, data_dir: {}}}\n",
        soa.display(),
        data.display()
    );
    let at = config(dir.path(), &[("a.yaml", &yaml)]);
    let output = coordinator(&at, "check").output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}");
    for part in [
        "✓ configuration    coordinator 1 of cluster prod",
        "! certificate      this coordinator has none",
        "others can read it",
        &format!("Next: chmod 0700 {}", data.display()),
        &format!("! yelpsoa-configs  {}: ", soa.display()),
        "✓ git ",
    ] {
        assert!(out.contains(part), "{part:?} in\n{out}");
    }
    let strict = coordinator(&at, "check").arg("--strict").output().unwrap();
    assert_eq!(strict.status.code(), Some(1));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("--listen={}", taken.local_addr().unwrap());
    let output = coordinator(&at, "check").arg(listen).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let holder = format!("(pid {})", std::process::id());
    assert!(
        output.status.code() == Some(1) && out.contains(&holder),
        "{out}"
    );

    let at = config(
        dir.path(),
        &[("a.yaml", "cluster: prod\ncoordinator: {listen: 7}\n")],
    );
    let output = coordinator(&at, "check").output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.starts_with("✗ configuration  "), "{out}");
}
