//! HAProxy's process: a master and its workers, started detached from the agent, found again by the
//! master's socket, reloaded through it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use paasta_agent_core::proxy::seen::{self, Processes, Unreadable};
use paasta_common::text::beginning;
use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};

use super::api::{ApiError, ask};

/// The master's socket, in the run directory.
pub const MASTER_SOCKET: &str = "master.sock";
/// The master's process id, in the run directory.
pub const PID_FILE: &str = "haproxy.pid";
/// What HAProxy writes while it starts.
const START_LOG: &str = "start.log";
/// How long HAProxy may take to check a configuration, to start, or to load a new one.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at a process that starts.
const LOOK: Duration = Duration::from_millis(20);
/// How much of HAProxy's own words an error repeats, in characters.
const WORDS_MAX: usize = 2_000;

/// HAProxy's program and the places of its files.
#[derive(Debug, Clone)]
pub(super) struct Process {
    /// The program.
    pub(super) program: PathBuf,
    /// The directory of its sockets.
    pub(super) run_directory: PathBuf,
    /// The socket of the worker's runtime API.
    pub(super) api_socket: PathBuf,
}

/// Why HAProxy does not run, or not as it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProcessError {
    /// No such program.
    #[error(
        "{program} cannot be run: {source}; install it (Debian: apt-get install haproxy), or set \
         agent.proxy.program"
    )]
    Missing {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It refused a configuration.
    #[error("HAProxy refuses the configuration: {words}")]
    Refused {
        /// Its words.
        words: String,
    },
    /// It did not start.
    #[error("HAProxy does not start: {words}")]
    NotStarted {
        /// Its words.
        words: String,
    },
    /// It did not load a configuration that it had checked.
    #[error("HAProxy does not load the configuration: {words}; the one before serves on")]
    NotLoaded {
        /// What is known.
        words: String,
    },
    /// It is too old.
    #[error(
        "HAProxy has no {missing:?} in its runtime API: expected version 2.6 or later, whose \
         servers come and go without a reload"
    )]
    Old {
        /// The command.
        missing: &'static str,
    },
    /// It took too long.
    #[error("HAProxy did not {what} within {} s", LIMIT.as_secs())]
    Slow {
        /// What it should have done.
        what: &'static str,
    },
    /// A socket.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// An answer.
    #[error(transparent)]
    Answer(#[from] Unreadable),
}

impl Process {
    /// The master's socket.
    pub(super) fn master(&self) -> PathBuf {
        self.run_directory.join(MASTER_SOCKET)
    }

    fn pid_file(&self) -> PathBuf {
        self.run_directory.join(PID_FILE)
    }

    /// Its processes, as the master shows them.
    ///
    /// # Errors
    /// [`ProcessError`] when no master answers.
    pub(super) async fn processes(&self) -> Result<Processes, ProcessError> {
        let answer = ask(&self.master(), "show proc").await?;
        Ok(seen::processes(&answer)?)
    }

    /// Has HAProxy check a configuration.
    ///
    /// # Errors
    /// [`ProcessError`] with its words.
    pub(super) async fn check(&self, config: &Path) -> Result<(), ProcessError> {
        let mut command = self.command();
        command.arg("-c").arg("-f").arg(config);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        let output = match timeout(LIMIT, command.output()).await {
            Err(_) => {
                return Err(ProcessError::Slow {
                    what: "check its configuration",
                });
            }
            Ok(Err(source)) => return Err(self.missing(source)),
            Ok(Ok(output)) => output,
        };
        match output.status.success() {
            true => Ok(()),
            false => Err(ProcessError::Refused {
                words: alerts(&String::from_utf8_lossy(&output.stderr)),
            }),
        }
    }

