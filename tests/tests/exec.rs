//! `paasta exec` on a real dockerd: three coordinators with TLS, and two agents that share the
//! machine's dockerd; one of them runs commands.

#[path = "exec/scene.rs"]
mod scene;

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use paasta_tests::run::eventually;

use scene::{OFF, ON, Scene, WEB};

const LIMIT: Duration = Duration::from_secs(60);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command to its end with this standard input.
fn ran(mut command: Command, stdin: &[u8]) -> Result<Output> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut input = child.stdin.take().context("standard input")?;
    let bytes = stdin.to_vec();
    let feeding = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output()?;
    // A command that does not read its input is no fault.
    let _ = feeding.join();
    Ok(output)
}

#[test]
fn a_command_runs_in_a_container_as_its_caller_sees_it() -> Result<()> {
    let scene = Scene::up()?;
    outputs(&scene)?;
    refusals(&scene)?;
    terminal(&scene)?;
    flood(&scene)?;
    gone(&scene)?;
    leader_change(&scene)?;
    too_long(&scene)
}

fn outputs(scene: &Scene) -> Result<()> {
    // At the leader, and by way of the others.
    for id in 1..=3 {
        let script = "echo out; echo err >&2; exit 7";
        let said = ran(scene.exec("admin/alice", id, &["sh", "-c", script])?, b"")?;
        ensure!(said.status.code() == Some(7), "{said:?}");
        ensure!(
            text(&said.stdout) == "out\n" && text(&said.stderr) == "err\n",
            "{said:?}"
        );
        let said = ran(scene.exec("deployer/ci", id, &["true"])?, b"")?;
        ensure!(said.status.code() == Some(0), "{said:?}");
    }
    // Bytes, more than there is room for at once, both ways.
    let bytes: Vec<u8> = (0..1_500_000_u32).map(|at| (at % 251) as u8).collect();
    let said = ran(scene.exec("admin/alice", 1, &["cat"])?, &bytes)?;
    ensure!(
        said.status.success() && said.stdout == bytes,
        "{} bytes came back",
        said.stdout.len()
    );
    // Words are not read by a shell.
    let odd = "$(id) ; * 'x' \"y\"";
    let words = ["sh", "-c", "printf %s \"$1\"", "sh", odd];
    let said = ran(scene.exec("admin/alice", 2, &words)?, b"")?;
    ensure!(text(&said.stdout) == odd, "{said:?}");
    let said = ran(scene.exec("admin/alice", 1, &["no-such-program"])?, b"")?;
    ensure!(!said.status.success(), "{said:?}");
    // By name.
    let (replica, host) = scene.replica_on(ON)?;
    let options = ["-H", &host, "--replica", &replica];
    let said = ran(scene.exec_with("admin/alice", 1, &options, &["true"])?, b"")?;
    ensure!(said.status.success(), "{said:?}");
    let log = scene.logs()?;
    ensure!(
        log.contains("principal=\"deployer/ci\"") && log.contains("exit code 7"),
        "no record: {log}"
    );
    Ok(())
}

fn refusals(scene: &Scene) -> Result<()> {
    for id in 1..=3 {
        let said = ran(scene.exec("reader/bob", id, &["true"])?, b"")?;
        let words =
            "reader/bob may not call paasta.v1.Exec/Run: that takes the role admin or deployer";
        ensure!(
            !said.status.success() && text(&said.stderr).contains(words),
            "{said:?}"
        );
    }
    let (replica, _) = scene.replica_on(OFF)?;
    for (options, words) in [
        (vec!["-H", OFF], "agent.exec is not set there"),
        (vec!["--replica", &replica], "agent.exec is not set there"),
        (
            vec!["--replica", "r999"],
            "a replica r999 of web.i0 that runs is not known",
        ),
        (vec!["-H", "nowhere"], "on nowhere that runs is not known"),
        (vec!["--replica", "17"], "replica"),
    ] {
        let said = ran(scene.exec_with("admin/alice", 1, &options, &["true"])?, b"")?;
        ensure!(
            said.status.code() == Some(1) && text(&said.stderr).contains(words),
            "{options:?}: {said:?} instead of {words:?}"
        );
    }
    Ok(())
}

/// `-t` on a terminal of script(1).
fn terminal(scene: &Scene) -> Result<()> {
    let (line, shown) = (scene.line("admin/alice")?, scene.file("typescript"));
    let on_terminal = |script: &str, typed: &[u8]| {
        let line = format!("stty rows 33 cols 101; exec {line} -t -- sh -c '{script}'");
        let mut command = Command::new("timeout");
        command.args(["60", "script", "-qec", &line]).arg(&shown);
        ran(command, typed)
    };
    // The size comes after the start: a command may see it change.
    let said = on_terminal(
        "test -t 0 && test -t 1 && while [ \"$(stty size)\" = \"0 0\" ]; do sleep 0.1; done; stty size; read x; echo got-$x; exit 9",
        b"word\n",
    )?;
    let all = text(&said.stdout);
    ensure!(said.status.code() == Some(9), "{said:?}");
    ensure!(all.contains("33 101") && all.contains("got-word"), "{all}");
    // The interrupt is for the command, not for paasta.
    let script = "trap \"echo interrupted; exit 4\" INT; echo ready; while :; do sleep 1; done";
    let said = interrupted(&line, &shown, script)?;
    ensure!(said == Some(4), "exit code {said:?}");
    // Without a terminal it says so.
    let said = ran(scene.exec_with("admin/alice", 1, &["-t"], &["true"])?, b"")?;
    ensure!(
        text(&said.stderr).contains("-t takes a terminal"),
        "{said:?}"
    );
    Ok(())
}

