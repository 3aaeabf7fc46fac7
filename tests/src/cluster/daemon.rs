//! One process of paasta: started with a log file, signalled, waited for.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::run::eventually;

/// How much of a log is shown when something fails.
const TAIL_LINES: usize = 40;
/// A killed process is gone within this time.
const DEATH: Duration = Duration::from_secs(10);
/// Hierarchies in which processes are found again, as in `deploy/demo/hosts/processes.sh`.
const GROUP_ROOTS: [&str; 4] = [
    "/sys/fs/cgroup/pids",
    "/sys/fs/cgroup/systemd",
    "/sys/fs/cgroup/unified",
    "/sys/fs/cgroup",
];

/// A process that was started and not yet seen dead; dropped, it is killed.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `words` (a program and its arguments); both outputs are appended to `log`. The
    /// process sits in the cgroup `group` of the hosts, so that their `down` ends it even when
    /// the test itself was killed.
    pub fn start(name: &str, group: &str, words: &[String], log: &Path) -> Result<Self> {
        let root = GROUP_ROOTS
            .iter()
            .find(|root| Path::new(root).join("cgroup.procs").exists())
            .context("no cgroups are mounted: run deploy/demo/install.sh")?;
        let group = format!("{root}/paasta-hosts/{group}");
        let output = File::options().create(true).append(true).open(log)?;
        let child = Command::new("sh")
            .args([
                "-c",
                "mkdir -p \"$0\" && echo $$ >\"$0/cgroup.procs\" && exec \"$@\"",
                &group,
            ])
            .args(words)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // An interrupt from the terminal is for the test, which ends its daemons in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()).context("a process id fits")?;
        signal::kill(Pid::from_raw(pid), signal)
            .with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let (name, child) = (&self.name, &mut self.child);
        eventually(limit, &format!("{name} ends"), || {
            match child.try_wait()? {
                Some(status) => Ok(status),
                None => bail!("it still runs"),
            }
        })
    }

    /// SIGTERM, and SIGKILL with an error when that does not end it within `limit`.
    pub fn stop(mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait(limit)
            .with_context(|| format!("{} ignores SIGTERM; {}", self.name, self.tail()))
    }

    /// SIGKILL; returns when it is dead.
    pub fn kill(mut self) -> Result<()> {
        self.end()
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        tail(&self.log)
    }

    fn end(&mut self) -> Result<()> {
        self.child.kill()?;
        self.wait(DEATH).map(drop)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Dead already is as good.
        let _ = self.end();
    }
}

/// The last lines of a log, with a heading.
pub fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    format!(
        "--- the end of {}\n{}\n",
        log.display(),
        lines[from..].join("\n")
    )
}
