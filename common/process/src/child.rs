//! Running somebody else's program in the foreground, as `make` or `docker`: what it writes goes
//! where ours goes, line by line as it comes; it has a deadline; an interrupt ends it with all that
//! it started. Not here: programs whose answer is read ([`crate::git`]).

use std::{io, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    time,
};

/// How long a program that was told to end may take before it is killed.
const END_LIMIT: Duration = Duration::from_secs(10);

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this exit code.
    Exited(i32),
    /// Somebody's signal, of this number, ended it.
    Killed(i32),
    /// It was still running at its deadline and was ended.
    TimedOut,
    /// We were told to end (SIGINT, SIGTERM), and so was it.
    Interrupted,
}

impl Ended {
    /// Whether it ended by itself with exit code 0.
    pub fn ok(self) -> bool {
        self == Self::Exited(0)
    }
}

/// Runs the program to its end, or for `limit` at the longest. It reads nothing from us: a program
/// that asks a question would wait for ever in a pipeline.
///
/// # Errors
/// It cannot be started.
pub async fn run(command: &mut Command, limit: Duration) -> io::Result<Ended> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // A group of its own: what it starts ends with it, and a Ctrl-C reaches it once, from here.
    let mut child = command
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    tokio::select! {
        // A process that has ended has ended, even in the moment of its deadline.
        biased;
        status = child.wait() => return Ok(ended(status?)),
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = time::sleep(limit) => {
            end(&mut child).await?;
            return Ok(Ended::TimedOut);
        }
    }
    end(&mut child).await?;
    Ok(Ended::Interrupted)
}

fn ended(status: std::process::ExitStatus) -> Ended {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exited(code),
        (None, number) => Ended::Killed(number.unwrap_or_default()),
    }
}

/// Tells the program's group to end, and kills what does not.
async fn end(child: &mut Child) -> io::Result<()> {
    tell(child, Signal::SIGTERM);
    if time::timeout(END_LIMIT, child.wait()).await.is_err() {
        tell(child, Signal::SIGKILL);
        child.wait().await?;
    }
    Ok(())
}

fn tell(child: &Child, number: Signal) {
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = group
        && let Err(error) = killpg(Pid::from_raw(id), number)
    {
        tracing::debug!(%error, "a program's group is gone already");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn ends_are_told_apart() {
        let long = Duration::from_secs(60);
        for (script, expected) in [
            ("exit 0", Ended::Exited(0)),
            ("exit 7", Ended::Exited(7)),
            ("kill -9 $$", Ended::Killed(9)),
            // Nothing comes from our standard input.
            ("read line && exit 1; exit 0", Ended::Exited(0)),
        ] {
            let found = run(&mut shell(script), long).await.unwrap();
            assert_eq!(found, expected, "{script}");
        }
        let missing = run(&mut Command::new("/nonexistent/program"), long).await;
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_deadline_ends_it_and_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let found = run(&mut shell(&script), Duration::from_millis(500))
            .await
            .unwrap();
        assert_eq!(found, Ended::TimedOut);
        let started = std::fs::read_to_string(&file).unwrap();
        let pid = Pid::from_raw(started.trim().parse().unwrap());
        // Nobody waits for it any more but init, which may take a moment.
        let mut look = time::interval(Duration::from_millis(20));
        let gone = time::timeout(Duration::from_secs(10), async {
            while nix::sys::signal::kill(pid, None).is_ok() && !zombie(pid) {
                look.tick().await;
            }
        });
        gone.await.expect("what it started has ended, too");
    }

    fn zombie(pid: Pid) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with('Z')
    }
}
