//! One run of git: within its limits, with nothing of a login in its arguments, and gone with all
//! that it started when its deadline passes or the caller is dropped.

use std::{io, os::unix::process::ExitStatusExt as _, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use paasta_common::url::{Login, Url};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time,
};

use super::{
    GitError,
    limits::{Limit, Limits},
};

/// What git may speak. `ext` would run any command that a URL names.
const PROTOCOLS: &str = "file:git:http:https:ssh";
/// The most bytes of git's complaints that are kept.
const COMPLAINT_BYTES_MAX: u64 = 8 * 1024;
/// How long a killed git may take to be gone.
const REAP_LIMIT: Duration = Duration::from_secs(5);
/// What git calls the remote that is asked, in place of a URL in its arguments.
pub(super) const REMOTE: &str = "paasta-asked-remote";
/// The exit code of a shell that finds no program.
const NOT_FOUND: i32 = 127;
/// Gives out the login by variables, as arguments are everybody's to read.
const HELPER: &str = "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \
                      \"$PAASTA_GIT_USER\" \"$PAASTA_GIT_PASSWORD\"; }; f";

/// One run of git against a remote.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) verb: &'static str,
    pub(super) url: &'a Url,
    pub(super) within: Duration,
    pub(super) limits: Limits,
}

/// What git wrote.
pub(super) struct Answer {
    pub(super) output: Vec<u8>,
    complaint: Vec<u8>,
}

/// A process group that ends with this value, unless it has ended by itself.
struct Group(Option<Pid>);

impl Group {
    fn kill(&self) {
        if let Some(id) = self.0
            && let Err(error) = killpg(id, Signal::SIGKILL)
        {
            tracing::debug!(%error, "cannot kill git");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Call<'_> {
    /// A git that knows the remote as [`REMOTE`].
    pub(super) fn command(&self) -> Command {
        let (program, arguments) = self.limits.shell();
        let mut command = Command::new(program);
        command.args(arguments);
        // Those of a hook's or a shell's own repository would be taken for the one that is meant.
        for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(variable);
        }
        command
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", PROTOCOLS)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: what git starts, such as ssh, ends with it.
            .process_group(0)
            .kill_on_drop(true);
        if std::env::var_os("GIT_SSH_COMMAND").is_none() {
            command.env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes");
        }
        self.configure(&mut command);
        command
    }

    /// By the environment, which only this user may read.
    fn configure(&self, command: &mut Command) {
        let mut settings = vec![
            (format!("remote.{REMOTE}.url"), self.url.plain()),
            // One file for all objects, so that its limit holds for all of them.
            ("fetch.unpackLimit".to_owned(), "1".to_owned()),
        ];
        match self.url.login() {
            Some(Login {
                user,
                password: Some(password),
            }) => {
                command
                    .env("PAASTA_GIT_USER", user)
                    .env("PAASTA_GIT_PASSWORD", password);
                // The empty one takes all others away: none of them shall keep this login.
                settings.push(("credential.helper".to_owned(), String::new()));
                settings.push(("credential.helper".to_owned(), HELPER.to_owned()));
            }
            Some(Login {
                user,
                password: None,
            }) => settings.push(("credential.username".to_owned(), user)),
            None => {}
        }
        let given = std::env::var("GIT_CONFIG_COUNT").ok();
        let given: usize = given.and_then(|count| count.parse().ok()).unwrap_or(0);
        for (at, (key, value)) in (given..).zip(&settings) {
            command
                .env(format!("GIT_CONFIG_KEY_{at}"), key)
                .env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        command.env("GIT_CONFIG_COUNT", (given + settings.len()).to_string());
    }

    /// Runs it to its end, or to a limit; returns what it wrote to standard output.
    pub(super) async fn run(&self, mut command: Command) -> Result<Vec<u8>, GitError> {
        let mut child = command.spawn().map_err(GitError::Run)?;
        let id = child.id();
        let pid = id.and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let mut group = Group(pid);
        let answer = async {
            tokio::select! {
                answer = self.answer(&mut child) => answer,
                limit = self.limits.watch(id.unwrap_or_default()) => Err(self.exceeded(limit)),
            }
        };
        let answer = match time::timeout(self.within, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(self.timed_out()),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                stop(&mut child, &group).await;
                group.0 = None;
                return Err(error);
            }
        };
        // Its pipes are closed: it is about to end.
        let status = match time::timeout(REAP_LIMIT, child.wait()).await {
            Ok(status) => status.map_err(GitError::Run)?,
            Err(_) => {
                stop(&mut child, &group).await;
                group.0 = None;
                return Err(self.timed_out());
            }
        };
        group.0 = None;
        match status.success() {
            true => Ok(answer.output),
            false => Err(self.failed(status, answer)),
        }
    }

    fn failed(&self, status: std::process::ExitStatus, answer: Answer) -> GitError {
        let Answer { output, complaint } = answer;
        let complaint = match self.verb {
            // A push tells what it was refused, ref by ref, on its standard output.
            "push" => words(&[complaint, output].concat()),
            _ => words(&complaint),
        };
        if status.code() == Some(NOT_FOUND) && complaint.contains("not found") {
            return GitError::Run(io::ErrorKind::NotFound.into());
        }
        if let Some(limit) = self.limits.reached(status.signal(), &complaint) {
            return self.exceeded(limit);
        }
        GitError::Failed {
            verb: self.verb,
            url: self.url.clone(),
            status,
            complaint: self.url.scrub(&complaint.replace(REMOTE, "the remote")),
        }
    }

    fn exceeded(&self, limit: Limit) -> GitError {
        GitError::Limit {
            verb: self.verb,
            url: self.url.clone(),
            limit,
        }
    }

    fn timed_out(&self) -> GitError {
        GitError::Timeout {
            verb: self.verb,
            url: self.url.clone(),
            limit: self.within,
        }
    }

    /// Both streams to their ends, or an error as soon as there is too much.
    async fn answer(&self, child: &mut Child) -> Result<Answer, GitError> {
        let (output, complaint) = (child.stdout.take(), child.stderr.take());
        let output = async {
            // One byte more than allowed tells too much from just enough.
            let most = self.limits.output;
            let bytes = read(output, most + 1).await.map_err(GitError::Run)?;
            match bytes.len() as u64 > most {
                false => Ok(bytes),
                true => Err(self.exceeded(Limit::Output(most))),
            }
        };
        let complaint = async {
            let bytes = drain(complaint, COMPLAINT_BYTES_MAX).await;
            bytes.map_err(GitError::Run)
        };
        let (output, complaint) = tokio::try_join!(output, complaint)?;
        Ok(Answer { output, complaint })
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(limit).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Keeps the first bytes and reads the rest away: a full pipe would hold git up.
async fn drain(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe).take(limit).read_to_end(&mut bytes).await?;
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}

/// Kills git with everything it started, and waits until it is gone.
async fn stop(child: &mut Child, group: &Group) {
    group.kill();
    if time::timeout(REAP_LIMIT, child.wait()).await.is_err() {
        tracing::warn!("a killed git is not gone yet");
    }
}

/// On one line, without the blank ones.
pub(super) fn words(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("; ")
}
