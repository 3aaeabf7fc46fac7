//! What is asked of docker about a local run while it lasts and when it is over.

use std::{process::Stdio, time::Duration};

use tokio::{process::Command, time};

use crate::terminal::note;

/// For a docker command that ends at once unless dockerd hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// Stops the container in its own time.
pub(super) async fn stop(name: &str, grace_ms: u64) {
    let seconds = grace_ms.div_ceil(1000);
    let limit = Duration::from_millis(grace_ms) + LIMIT;
    let words = [
        "stop".to_owned(),
        "--time".to_owned(),
        seconds.to_string(),
        name.to_owned(),
    ];
    // It may have ended by itself meanwhile: what counts is said when it is removed.
    let _ = output(&words.each_ref().map(String::as_str), limit).await;
}

/// Removes the container, and says how to if that fails.
pub(super) async fn remove(name: &str) {
    let removed = output(&["rm", "--force", "--volumes", name], LIMIT).await;
    match removed {
        Some((true, _)) => {}
        Some((false, said)) if said.contains("No such container") => {}
        _ => note(&format!(
            "the container {name} may still be there: docker rm --force {name}"
        )),
    }
}

/// The working directory that an image sets, if it is on this machine and sets one.
///
/// # Errors
/// The image is not on this machine, or docker does not say.
pub(super) async fn working_dir(image: &str) -> Result<Option<String>, String> {
    let words = [
        "image",
        "inspect",
        "--format",
        "{{.Config.WorkingDir}}",
        image,
    ];
    match output(&words, LIMIT).await {
        Some((true, said)) => Ok(Some(said.trim().to_owned()).filter(|dir| !dir.is_empty())),
        Some((false, said)) => Err(said.trim().to_owned()),
        None => Err("docker did not answer in time".to_owned()),
    }
}

/// Whether the kernel killed it for its memory.
pub(super) async fn out_of_memory(name: &str) -> bool {
    let asked = output(
        &["inspect", "--format", "{{.State.OOMKilled}}", name],
        LIMIT,
    )
    .await;
    asked.is_some_and(|(ok, said)| ok && said.trim() == "true")
}

/// Whether the command succeeds inside the container.
pub(super) async fn exec(name: &str, command: &str, limit: Duration) -> Result<(), String> {
    match output(&["exec", name, "/bin/sh", "-c", command], limit).await {
        Some((true, _)) => Ok(()),
        Some((false, said)) => Err(format!("the command failed: {}", said.trim())),
        None => Err("the command did not end in time".to_owned()),
    }
}

/// Whether docker succeeded, and all that it said; nothing when it did not answer in time.
async fn output(words: &[&str], limit: Duration) -> Option<(bool, String)> {
    let mut command = Command::new("docker");
    command.args(words).stdin(Stdio::null()).kill_on_drop(true);
    let output = time::timeout(limit, command.output()).await.ok()?.ok()?;
    let said = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}
