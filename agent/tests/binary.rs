//! The program itself, as an operator starts it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

fn agent(state_dir: &Path, verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_paasta-agent"));
    command
        .arg(verb)
        .args([
            "--host-id",
            "host1",
            "--address",
            "10.0.0.1",
            "--port-range",
            "31000-31010",
        ])
        .args(["--docker-socket", "/nonexistent/docker.sock"])
        .args(["--http-listen", "127.0.0.1:0"])
        .args(["--coordinators", "127.0.0.1:1,127.0.0.1:2"])
        .args(["--pool", "blue", "--attribute", "habitat=a"])
        .arg("--state-dir")
        .arg(state_dir)
        .env(
            "PAASTA_SYSTEM_CONFIG_DIR",
            state_dir.join("no-such-directory"),
        );
    command
}

fn said(mut command: Command) -> (bool, String, String) {
    let output = command.output().unwrap();
    (
        output.status.success(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
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
    heard.recv_timeout(Duration::from_secs(20)).unwrap()
}

/// The address that the log says HTTP is served at.
fn http_address(log: &str) -> SocketAddr {
    let (_, rest) = log.split_once("http_listen=Some(").expect(log);
    rest.split_once(')').expect(log).0.parse().expect(log)
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let asked = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_runs_without_coordinators_and_without_dockerd_and_stops_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = agent(dir.path(), "run");
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let log = until_logged(&mut child, "container runtime degraded");
    let http = http_address(&log);
    assert!(get(http, "/healthz").starts_with("HTTP/1.1 200"));
    let ready = get(http, "/readyz");
    assert!(
        ready.starts_with("HTTP/1.1 503") && ready.contains("nothing new is begun"),
        "{ready}"
    );
    let metrics = get(http, "/metrics");
    for line in [
        "paasta_agent_runtime_degraded 1",
        "paasta_agent_session_connected 0",
        "paasta_agent_replicas{phase=\"running\"} 0",
        "paasta_agent_engine_failures_total{operation=\"start\",result=\"refused\"} 0",
        "paasta_agent_ledger_write_failures_total 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let failed = metrics.lines().find(|line| {
        line.starts_with("paasta_agent_engine_failures_total{operation=\"list\"")
            && !line.ends_with(" 0")
    });
    assert!(failed.is_some(), "{metrics}");
    let (failed, _, words) = said(agent(dir.path(), "run"));
    assert!(
        !failed && words.contains("in use by another agent"),
        "{words}"
    );
    let mut look = agent(dir.path(), "reap");
    look.arg("--dry-run");
    let (looked, names, words) = said(look);
    assert!(
        looked && names.contains("no assignment was ever accepted"),
        "{names} {words}"
    );
    kill(
        Pid::from_raw(child.id().try_into().unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn its_directory_is_its_owners_only_and_what_was_open_is_closed_with_a_line() {
    use std::{fs, os::unix::fs::PermissionsExt as _};
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    for (path, bits) in [("logs/a.b/1-1/stdout", 0o644), ("sandboxes/r1-1/f", 0o666)] {
        let path = state.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
    }
    let mut config = agent(&state, "run");
    let files = dir.path().join("etc");
    fs::create_dir(&files).unwrap();
    // Without quotes YAML reads a boolean.
    fs::write(files.join("a.yaml"), "agent: {http_listen: off}\n").unwrap();
    config.env("PAASTA_SYSTEM_CONFIG_DIR", &files);
    let words: Vec<_> = config.get_args().map(ToOwned::to_owned).collect();
    let mut command = Command::new(config.get_program());
    let listens = words
        .iter()
        .position(|word| word == "--http-listen")
        .unwrap();
    let rest = [&words[..listens], &words[listens + 2..]].concat();
    command.args(rest).env("PAASTA_SYSTEM_CONFIG_DIR", &files);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let log = until_logged(&mut child, "agent runs");
    assert!(log.contains("was open to other users"), "{log}");
    assert!(log.contains("http_listen=None"), "{log}");
    let mut waiting = vec![state.clone()];
    while let Some(path) = waiting.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
        if metadata.is_dir() && path != state.join("sandboxes") {
            waiting.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
    assert_eq!(
        mode(&state.join("sandboxes/r1-1/f")),
        0o666,
        "a container's own"
    );
    kill(
        Pid::from_raw(child.id().try_into().unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn it_explains_the_containers_of_an_assignment() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("assignment.json");
    let text = r#"{
        "fence": {"cluster_id": "c1", "epoch": 1, "term": 1, "generation": 1},
        "host": "host1",
        "replicas": {"7": {
            "instance": "hello.main", "app": "hello.main.git3f2a9c0d.config94232c5b",
            "spec": {"image": "r/services-hello:paasta-3f2a9c0d", "container_port": 8888,
                     "resources": {"cpus_milli": 1000, "mem_mb": 512}},
            "run": {"stop_grace_ms": 10000}, "want": "run"}}
    }"#;
    std::fs::write(&file, text).unwrap();
    let mut command = agent(dir.path(), "explain");
    command.arg("--assignment").arg(&file);
    let (explained, json, words) = said(command);
    assert!(explained, "{words}");
    let found: Value = serde_json::from_str(&json).unwrap();
    for (path, expected) in [
        ("/0/container/name", Value::from("paasta-hello.main-r7-1")),
        ("/0/container/cpu_shares", Value::from(1024)),
        ("/0/container/ports/0/host_port", Value::from(31_000)),
        ("/0/request/HostConfig/Privileged", Value::from(false)),
        ("/0/request/HostConfig/MemorySwap", Value::from(576 << 20)),
        (
            "/0/request/HostConfig/RestartPolicy/Name",
            Value::from("no"),
        ),
        ("/0/request/HostConfig/PidsLimit", Value::from(4096)),
        ("/0/docker_run/0", Value::from("docker")),
        (
            "/0/docker_run/2",
            Value::from("--name=paasta-hello.main-r7-1"),
        ),
    ] {
        assert_eq!(found.pointer(path), Some(&expected), "{path} in {json}");
    }
    std::fs::write(&file, "{}").unwrap();
    let mut command = agent(dir.path(), "explain");
    command.arg("--assignment").arg(&file);
    let (explained, _, words) = said(command);
    assert!(
        !explained && words.contains("is not an assignment"),
        "{words}"
    );
}

#[test]
fn what_can_not_be_understood_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (flag, value, named) in [
        ("--port-range", "5-1", "FIRST-LAST"),
        ("--attribute", "x", "KEY=VALUE"),
        ("--config-dir", "/nonexistent", "/nonexistent"),
        ("--http-listen", "0.0.0.0:7403", "agent.http_listen"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_paasta-agent"));
        command
            .args(["run", "--state-dir"])
            .arg(dir.path())
            .args([flag, value]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut words = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut words)
            .unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(words.contains(named), "{flag} {value}: {words}");
    }
}

#[test]
fn check_names_what_is_missing_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let (can_run, out, words) = said(agent(&state, "check"));
    // Without dockerd and coordinators the agent runs, and waits for them.
    assert!(can_run, "{out}{words}");
    for part in [
        "✓ configuration  host host1",
        "! certificate",
        "! docker         /nonexistent/docker.sock: ",
        "Next: systemctl start docker",
        "! coordinator    coordinator 127.0.0.1:1 cannot be reached",
        "paasta-agent join --token",
    ] {
        assert!(out.contains(part), "{part:?} in\n{out}");
    }
    let mut strict = agent(&state, "check");
    strict.args(["--strict", "--json"]);
    let (can_run, out, _) = said(strict);
    assert!(!can_run, "{out}");
    let found: Value = serde_json::from_str(&out).unwrap();
    let docker = found.as_array().unwrap().iter();
    let docker = docker.filter(|one| one["what"] == "docker" && one["verdict"] == "warning");
    assert_eq!(docker.count(), 1, "{out}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (yaml, part) in [
        (
            format!("agent: {{http_listen: \"{address}\"}}\n"),
            "is in use by ",
        ),
        ("agent: {port_range: 7}\n".to_owned(), "agent.port_range"),
    ] {
        let etc = dir.path().join("etc");
        std::fs::create_dir_all(&etc).unwrap();
        std::fs::write(etc.join("paasta.yaml"), yaml).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_paasta-agent"));
        command.args(["check", "--host-id", "host1", "--address", "10.0.0.1"]);
        command.args(["--coordinators", "127.0.0.1:1"]);
        command.arg("--config-dir").arg(&etc);
        command.arg("--state-dir").arg(&state);
        let (can_run, out, _) = said(command);
        let bad = out.lines().find(|line| line.starts_with("✗ "));
        assert!(
            !can_run && bad.is_some_and(|line| line.contains(part)),
            "{part}: {out}"
        );
    }
}
