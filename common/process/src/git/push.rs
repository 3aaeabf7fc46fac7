//! Giving a remote tags on a commit that it has. Git pushes only what it has itself, and
//! the machine that marks a deploy need not have a clone: then the commit alone, without its
//! history and mostly without its files, is fetched into a directory that goes away again.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use paasta_common::url::Url;
use tempfile::TempDir;

use super::{
    GitError, Refs,
    call::{Call, REMOTE, words},
    check_url,
    limits::Limits,
};

/// What git says of a push, at most, in bytes.
const REPORT_BYTES_MAX: u64 = 1024 * 1024;
/// The length of a sha of a SHA-256 repository.
const SHA256_CHARS: usize = 64;

/// Why tags are not there.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// One of them exists, on another commit: somebody was quicker.
    #[error("{url} has a tag {tag} already; nothing was changed")]
    Exists {
        /// The remote.
        url: Url,
        /// The tag.
        tag: String,
    },
    /// The remote does not have the commit.
    #[error("{url} does not give out the commit {sha}; was it pushed?")]
    NoCommit {
        /// The remote.
        url: Url,
        /// The commit.
        sha: String,
        /// What git says.
        #[source]
        source: GitError,
    },
    /// There is such an object, and nothing in it can run.
    #[error("{sha} is {kind}, and no commit; give the sha of a commit")]
    NotACommit {
        /// The object.
        sha: String,
        /// What it is.
        kind: String,
    },
    /// There is no room for a repository of one commit.
    #[error("cannot make a temporary directory")]
    Directory(#[source] io::Error),
    /// Git says no, or nothing.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl PushError {
    /// Whether the same push may succeed when it is tried again.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Git(error) => matches!(
                error,
                GitError::Timeout { .. } | GitError::Failed { .. } | GitError::Line { .. }
            ),
            Self::NoCommit { source, .. } => matches!(source, GitError::Timeout { .. }),
            Self::Exists { .. } | Self::NotACommit { .. } | Self::Directory(_) => false,
        }
    }
}

/// A commit, and a repository from which it can be pushed.
#[derive(Debug)]
pub struct Commit {
    sha: String,
    at: PathBuf,
    /// Goes away with this value.
    _fetched: Option<TempDir>,
}

impl Commit {
    /// Its full sha.
    pub fn sha(&self) -> &str {
        &self.sha
    }

    /// The commit that the full `sha` names: itself, or what an annotated tag stands on. `known`
    /// are the remote's refs, as far as they are known; `clone` is a repository that may have it.
    ///
    /// # Errors
    /// [`PushError`]: neither has it, or it is something else.
    pub async fn find(
        url: &Url,
        sha: &str,
        known: &Refs,
        clone: &Path,
        within: Duration,
    ) -> Result<Self, PushError> {
        check_url(url)?;
        let sha = known.peeled.get(sha).map_or(sha, String::as_str);
        if let Some(sha) = peel(clone, url, sha, within).await? {
            return Ok(Self {
                sha,
                at: clone.to_owned(),
                _fetched: None,
            });
        }
        let directory = tempfile::tempdir().map_err(PushError::Directory)?;
        let path = directory.path();
        let call = call("init", url, within, Limits::of(url));
        let mut init = call.command();
        let format = match sha.len() {
            SHA256_CHARS => "--object-format=sha256",
            _ => "--object-format=sha1",
        };
        init.args(["init", "-q", "--bare", format])
            .current_dir(path);
        call.run(init).await?;
        fetch(path, url, sha, known, within).await?;
        // The commit of what was fetched is always here, and what is no commit may be left out.
        let found = peel(path, url, sha, within).await?;
        let found = found.ok_or_else(|| PushError::NotACommit {
            sha: sha.to_owned(),
            kind: "an object that leads to none".to_owned(),
        })?;
        Ok(Self {
            sha: found,
            at: path.to_owned(),
            _fetched: Some(directory),
        })
    }