/// Runs a script on a terminal and types an interrupt once it is ready; returns its exit code.
fn interrupted(line: &str, shown: &Path, script: &str) -> Result<Option<i32>> {
    let line = format!("exec {line} -t -- sh -c '{script}'");
    let mut command = Command::new("timeout");
    command.args(["60", "script", "-qec", &line]).arg(shown);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut output = child.stdout.take().context("standard output")?;
    let mut input = child.stdin.take().context("standard input")?;
    let (mut all, mut buffer) = (String::new(), [0; 4_096]);
    let mut typed = false;
    loop {
        let count = output.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        all.push_str(&text(&buffer[..count]));
        if !typed && all.contains("ready") {
            input.write_all(b"\x03")?;
            input.flush()?;
            typed = true;
        }
    }
    let code = child.wait()?.code();
    ensure!(all.contains("interrupted"), "{all}");
    Ok(code)
}

/// A command that writes without end to a caller that does not read costs no memory, and ends with
/// the caller.
fn flood(scene: &Scene) -> Result<()> {
    let script = "while :; do echo paasta-flood-paasta-flood-paasta-flood-paasta-flood; done";
    let mut command = scene.exec("admin/alice", 1, &["sh", "-c", script])?;
    let before = scene.memory_kib()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    eventually(LIMIT, "the flood runs", || {
        ensure!(scene.processes()?.contains("paasta-flood"));
        Ok(())
    })?;
    // The condition is that nothing goes on for a while: what it writes has nowhere to go.
    std::thread::sleep(Duration::from_secs(5));
    let after = scene.memory_kib()?;
    ensure!(
        after < before + (48 << 10),
        "{before} KiB became {after} KiB"
    );
    child.kill()?;
    child.wait()?;
    ends(scene, "paasta-flood")
}

/// What a command was is gone from the container.
fn ends(scene: &Scene, words: &str) -> Result<()> {
    eventually(LIMIT, &format!("{words} has ended"), || {
        let all = scene.processes()?;
        ensure!(!all.contains(words), "{all}");
        Ok(())
    })
}

/// Begins a command that sleeps, and does something to it.
fn meanwhile(scene: &Scene, mark: &str, act: impl FnOnce() -> Result<()>) -> Result<Output> {
    let script = format!("echo {mark}; sleep 1000; echo {mark}");
    let mut command = scene.exec("admin/alice", 1, &["sh", "-c", &script])?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn()?;
    eventually(LIMIT, "it runs", || {
        ensure!(scene.processes()?.contains(mark));
        Ok(())
    })?;
    act()?;
    Ok(child.wait_with_output()?)
}

fn gone(scene: &Scene) -> Result<()> {
    let said = meanwhile(scene, "mark-gone", || scene.kill_container())?;
    ensure!(!said.status.success(), "{said:?}");
    scene.settled()
}

fn leader_change(scene: &Scene) -> Result<()> {
    let said = meanwhile(scene, "mark-leader", || scene.transfer_leader())?;
    let words = text(&said.stderr);
    ensure!(
        said.status.code() == Some(1) && words.contains("the command broke off"),
        "{said:?}"
    );
    ensure!(words.contains("leader"), "{words}");
    ends(scene, "mark-leader")?;
    // The next one runs.
    eventually(LIMIT, "commands run again", || {
        let said = ran(scene.exec("admin/alice", 1, &["true"])?, b"")?;
        ensure!(said.status.success(), "{said:?}");
        Ok(())
    })
}

fn too_long(scene: &Scene) -> Result<()> {
    let said = meanwhile(scene, "mark-long", || Ok(()))?;
    let words = text(&said.stderr);
    ensure!(
        said.status.code() == Some(1) && words.contains("as long as agent.exec_max_seconds allows"),
        "{said:?}"
    );
    ends(scene, "mark-long")
}

#[test]
fn exec_is_off_unless_it_is_set() -> Result<()> {
    let cluster = scene::coordinators("")?;
    let pki = cluster.pki().context("TLS")?;
    let operator = cluster.operator.with(pki.files("admin/alice")?);
    let said = operator.paasta(&["exec", WEB, "--", "true"])?;
    ensure!(
        said.code == Some(1) && said.stderr.contains("coordinator.exec is not set"),
        "{said:?}"
    );
    Ok(())
}
