//! Running the binary, with nothing of this machine's configuration and with a deadline.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Longer than any `--timeout` the tests use; who needs more hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `paasta` with the given arguments.
pub(crate) fn paasta(args: &[&str]) -> Ran {
    paasta_with(args, &[], "")
}

/// Runs `paasta` in a directory, with environment variables.
pub(crate) fn paasta_in(directory: &Path, args: &[&str], env: &[(&str, &str)]) -> Ran {
    run(directory, args, env, "")
}

/// Runs `paasta` with environment variables and standard input.
pub(crate) fn paasta_with(args: &[&str], env: &[(&str, &str)], stdin: &str) -> Ran {
    run(Path::new("."), args, env, stdin)
}

fn run(directory: &Path, args: &[&str], env: &[(&str, &str)], stdin: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_paasta"));
    command.current_dir(directory);
    for name in [
        "PAASTA_COORDINATORS",
        "PAASTA_CONTEXT",
        "COLUMNS",
        "NO_COLOR",
    ] {
        command.env_remove(name);
    }
    command
        .env("PAASTA_SYSTEM_CONFIG_DIR", "/nonexistent/paasta")
        .env("XDG_CONFIG_HOME", "/nonexistent/config")
        .env("TZ", "UTC");
    command.args(args).envs(env.iter().copied());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("start paasta");
    let mut input = child.stdin.take().expect("its standard input is a pipe");
    // A command that does not read its input closes the pipe early.
    let _ = input.write_all(stdin.as_bytes());
    drop(input);
    let (send, received) = mpsc::sync_channel(1);
    thread::spawn(move || send.send(child.wait_with_output()));
    let output = received
        .recv_timeout(DEADLINE)
        .expect("paasta ends in time")
        .expect("its output");
    Ran {
        code: output.status.code().expect("it exits by itself"),
        stdout: String::from_utf8(output.stdout).expect("its output is text"),
        stderr: String::from_utf8(output.stderr).expect("its errors are text"),
    }
}

impl Ran {
    /// Checks the exit code; shows everything when it is another.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// The output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
