//! Asking a git remote which refs it has, and giving it tags ([`push`]), through the `git` program,
//! so that its credentials, proxies and ssh settings are those that the operator knows. Each run is
//! bounded ([`limits`]), and no URL's login is in its arguments or in an error (`call`).

mod call;
pub mod limits;
pub mod push;

use std::{collections::BTreeMap, io, process::ExitStatus, time::Duration};

use paasta_common::{
    text::beginning,
    url::{Url, scrub},
};

use self::{
    call::{Call, REMOTE},
    limits::{Limit, Limits},
};

/// The most bytes of refs that are read; about 300,000 of them.
pub const OUTPUT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The most bytes of a line that is no ref that are shown.
const LINE_CHARS_MAX: usize = 200;

/// Why a remote's refs are not known.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Git could not use the URL, or would take it for an option.
    #[error("{url:?} is not the URL of a git repository: {fault}; check git_url in service.yaml")]
    Url {
        /// What was given.
        url: Url,
        /// What is wrong with it.
        fault: &'static str,
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
        url: Url,
        /// How long it was given.
        limit: Duration,
    },
    /// Git says no.
    #[error("git {verb} {url} failed ({status}): {complaint}")]
    Failed {
        /// What git was to do.
        verb: &'static str,
        /// The remote.
        url: Url,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to standard error.
        complaint: String,
    },
    /// It used more than it may: the remote sends more than can be meant.
    #[error(
        "git {verb} {url} used more than {limit} and was stopped; does the repository have too \
         many refs, or is it something else that answers there?"
    )]
    Limit {
        /// What git was to do.
        verb: &'static str,
        /// The remote.
        url: Url,
        /// Of what.
        limit: Limit,
    },
    /// The answer is not what git answers.
    #[error("git ls-remote {url} wrote a line that is no ref: {line:?}")]
    Line {
        /// The remote.
        url: Url,
        /// The line.
        line: String,
    },
}

/// What a remote has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refs {
    /// The branches and tags, by full name, each with the sha of what it stands on: of an annotated
    /// tag the commit it points at, not the tag.
    pub tips: BTreeMap<String, String>,
    /// What annotated tags point at, by the sha of the tag itself.
    pub peeled: BTreeMap<String, String>,
}

/// The branches and tags of the remote.
///
/// # Errors
/// [`GitError`], with git's own words where it has any. Never longer than `within` and a moment.
pub async fn ls_remote(url: &Url, within: Duration) -> Result<Refs, GitError> {
    ls_remote_limited(url, within, Limits::of(url)).await
}

async fn ls_remote_limited(url: &Url, within: Duration, limits: Limits) -> Result<Refs, GitError> {
    check_url(url)?;
    let call = Call {
        verb: "ls-remote",
        url,
        within,
        limits,
    };
    let mut git = call.command();
    git.args(["ls-remote", "--heads", "--tags", "--", REMOTE]);
    let output = call.run(git).await?;
    refs(url, &String::from_utf8_lossy(&output))
}

/// A URL that git would take for an option, or that no person wrote, is refused.
fn check_url(url: &Url) -> Result<(), GitError> {
    match url.fault() {
        None => Ok(()),
        Some(fault) => Err(GitError::Url {
            url: url.clone(),
            fault,
        }),
    }
}

fn refs(url: &Url, output: &str) -> Result<Refs, GitError> {
    let mut refs = Refs::default();
    let mut peeled = BTreeMap::new();
    for line in output.lines() {
        let hex = |sha: &str| sha.len() >= 40 && sha.bytes().all(|b| b.is_ascii_hexdigit());
        let Some((sha, name)) = line.split_once('\t').filter(|(sha, _)| hex(sha)) else {
            return Err(GitError::Line {
                url: url.clone(),
                line: scrub(beginning(line, LINE_CHARS_MAX)),
            });
        };
        match name.strip_suffix("^{}") {
            Some(tag) => peeled.insert(tag.to_owned(), sha.to_owned()),
            None => refs.tips.insert(name.to_owned(), sha.to_owned()),
        };
    }
    for (name, commit) in peeled {
        if let Some(tag) = refs.tips.insert(name, commit.clone()) {
            refs.peeled.insert(tag, commit);
        }
    }
    Ok(refs)
}

#[cfg(test)]
pub(crate) mod tests;