    /// Starts it with this configuration, detached from the agent, and waits until it answers.
    ///
    /// # Errors
    /// [`ProcessError`] says why it does not run.
    pub(super) async fn start(&self, config: &Path) -> Result<Processes, ProcessError> {
        self.end_stray(config).await;
        let log = self.run_directory.join(START_LOG);
        let start_log = File::create(&log).map_err(|source| self.missing(source))?;
        let mut command = self.command();
        command.args(["-W", "-D", "-S"]);
        command.arg(format!("{},mode,600", self.master().display()));
        command.arg("-p").arg(self.pid_file()).arg("-f").arg(config);
        // A group of its own: a signal to the agent's is not for it.
        command.process_group(0);
        command.stdout(Stdio::null()).stderr(Stdio::from(start_log));
        let mut child = command.spawn().map_err(|source| self.missing(source))?;
        let words = || alerts(&fs::read_to_string(&log).unwrap_or_default());
        match timeout(LIMIT, child.wait()).await {
            Err(_) => return Err(ProcessError::Slow { what: "start" }),
            Ok(Err(source)) => return Err(self.missing(source)),
            Ok(Ok(status)) if !status.success() => {
                return Err(ProcessError::NotStarted { words: words() });
            }
            Ok(Ok(_)) => {}
        }
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            if let Ok(found) = self.processes().await
                && let Some(worker) = found.worker
                && self.answers_as(worker).await
            {
                return Ok(found);
            }
            sleep(LOOK).await;
        }
        Err(ProcessError::NotStarted { words: words() })
    }

    /// Loads the configuration that it was started with, as it is now, and waits until the new
    /// worker answers.
    ///
    /// # Errors
    /// [`ProcessError`] when the worker before serves on.
    pub(super) async fn reload(&self) -> Result<Processes, ProcessError> {
        let before = self.processes().await?;
        let deadline = Instant::now() + LIMIT;
        // 2.6 ends the connection without an answer, and later ones say Success=0 or 1.
        let answer = ask(&self.master(), "reload").await.unwrap_or_default();
        if answer.trim_start().starts_with("Success=0") {
            let words = alerts(&answer);
            return Err(ProcessError::NotLoaded { words });
        }
        while Instant::now() < deadline {
            sleep(LOOK).await;
            // The socket refuses while the master starts anew.
            let Ok(found) = self.processes().await else {
                continue;
            };
            if found.failed > before.failed {
                let words = "the master counts a failed reload; a port may be taken".to_owned();
                return Err(ProcessError::NotLoaded { words });
            }
            if let Some(worker) = found.worker.filter(|worker| before.worker != Some(*worker))
                && self.answers_as(worker).await
            {
                return Ok(found);
            }
        }
        Err(ProcessError::Slow {
            what: "load its configuration",
        })
    }

    /// Whether its runtime API has what is needed.
    ///
    /// # Errors
    /// [`ProcessError::Old`] names the command that it does not have.
    pub(super) async fn probe(&self) -> Result<(), ProcessError> {
        let help = ask(&self.api_socket, "help").await?;
        for command in [
            "add server",
            "del server",
            "set server",
            "show servers state",
        ] {
            if !help
                .lines()
                .any(|line| line.trim_start().starts_with(command))
            {
                return Err(ProcessError::Old { missing: command });
            }
        }
        Ok(())
    }

    async fn answers_as(&self, worker: u32) -> bool {
        let answer = ask(&self.api_socket, "show info").await.unwrap_or_default();
        seen::info(&answer).is_ok_and(|info| info.pid == worker)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // Of the agent's environment nothing is needed, and NOTIFY_SOCKET would mislead systemd.
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    fn missing(&self, source: io::Error) -> ProcessError {
        ProcessError::Missing {
            program: self.program.display().to_string(),
            source,
        }
    }

    /// Ends a master of this configuration whose socket is gone: it would hold every port.
    async fn end_stray(&self, config: &Path) {
        let text = fs::read_to_string(self.pid_file()).unwrap_or_default();
        let Ok(pid) = text.trim().parse::<u32>() else {
            return;
        };
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        let ours = words.any(|word| word == config.as_os_str().as_encoded_bytes());
        let Some(target) = i32::try_from(pid).ok().filter(|_| ours && runs(pid)) else {
            return;
        };
        tracing::warn!(pid, "a load balancer without a socket is ended");
        let _ = kill(Pid::from_raw(target), Signal::SIGTERM);
        let deadline = Instant::now() + LIMIT;
        while runs(pid) && Instant::now() < deadline {
            sleep(LOOK).await;
        }
    }
}

/// Whether a process runs: one that has ended and was not waited for does not.
pub(super) fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("X", |(_, rest)| rest);
    !matches!(state.chars().next(), None | Some('Z' | 'X'))
}

/// The alerts of HAProxy's words, else their end.
fn alerts(words: &str) -> String {
    let lines = words.lines().filter(|line| line.contains("[ALERT]"));
    let found: Vec<&str> = lines.collect();
    let text = match found.is_empty() {
        true => words.trim().to_owned(),
        false => found.join("; "),
    };
    beginning(&text, WORDS_MAX).to_owned()
}
