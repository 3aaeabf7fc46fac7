//! What a person sees of an unhappy replica: its row is red, on a real terminal, from what real
//! coordinators say.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use paasta_proto::v1::ReplicaClass;
use paasta_tests::{
    cluster::{binaries::binaries, operator::Operator},
    run::bounded,
};

use super::stage::Stage;

const LIMIT: Duration = Duration::from_secs(60);
const COMMAND_LIMIT: Duration = Duration::from_secs(30);
/// Red, as one of eight colours or of 256.
const RED: [&str; 2] = ["\u{1b}[31m", "\u{1b}[38;5;1m"];

/// Lets all health checks fail and looks until a replica is unhappy before and after it is shown.
pub(crate) fn unhappy_is_red(stage: &Stage) -> Result<()> {
    let program = binaries()?.join("paasta");
    let addresses = stage.addresses();
    let operator = Operator::new(&program, &stage.arena.config_dir(1), &addresses);
    stage.fail_checks();
    let words = format!(
        "{} --config-dir {} --coordinators {} status -s hello -v",
        program.display(),
        stage.arena.config_dir(1).display(),
        addresses.join(",")
    );
    let deadline = Instant::now() + LIMIT;
    loop {
        let before = unhappy(&operator)?;
        let text = on_terminal(&words)?;
        let after = unhappy(&operator)?;
        if let Some(id) = before.iter().find(|id| after.contains(id)) {
            let row = text.lines().find(|line| {
                let first = line.split_whitespace().next();
                first == Some(id.as_str())
            });
            let row = row.with_context(|| format!("{id} is not shown:\n{text}"))?;
            ensure!(
                RED.iter().any(|red| row.contains(red)),
                "the row of {id} is not red: {row:?}"
            );
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "no replica stays unhappy:\n{text}"
        );
    }
}

fn unhappy(operator: &Operator) -> Result<Vec<String>> {
    let status = operator.status("hello.main")?;
    let unhappy = status
        .replicas
        .iter()
        .filter(|replica| replica.class() == ReplicaClass::Unhappy);
    Ok(unhappy.map(|replica| replica.id.clone()).collect())
}

/// What a command writes when its output is a terminal.
fn on_terminal(words: &str) -> Result<String> {
    let mut command: Command = bounded(COMMAND_LIMIT, "script");
    command
        .args(["--quiet", "--command", words, "/dev/null"])
        .env("TERM", "xterm")
        .env("COLUMNS", "160")
        .env_remove("NO_COLOR")
        // A terminal of the test itself would stop it, as it is no program of the foreground.
        .stdin(Stdio::null());
    let output = command.output().context("cannot run script")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
