//! The process of the hollow hosts: asked by lines of JSON, each answered within a deadline.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    cluster::daemon::tail,
    hollow::report::{Answer, Ask, Report},
};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How long the certificates of all hosts may take.
const READY: Duration = Duration::from_secs(120);

/// The process. Dropped, it is killed.
#[derive(Debug)]
pub struct FleetProcess {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
    log: std::path::PathBuf,
}

impl FleetProcess {
    /// Starts `program` with `arguments` and waits until every certificate is signed; its log goes
    /// to `log`.
    ///
    /// # Errors
    /// When it does not get there.
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            // Ten lines of every host are not what is measured.
            .env("PAASTA_LOG", "error")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let input = child.stdin.take().context("its input is a pipe")?;
        let output = child.stdout.take().context("its output is a pipe")?;
        // One question at a time has one answer.
        let (answered, answers) = sync_channel(1);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if answered.send(line).is_err() {
                    return;
                }
            }
        });
        let fleet = Self {
            child,
            input,
            answers,
            log: log.to_owned(),
        };
        match fleet.answer(READY)? {
            Answer::Ready => Ok(fleet),
            other => bail!("the hollow hosts began with {other:?}"),
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Starts every agent.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn go(&mut self) -> Result<()> {
        self.ask(Ask::Start).map(drop)
    }

    /// Forgets the times of replicas so far.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn mark(&mut self) -> Result<()> {
        self.ask(Ask::Mark).map(drop)
    }

    /// How the hosts are, with times since this moment (Unix, milliseconds).
    ///
    /// # Errors
    /// When it does not answer.
    pub fn report(&mut self, since_ms: u64) -> Result<Report> {
        match self.ask(Ask::Report(since_ms))? {
            Answer::Report(report) => Ok(report),
            other => bail!("the hollow hosts answered {other:?} to a request for a report"),
        }
    }

    fn ask(&mut self, ask: Ask) -> Result<Answer> {
        let line = serde_json::to_string(&ask)?;
        writeln!(self.input, "{line}")?;
        self.answer(ANSWER)
    }

    fn answer(&self, within: Duration) -> Result<Answer> {
        let line = self.answers.recv_timeout(within);
        let line = line.with_context(|| {
            format!(
                "no answer of the hollow hosts within {within:?}; {}",
                tail(&self.log)
            )
        })?;
        serde_json::from_str(&line).with_context(|| format!("the hollow hosts said {line:?}"))
    }
}

impl Drop for FleetProcess {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
