//! What runs write, kept on this host: captured as it is written ([`capture`]), in files of
//! bounded size that outlive their run within a budget ([`store`]), read back in the order of time
//! ([`read`]) and sent to the coordinator that asks ([`serve`]).
//!
//! The files are in `logs/SERVICE.INSTANCE/REPLICA-RUN/` of the state directory, `stdout.1`,
//! `stdout.2` and so on, the highest number being written. They are not in the sandbox, which the
//! container may write: what it wrote once it can neither change nor take away.

pub mod capture;
pub mod read;
pub mod serve;
pub mod store;

use std::{fmt, str::FromStr};

use paasta_common::id::{InstanceId, ReplicaId};

/// One run, whose outputs are kept together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunKey {
    /// The instance it served.
    pub instance: InstanceId,
    /// The replica.
    pub replica: ReplicaId,
    /// The number of the run.
    pub run: u64,
}

impl RunKey {
    /// The run that a directory `REPLICA-RUN` of this instance belongs to.
    pub fn of_directory(instance: &InstanceId, name: &str) -> Option<Self> {
        let (replica, run) = name.rsplit_once('-')?;
        Some(Self {
            instance: instance.clone(),
            replica: ReplicaId::from_str(replica).ok()?,
            run: run.parse().ok()?,
        })
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}-{}", self.instance, self.replica, self.run)
    }
}