    /// Makes `tags` (names without `refs/tags/`) on it in the remote, all or none of them; a tag
    /// that is there already on that commit is fine.
    ///
    /// # Errors
    /// [`PushError`]. After a timeout the tags may be there all the same: pushing them again is
    /// safe.
    pub async fn push_tags(
        &self,
        url: &Url,
        tags: &[String],
        within: Duration,
    ) -> Result<(), PushError> {
        check_url(url)?;
        let call = call("push", url, within, Limits::LOCAL);
        let mut push = call.command();
        push.args(["push", "--porcelain", "--no-thin", "--no-verify"]);
        if tags.len() > 1 {
            push.arg("--atomic");
        }
        push.args(["--", REMOTE]).current_dir(&self.at);
        let sha = &self.sha;
        push.args(tags.iter().map(|tag| format!("{sha}:refs/tags/{tag}")));
        match call.run(push).await {
            Ok(_) => Ok(()),
            Err(error) => Err(match exists(&error, tags) {
                Some(tag) => PushError::Exists {
                    url: url.clone(),
                    tag,
                },
                None => error.into(),
            }),
        }
    }
}

fn call<'a>(verb: &'static str, url: &'a Url, within: Duration, limits: Limits) -> Call<'a> {
    let limits = Limits {
        output: REPORT_BYTES_MAX,
        ..limits
    };
    Call {
        verb,
        url,
        within,
        limits,
    }
}

/// The commit that an object of the repository `at` is or stands on; none when it is not there.
async fn peel(
    at: &Path,
    url: &Url,
    sha: &str,
    within: Duration,
) -> Result<Option<String>, PushError> {
    let Some(kind) = look(at, url, &["cat-file", "-t", sha], within).await else {
        return Ok(None);
    };
    let name = format!("{sha}^{{commit}}");
    match look(at, url, &["rev-parse", "-q", "--verify", &name], within).await {
        Some(commit) => Ok(Some(commit)),
        // The tag is here, and what it stands on is not: the remote has both.
        None if kind == "tag" => Ok(None),
        None => Err(PushError::NotACommit {
            sha: sha.to_owned(),
            kind: format!("a {kind}"),
        }),
    }
}

/// What a git that only looks says; none when it complains.
async fn look(at: &Path, url: &Url, arguments: &[&str], within: Duration) -> Option<String> {
    let call = call("look", url, within, Limits::LOCAL);
    let mut look = call.command();
    look.args(arguments)
        .current_dir(at)
        // An object that is not here is not to be fetched from anywhere.
        .env("GIT_NO_LAZY_FETCH", "1");
    let output = call.run(look).await.ok()?;
    Some(words(&output))
}

/// The commit, by its sha; from a server that gives out refs only, by a ref that stands on it.
async fn fetch(
    at: &Path,
    url: &Url,
    sha: &str,
    known: &Refs,
    within: Duration,
) -> Result<(), PushError> {
    let name = known.tips.iter().find(|(_, tip)| *tip == sha);
    let wanted = [Some(sha), name.map(|(name, _)| name.as_str())];
    let mut last = None;
    for what in wanted.into_iter().flatten() {
        let call = call("fetch", url, within, Limits::of(url));
        let mut fetch = call.command();
        fetch
            .args(["fetch", "-q", "--no-tags", "--depth=1", "--filter=tree:0"])
            .args(["--", REMOTE, what])
            .current_dir(at);
        match call.run(fetch).await {
            Ok(_) => return Ok(()),
            Err(error @ GitError::Failed { .. }) => last = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    match last {
        Some(source) => Err(PushError::NoCommit {
            url: url.clone(),
            sha: sha.to_owned(),
            source,
        }),
        None => Ok(()),
    }
}

/// The tag that git complains of as being there, if that is its complaint.
fn exists(error: &GitError, tags: &[String]) -> Option<String> {
    let GitError::Failed { complaint, .. } = error else {
        return None;
    };
    // The last two are those of who loses a race.
    let clashes = ["already exists", "failed to update ref", "cannot lock ref"];
    let clash = clashes.iter().any(|words| complaint.contains(words));
    let named = tags.iter().find(|tag| complaint.contains(tag.as_str()));
    clash.then(|| named.or(tags.first()).cloned()).flatten()
}

#[cfg(test)]
mod tests;
