//! Giving a remote tags on a commit that it has. Git pushes only what it has itself, and whoever
//! marks a deploy need not have a clone: then the commit alone, without its history and mostly
//! without its files, is fetched into a directory that goes away again.

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use super::{COMPLAINT_BYTES_MAX, Call, GitError, check_url, command};

/// What git says of a push, at most, in bytes.
const REPORT_BYTES_MAX: u64 = 1024 * 1024;

/// Why tags are not there.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// One of them exists, on another commit: somebody was quicker.
    #[error("{url} has a tag {tag} already; nothing was changed")]
    Exists {
        /// The remote.
        url: String,
        /// The tag.
        tag: String,
    },
    /// The remote does not have the commit.
    #[error("{url} does not give out the commit {sha}; was it pushed?")]
    NoCommit {
        /// The remote.
        url: String,
        /// The commit.
        sha: String,
        /// What git says.
        #[source]
        source: GitError,
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
            Self::Exists { .. } | Self::Directory(_) => false,
        }
    }
}

/// Makes `tags` (names without `refs/tags/`) on the commit `sha` of the remote, all or none of
/// them; a tag that is there already on that commit is fine. `known` are the remote's refs, as far
/// as they are known; `clone` is a repository that may have the commit.
///
/// # Errors
/// [`PushError`]. After a timeout the tags may be there all the same: pushing them again is safe.
pub async fn push_tags(
    url: &str,
    sha: &str,
    tags: &[String],
    known: &BTreeMap<String, String>,
    clone: &Path,
    limit: Duration,
) -> Result<(), PushError> {
    check_url(url)?;
    if has_commit(clone, sha, limit).await {
        return push(clone, url, sha, tags, limit).await;
    }
    let directory = tempfile::tempdir().map_err(PushError::Directory)?;
    let path = directory.path();
    let mut init = command();
    init.args(["init", "-q", "--bare"]).current_dir(path);
    call("init", url, limit).run(init).await?;
    fetch(path, url, sha, known, limit).await?;
    push(path, url, sha, tags, limit).await
}

fn call<'a>(verb: &'static str, url: &'a str, limit: Duration) -> Call<'a> {
    Call {
        verb,
        url,
        limit,
        bytes_max: REPORT_BYTES_MAX.max(COMPLAINT_BYTES_MAX),
    }
}

async fn has_commit(clone: &Path, sha: &str, limit: Duration) -> bool {
    let mut look = command();
    let commit = format!("{sha}^{{commit}}");
    look.args(["cat-file", "-e", &commit]).current_dir(clone);
    call("cat-file", "", limit).run(look).await.is_ok()
}

/// The commit, by its sha; from a server that gives out refs only, by a ref that stands on it.
async fn fetch(
    at: &Path,
    url: &str,
    sha: &str,
    known: &BTreeMap<String, String>,
    limit: Duration,
) -> Result<(), PushError> {
    let name = known.iter().find(|(_, tip)| *tip == sha);
    let wanted = [Some(sha), name.map(|(name, _)| name.as_str())];
    let mut last = None;
    for what in wanted.into_iter().flatten() {
        let mut fetch = command();
        fetch
            .args(["fetch", "-q", "--no-tags", "--depth=1", "--filter=tree:0"])
            .args(["--", url, what])
            .current_dir(at);
        match call("fetch", url, limit).run(fetch).await {
            Ok(_) => return Ok(()),
            Err(error @ GitError::Failed { .. }) => last = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    match last {
        Some(source) => Err(PushError::NoCommit {
            url: url.to_owned(),
            sha: sha.to_owned(),
            source,
        }),
        None => Ok(()),
    }
}

async fn push(
    at: &Path,
    url: &str,
    sha: &str,
    tags: &[String],
    limit: Duration,
) -> Result<(), PushError> {
    let mut push = command();
    push.args(["push", "--porcelain", "--no-thin", "--no-verify"]);
    if tags.len() > 1 {
        push.arg("--atomic");
    }
    push.args(["--", url]).current_dir(at);
    push.args(tags.iter().map(|tag| format!("{sha}:refs/tags/{tag}")));
    match call("push", url, limit).run(push).await {
        Ok(_) => Ok(()),
        Err(error) => Err(match exists(&error, tags) {
            Some(tag) => PushError::Exists {
                url: url.to_owned(),
                tag,
            },
            None => error.into(),
        }),
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
