//! An alert for a program of the operator's: one run for each, the event on its standard input.

use std::{io, process::Stdio};

use tokio::{io::AsyncWriteExt, process::Command};

use super::output::DeliveryError;

/// How much of what it complains about is told, in bytes.
const STDERR_BYTES_MAX: usize = 300;

/// Runs `argv` with `json` and a line's end on its standard input; dropped, it is killed.
pub(super) async fn send(argv: &[String], json: &str) -> Result<(), DeliveryError> {
    let (program, arguments) = argv.split_first().ok_or_else(|| DeliveryError::Start {
        program: String::new(),
        source: io::ErrorKind::InvalidInput.into(),
    })?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| DeliveryError::Start {
            program: program.clone(),
            source,
        })?;
    let input = child.stdin.take();
    let line = format!("{json}\n");
    let feed = async move {
        if let Some(mut input) = input {
            // A program that does not read what it is told, and says that all is well, is content.
            let _ = input.write_all(line.as_bytes()).await;
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output?;
    if output.status.success() {
        return Ok(());
    }
    let mut stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    stderr.truncate(stderr.floor_char_boundary(STDERR_BYTES_MAX));
    Err(DeliveryError::Ended {
        program: program.clone(),
        status: output.status,
        stderr,
    })
}
