//! Why a store cannot be used, in words an operator can act on.

use std::{io, path::PathBuf};

/// Why a coordinator's store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Something this node once promised to remember is gone or unreadable. The node must never
    /// vote again under its old id: it could vote twice in one term, or help to elect a leader
    /// that lacks an acknowledged write.
    #[error(
        "the coordinator's store in {dir} is damaged: {what}. This node must not take part in the \
         cluster under its old id. If the other coordinators have a quorum, remove this node from \
         the cluster, move {dir} aside, and run `paasta-coordinator rejoin` to join again as a new \
         member with a new id; if they have not, restore {dir} from a backup of this node taken \
         while it was stopped"
    )]
    Damaged {
        /// The data directory.
        dir: PathBuf,
        /// What was lost or cannot be read.
        what: String,
    },

    /// Another process holds the store.
    #[error(
        "{dir} is in use by another process: stop the other coordinator that runs on this data \
         directory, or give this one a directory of its own"
    )]
    Locked {
        /// The data directory.
        dir: PathBuf,
    },

    /// The store was made for a node with another id.
    #[error(
        "{dir} belongs to node {stored}, but this coordinator is configured as node {given}: \
         correct the node id in the configuration, or use an empty directory for a new node"
    )]
    OtherNode {
        /// The data directory.
        dir: PathBuf,
        /// The id on disk.
        stored: u64,
        /// The id in the configuration.
        given: u64,
    },

    /// The store belongs to another cluster.
    #[error(
        "{dir} belongs to cluster {stored}, not to {given}: this node cannot serve two clusters; \
         use an empty directory to join the other one"
    )]
    OtherCluster {
        /// The data directory.
        dir: PathBuf,
        /// The cluster id on disk.
        stored: String,
        /// The cluster id that was asked for.
        given: String,
    },

    /// A newer version of the program wrote the store.
    #[error(
        "{dir} was written by a newer version of paasta-coordinator (store format {found}, this \
         version knows {known}): start the newer version again"
    )]
    TooNew {
        /// The data directory.
        dir: PathBuf,
        /// The format on disk.
        found: u16,
        /// The newest format this program knows.
        known: u16,
    },

    /// The operating system refused; nothing is known to be lost.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done, as a verb phrase: "cannot open".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether opening it again later cannot help.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Locked { .. } | Self::Io { .. })
    }

    /// An [`StoreError::Io`] for `map_err`.
    pub(super) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }
}

/// What a check found wrong; the caller knows the directory and makes a [`StoreError`] of it.
#[derive(Debug)]
pub(super) struct Damage(pub(super) String);

impl From<String> for Damage {
    fn from(what: String) -> Self {
        Self(what)
    }
}

impl From<&str> for Damage {
    fn from(what: &str) -> Self {
        Self(what.to_owned())
    }
}
