//! Commands inside containers. One at a time in each, killed with all that they started when their
//! time is up: dockerd itself leaves them running when nobody listens any more.
//!
//! Each has a variable of its own in its environment, which what it starts inherits: that is how
//! its processes are known among those of the container.

use std::{
    collections::BTreeMap,
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bollard::{exec::StartExecResults, models::ExecConfig};
use futures_util::StreamExt;
use paasta_process::simulated;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{DockerEngine, processes, told};
use crate::engine::{EngineError, Executed};

/// Marks the processes of one command.
const MARK: &str = "PAASTA_HEALTHCHECK";
/// How much of the end of the output is kept, bytes.
const TAIL_MAX: usize = 4 << 10;
/// How much of the last line is told, bytes.
const LINE_MAX: usize = 200;
/// How long the daemon may take to say how a command stands, or that a killed one has ended.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);
/// How often it is asked whether a killed one has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Containers that are remembered, at most; a forgotten one is looked at again.
const REMEMBERED_MAX: usize = 4_096;

/// What is known of the commands of each container.
#[derive(Default)]
pub(super) struct Checks {
    containers: Mutex<BTreeMap<String, Option<Outstanding>>>,
    next: AtomicU64,
}

/// A command that began and whose end was not seen.
#[derive(Debug, Clone)]
struct Outstanding {
    exec: String,
    mark: String,
}

impl Checks {
    /// A mark that no other command has, of this process or another.
    pub(super) fn mark(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let now = jiff::Timestamp::now().as_millisecond();
        format!("{}-{now}-{number}", process::id())
    }

    fn is_known(&self, container: &str) -> bool {
        self.containers.lock().contains_key(container)
    }

    fn outstanding(&self, container: &str) -> Option<Outstanding> {
        self.containers.lock().get(container).cloned().flatten()
    }

    fn set(&self, container: &str, outstanding: Option<Outstanding>) {
        let mut containers = self.containers.lock();
        if containers.len() >= REMEMBERED_MAX && !containers.contains_key(container) {
            containers.retain(|_, held| held.is_some());
            if containers.len() >= REMEMBERED_MAX {
                containers.clear();
            }
        }
        containers.insert(container.to_owned(), outstanding);
    }
}

impl DockerEngine {
    /// Runs a shell command inside the container, for `patience` at most.
    pub(super) async fn check(
        &self,
        container: &str,
        command: &str,
        patience: Duration,
    ) -> Result<Executed, EngineError> {
        let until = Instant::now() + patience;
        if !self.checks.is_known(container) {
            self.end_former(container).await?;
            self.checks.set(container, None);
        }
        if let Some(before) = self.checks.outstanding(container) {
            self.end(container, &before).await?;
        }
        let mark = self.checks.mark();
        let config = ExecConfig {
            cmd: Some(["/bin/sh", "-c", command].map(str::to_owned).to_vec()),
            env: Some(vec![format!("{MARK}={mark}")]),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let silent = |_| EngineError::Silent(format!("nothing within {patience:?}"));
        let client = self.client().await?;
        let created = timeout_at(until, client.create_exec(container, config)).await;
        let exec = created.map_err(silent)?.map_err(told)?.id;
        let outstanding = Outstanding {
            exec: exec.clone(),
            mark,
        };
        self.checks.set(container, Some(outstanding.clone()));
        let mut tail = Vec::new();
        let ran = timeout_at(until, async {
            let started = client.start_exec(&exec, None).await.map_err(told)?;
            if let StartExecResults::Attached { mut output, .. } = started {
                // Read to the end, which is when the command has ended.
                while let Some(chunk) = output.next().await {
                    keep(&mut tail, &chunk.map_err(told)?.into_bytes());
                }
            }
            // It may have closed its outputs and go on.
            loop {
                let state = client.inspect_exec(&exec).await.map_err(told)?;
                if state.running != Some(true) {
                    return Ok(state.exit_code);
                }
                sleep(LOOK_EVERY).await;
            }
        });
        let code = match ran.await {
            Ok(Ok(Some(code))) => {
                self.checks.set(container, None);
                Some(code)
            }
            Ok(Ok(None)) => {
                let words = "the command has no exit code".to_owned();
                return Err(EngineError::Silent(words));
            }
            // Whether it began is not known: the next one looks first.
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                self.end(container, &outstanding).await?;
                None
            }
        };
        Ok(Executed {
            code,
            last_line: last_line(&tail),
        })
    }

    /// Kills a command with all that it started, and waits until the daemon has seen its end.
    async fn end(&self, container: &str, command: &Outstanding) -> Result<(), EngineError> {
        if !self.runs(&command.exec).await? {
            self.checks.set(container, None);
            return Ok(());
        }
        let (of, mark) = (container.to_owned(), command.mark.clone());
        let killed = simulated::blocking(move || processes::kill_marked(&of, MARK, &mark)).await;
        if let Ok(Err(error)) = &killed {
            tracing::warn!(container, %error, "a health command that timed out cannot be killed");
        }
        let until = Instant::now() + LOOK_PATIENCE;
        while self.runs(&command.exec).await? {
            if Instant::now() >= until {
                let words = "the health command before still runs and cannot be killed from this host; no other is begun";
                return Err(EngineError::Refused(words.to_owned()));
            }
            sleep(LOOK_EVERY).await;
        }
        self.checks.set(container, None);
        Ok(())
    }

    /// Whether the daemon says that a command runs.
    async fn runs(&self, exec: &str) -> Result<bool, EngineError> {
        let client = self.client().await?;
        let asked = timeout(LOOK_PATIENCE, client.inspect_exec(exec)).await;
        let asked = asked
            .map_err(|_| EngineError::Silent(format!("nothing within {LOOK_PATIENCE:?}")))?
            .map_err(told);
        match asked {
            Ok(found) => Ok(found.running.unwrap_or(false)),
            Err(EngineError::Missing(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends the commands that an agent before this one began and did not see end.
    async fn end_former(&self, container: &str) -> Result<(), EngineError> {
        let client = self.client().await?;
        let found = timeout(LOOK_PATIENCE, client.inspect_container(container, None)).await;
        let found = found
            .map_err(|_| EngineError::Silent(format!("nothing within {LOOK_PATIENCE:?}")))?
            .map_err(told)?;
        for exec in found.exec_ids.unwrap_or_default() {
            let asked = timeout(LOOK_PATIENCE, client.inspect_exec(&exec)).await;
            let Ok(Ok(state)) = asked else { continue };
            let pid = state.pid.and_then(|pid| u32::try_from(pid).ok());
            let Some(pid) = pid.filter(|pid| state.running == Some(true) && *pid > 0) else {
                continue;
            };
            // Somebody's `docker exec` has no mark.
            let mark = simulated::blocking(move || processes::variable(pid, MARK)).await;
            if let Ok(Some(mark)) = mark {
                tracing::info!(container, "ending a health command of the agent before");
                self.end(container, &Outstanding { exec, mark }).await?;
            }
        }
        Ok(())
    }
}

/// Keeps the end of what was written.
fn keep(tail: &mut Vec<u8>, chunk: &[u8]) {
    tail.extend_from_slice(chunk);
    if tail.len() > 2 * TAIL_MAX {
        tail.drain(..tail.len() - TAIL_MAX);
    }
}

/// The last line that has something in it, without what is no text.
fn last_line(tail: &[u8]) -> String {
    let text = String::from_utf8_lossy(tail);
    let clean = |line: &str| line.replace(|c: char| c.is_control(), "").trim().to_owned();
    let last = text.lines().rev().map(clean).find(|line| !line.is_empty());
    let mut last = last.unwrap_or_default();
    if last.len() > LINE_MAX {
        last.truncate(last.floor_char_boundary(LINE_MAX));
        last.push_str("...");
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_kept_and_shortened_whatever_is_written() {
        let mut tail = Vec::new();
        for number in 0..100_000 {
            keep(&mut tail, format!("line {number}\n").as_bytes());
        }
        assert!(tail.len() <= 2 * TAIL_MAX);
        assert_eq!(last_line(&tail), "line 99999");
        assert_eq!(last_line(b"first\nsecond\x1b[31m\n\n  \n"), "second[31m");
        assert_eq!(last_line(b"\xff\xfe\n").chars().count(), 2);
        assert_eq!(last_line(b""), "");
        let long = last_line("\u{e9}".repeat(500).as_bytes());
        assert!(
            long.ends_with("...") && long.len() <= LINE_MAX + 3,
            "{long}"
        );
    }

    #[test]
    fn what_is_remembered_of_containers_is_bounded() {
        let checks = Checks::default();
        for number in 0..3 * REMEMBERED_MAX {
            checks.set(&number.to_string(), None);
        }
        assert!(checks.containers.lock().len() <= REMEMBERED_MAX);
    }
}
