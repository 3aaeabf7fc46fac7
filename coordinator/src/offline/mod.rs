//! What is done to a coordinator's data directory while its coordinator does not run: begin a
//! cluster again from a saved state, or from what is left of a lost majority; set a damaged store
//! aside. A new store is made beside its place and moved there when it is whole; an old one is
//! moved aside and never deleted.
//!
//! What a store is made of is not known here (`crate::raft`, `crate::store`).

pub mod init;
pub mod recover;
pub mod rejoin;
pub mod restore;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use paasta_coordinator_core::state::{ClusterState, recovery::NotACluster};
use paasta_process::saved::SavedError;

use crate::{
    codec,
    raft::{RaftError, Seed, seed},
    store::StoreError,
};

/// The most directories of one kind that are set aside; more are a loop, not an operator.
const ASIDE_MAX: u32 = 1000;

/// Why a data directory is as it was.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The store cannot be read or made.
    #[error(transparent)]
    Raft(#[from] RaftError),
    /// The saved state cannot be used.
    #[error(transparent)]
    Saved(#[from] SavedError),
    /// The state is not one of a cluster.
    #[error(transparent)]
    NotACluster(#[from] NotACluster),
    /// The state in the file cannot be understood.
    #[error(
        "the state in {path} cannot be read; use the version of paasta-coordinator that saved it, or a newer one"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is a store where one is to be made.
    #[error("{dir} holds a coordinator's store already; move it aside or name another --data-dir")]
    Occupied {
        /// The directory.
        dir: PathBuf,
    },
    /// There is nothing where there should be a store.
    #[error("{dir} holds no coordinator's store; check --data-dir")]
    Empty {
        /// The directory.
        dir: PathBuf,
    },
    /// The id was used before.
    #[error(
        "{id} is the id that this store had; a node that lost its store needs a new one, never used before"
    )]
    SameId {
        /// The id.
        id: u64,
    },
    /// The id cannot be one.
    #[error("a node id is a number from 1")]
    NoId,
    /// The operating system refused.
    #[error("cannot {doing} {path}")]
    Io {
        /// As a verb.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
}

impl From<StoreError> for OfflineError {
    fn from(error: StoreError) -> Self {
        Self::Raft(error.into())
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OfflineError {
    let path = path.to_owned();
    move |source| OfflineError::Io {
        doing,
        path,
        source,
    }
}

/// Makes a one-member store of `state` beside `plan.dir`, to be put there by [`put`]. Returns where
/// it is.
async fn prepare(plan: &Seed, state: ClusterState) -> Result<PathBuf, OfflineError> {
    let beside = with_suffix(&plan.dir, "new");
    // What an attempt before left; nothing ever ran on it.
    remove(&beside)?;
    let making = Seed {
        dir: beside.clone(),
        ..plan.clone()
    };
    let made = seed(&making, move |to| codec::encode_to(to, &state)).await;
    if let Err(error) = made {
        remove(&beside)?;
        return Err(error.into());
    }
    Ok(beside)
}

/// Moves a prepared store into its place, where nothing or an empty directory is.
fn put(beside: &Path, dir: &Path) -> Result<(), OfflineError> {
    if dir.exists() {
        fs::remove_dir(dir).map_err(failed("replace", dir))?;
    }
    fs::rename(beside, dir).map_err(failed("move into place", beside))?;
    sync_parent(dir)
}

/// Moves a directory out of the way, to a name that says why. Returns where it is now.
fn set_aside(dir: &Path, why: &str) -> Result<PathBuf, OfflineError> {
    for number in 1..=ASIDE_MAX {
        let aside = with_suffix(dir, &format!("{why}-{number}"));
        if aside.exists() {
            continue;
        }
        fs::rename(dir, &aside).map_err(failed("move aside", dir))?;
        sync_parent(dir)?;
        return Ok(aside);
    }
    let full = io::Error::other(format!("{ASIDE_MAX} were moved aside before; remove some"));
    Err(failed("move aside", dir)(full))
}

/// Whether nothing is in the way of a new store.
fn is_free(dir: &Path) -> Result<bool, OfflineError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(failed("list", dir)(error)),
    }
}

fn with_suffix(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    dir.with_file_name(name)
}

fn remove(dir: &Path) -> Result<(), OfflineError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", dir)(error)),
        _ => Ok(()),
    }
}

fn sync_parent(dir: &Path) -> Result<(), OfflineError> {
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|opened| opened.sync_all())
        .map_err(failed("flush", parent))
}
