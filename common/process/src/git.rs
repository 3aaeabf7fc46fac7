//! Asking a git remote which refs it has, and giving it tags ([`push`]), through the `git` program,
//! so that its credentials, proxies and ssh settings are those that the operator knows.

pub mod push;

use std::{
    collections::BTreeMap,
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time,
};

/// The most bytes of refs that are read; about 300,000 of them.
pub const OUTPUT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The most bytes of git's complaints that are kept.
const COMPLAINT_BYTES_MAX: u64 = 8 * 1024;
/// What git may speak. `ext` would run any command that a URL names.
const PROTOCOLS: &str = "file:git:http:https:ssh";
/// How long a killed git may take to be gone.
const REAP_LIMIT: Duration = Duration::from_secs(5);

/// Why a remote's refs are not known.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The URL would be taken for an option.
    #[error("{url:?} is not the URL of a git repository; check git_url in service.yaml")]
    Url {
        /// What was given.
        url: String,
    },
    /// The program cannot be run.
    #[error("cannot run git; is it installed?")]
    Run(#[source] io::Error),
    /// The remote did not answer.
    #[error("git {verb} {url} was still running after {} s and was stopped", limit.as_secs_f32())]
    Timeout {
        /// What git was to do.
        verb: &'static str,
        /// The remote.
        url: String,
        /// How long it was given.
        limit: Duration,
    },
    /// Git says no.
    #[error("git {verb} {url} failed ({status}): {complaint}")]
    Failed {
        /// What git was to do.
        verb: &'static str,
        /// The remote.
        url: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to standard error.
        complaint: String,
    },
    /// The remote has more refs than can be meant.
    #[error("git {verb} {url} wrote more than {bytes_max} bytes; delete old tags")]
    TooMuch {
        /// What git was to do.
        verb: &'static str,
        /// The remote.
        url: String,
        /// How many it may write.
        bytes_max: u64,
    },
    /// The answer is not what git answers.
    #[error("git ls-remote {url} wrote a line that is no ref: {line:?}")]
    Line {
        /// The remote.
        url: String,
        /// The line.
        line: String,
    },
}

/// The branches and tags of the remote, by full name, each with the sha of its commit: of an
/// annotated tag the commit it points at, not the tag.
///
/// # Errors
/// [`GitError`], with git's own words where it has any. Never longer than `limit` and a moment.
pub async fn ls_remote(url: &str, limit: Duration) -> Result<BTreeMap<String, String>, GitError> {
    ls_remote_within(url, limit, OUTPUT_BYTES_MAX).await
}

async fn ls_remote_within(
    url: &str,
    limit: Duration,
    bytes_max: u64,
) -> Result<BTreeMap<String, String>, GitError> {
    check_url(url)?;
    let mut git = command();
    git.args(["ls-remote", "--heads", "--tags", "--", url]);
    let call = Call {
        verb: "ls-remote",
        url,
        limit,
        bytes_max,
    };
    let output = call.run(git).await?;
    refs(url, &String::from_utf8_lossy(&output))
}

/// A URL that git would take for an option, or that no person wrote, is refused.
fn check_url(url: &str) -> Result<(), GitError> {
    if url.is_empty() || url.starts_with('-') || url.chars().any(char::is_control) {
        let url = url.to_owned();
        return Err(GitError::Url { url });
    }
    Ok(())
}

/// One run of git against a remote.
#[derive(Debug, Clone, Copy)]
struct Call<'a> {
    verb: &'static str,
    url: &'a str,
    limit: Duration,
    bytes_max: u64,
}

impl Call<'_> {
    /// Runs it to its end, or to the limit; returns what it wrote to standard output.
    async fn run(&self, mut command: Command) -> Result<Vec<u8>, GitError> {
        let mut child = command.spawn().map_err(GitError::Run)?;
        let answer = time::timeout(self.limit, self.answer(&mut child)).await;
        let Answer { output, complaint } = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                stop(&mut child).await;
                return Err(error);
            }
            Err(_) => {
                stop(&mut child).await;
                return Err(self.timed_out());
            }
        };
        // Its pipes are closed: it is about to end.
        let status = match time::timeout(REAP_LIMIT, child.wait()).await {
            Ok(status) => status.map_err(GitError::Run)?,
            Err(_) => {
                stop(&mut child).await;
                return Err(self.timed_out());
            }
        };
        match status.success() {
            true => Ok(output),
            false => Err(GitError::Failed {
                verb: self.verb,
                url: self.url.to_owned(),
                status,
                // A push tells what it was refused, ref by ref, on its standard output.
                complaint: match self.verb {
                    "push" => words(&[complaint, output].concat()),
                    _ => words(&complaint),
                },
            }),
        }
    }

    fn timed_out(&self) -> GitError {
        GitError::Timeout {
            verb: self.verb,
            url: self.url.to_owned(),
            limit: self.limit,
        }
    }

    /// Both streams to their ends, or an error as soon as there is too much.
    async fn answer(&self, child: &mut Child) -> Result<Answer, GitError> {
        let (output, complaint) = (child.stdout.take(), child.stderr.take());
        let output = async {
            // One byte more than allowed tells too much from just enough.
            let bytes = read(output, self.bytes_max + 1)
                .await
                .map_err(GitError::Run)?;
            match bytes.len() as u64 > self.bytes_max {
                false => Ok(bytes),
                true => Err(GitError::TooMuch {
                    verb: self.verb,
                    url: self.url.to_owned(),
                    bytes_max: self.bytes_max,
                }),
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

fn command() -> Command {
    let mut command = Command::new("git");
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
    command
}

struct Answer {
    output: Vec<u8>,
    complaint: Vec<u8>,
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
async fn stop(child: &mut Child) {
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok())
        && let Err(error) = killpg(Pid::from_raw(id), Signal::SIGKILL)
    {
        tracing::debug!(%error, "cannot kill git");
    }
    if time::timeout(REAP_LIMIT, child.wait()).await.is_err() {
        tracing::warn!("a killed git is not gone yet");
    }
}

/// On one line, without the blank ones.
fn words(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("; ")
}

fn refs(url: &str, output: &str) -> Result<BTreeMap<String, String>, GitError> {
    let mut refs = BTreeMap::new();
    let mut peeled = BTreeMap::new();
    for line in output.lines() {
        let hex = |sha: &str| sha.len() >= 40 && sha.bytes().all(|b| b.is_ascii_hexdigit());
        let Some((sha, name)) = line.split_once('\t').filter(|(sha, _)| hex(sha)) else {
            let (url, line) = (url.to_owned(), line.chars().take(200).collect());
            return Err(GitError::Line { url, line });
        };
        match name.strip_suffix("^{}") {
            Some(tag) => peeled.insert(tag.to_owned(), sha.to_owned()),
            None => refs.insert(name.to_owned(), sha.to_owned()),
        };
    }
    refs.extend(peeled);
    Ok(refs)
}

#[cfg(test)]
pub(crate) mod tests;
