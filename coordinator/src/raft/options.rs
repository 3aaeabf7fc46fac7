//! The settings of one node's consensus, and what they become for openraft.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use openraft::{Config, SnapshotPolicy};

use super::{
    clock::ClusterClock,
    dial::{Dial, Keepalive, PlainDial},
    error::RaftError,
    lease::Lease,
    links::Links,
    pace::{PACE_MAX, Pace},
    terms::UNSEEN_ELECTIONS,
};
use crate::{
    refusals::Refusals,
    store::{FlushTimer, IoMode, OnVolume, StoreId},
};

/// The largest command that can be proposed, in bytes.
pub const MAX_COMMAND_BYTES: usize = 4 << 20;

/// The most records in one message to a follower; a message is also bounded in bytes.
const MAX_APPEND_RECORDS: u64 = 512;

/// The most proposals that wait to be taken into the log.
const MAX_WAITING_PROPOSALS: u64 = 16 << 10;

/// How long to leave an unreachable peer alone before the next attempt: the first steps, then
/// doubling up to the last.
const BACKOFF: &str = "50ms 100ms 200ms ...1s";

/// The settings of one node's consensus.
#[derive(Clone)]
pub struct RaftOptions {
    /// This node's id, never used before in this cluster, never 0.
    pub node_id: u64,
    /// `host:port` under which the other coordinators reach this one.
    pub address: String,
    /// The name of the cluster in this node's configuration. A coordinator that is configured for
    /// another one does not become a member.
    pub cluster_name: Option<String>,
    /// The directory for the log, the vote and snapshots; nothing else may live in it.
    pub data_dir: PathBuf,
    /// The cluster this node was told to join, if it was told: any other is refused from the
    /// first message on.
    pub cluster_id: Option<String>,
    /// How often the leader says that it lives, in ms.
    pub heartbeat_ms: u64,
    /// The least a follower waits, after a leader's lease of `election_timeout_max_ms` ran out,
    /// before it stands for election, in ms. Must be more than `heartbeat_ms`.
    pub election_timeout_min_ms: u64,
    /// The most it waits, and the leader's lease, in ms. By default an election starts 550 to
    /// 700 ms after the last heartbeat, so a new leader serves in less than a second, and a disk
    /// or a scheduler may stall for half a second without one.
    pub election_timeout_max_ms: u64,
    /// Records between two snapshots.
    pub snapshot_every: u64,
    /// Records kept in the log although a snapshot covers them, for followers that lag a little.
    pub keep_log: u64,
    /// How long a follower may take to store records that it was sent. Longer than a heartbeat,
    /// because it includes its disk.
    pub append_timeout: Duration,
    /// How long sending one snapshot may take in all.
    pub snapshot_timeout: Duration,
    /// When connections to peers count as dead.
    pub keepalive: Keepalive,
    /// For how long this node leads, or has a leader, without proof: a majority that answers, or
    /// the leader's voice. In ms, on fast links; six times `election_timeout_max_ms` when absent.
    pub leadership_ms: Option<u64>,
    /// The time of the cluster, which this node follows.
    pub clock: ClusterClock,
    /// How peers are reached.
    pub dial: Arc<dyn Dial>,
    /// The id that the store gets if it has none; drawn at random when absent.
    pub fresh_store: Option<StoreId>,
    /// How many elections may have gone by that this node did not hear of: a message with a term
    /// beyond them is refused.
    pub unseen_elections: u64,
    /// How many times longer than configured timeouts become for slow links, at most, in
    /// thousandths.
    pub pace_max_permille: u32,
    /// Who waits for the disk.
    pub io: IoMode,
    /// Hears how long flushes of the log take.
    pub flush_timer: FlushTimer,
    /// Where forged messages of consensus are counted.
    pub refusals: Option<Refusals>,
    /// The file system of `data_dir`.
    pub volume: OnVolume,
}

impl fmt::Debug for RaftOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftOptions")
            .field("node_id", &self.node_id)
            .field("address", &self.address)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}

impl RaftOptions {
    /// The defaults, with unencrypted connections.
    pub fn new(node_id: u64, address: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            node_id,
            address: address.into(),
            data_dir: data_dir.into(),
            cluster_name: None,
            cluster_id: None,
            heartbeat_ms: 100,
            election_timeout_min_ms: 200,
            election_timeout_max_ms: 350,
            snapshot_every: 5000,
            keep_log: 1000,
            append_timeout: Duration::from_secs(2),
            snapshot_timeout: Duration::from_secs(300),
            keepalive: Keepalive::default(),
            leadership_ms: None,
            clock: ClusterClock::default(),
            dial: Arc::new(PlainDial),
            fresh_store: None,
            unseen_elections: UNSEEN_ELECTIONS,
            pace_max_permille: PACE_MAX,
            io: IoMode::Threaded,
            flush_timer: FlushTimer::default(),
            refusals: None,
            volume: OnVolume::default(),
        }
    }

    /// How long a leader may go without an answer from a majority, and a follower without a word of
    /// its leader, on fast links.
    pub(super) fn patience(&self) -> Duration {
        let default = self.election_timeout_max_ms.saturating_mul(6);
        Duration::from_millis(self.leadership_ms.unwrap_or(default))
    }

    /// The lease by these settings. A leader that lost its majority is silent for long enough for
    /// another election: a follower's lease and its longest wait.
    pub(super) fn lease(&self, pace: Pace) -> Lease {
        let quiet = Duration::from_millis(self.election_timeout_max_ms.saturating_mul(2));
        let links = Links::new(Duration::from_millis(self.heartbeat_ms), pace.clone());
        Lease::new(self.patience(), quiet, pace, links, self.clock.clone())
    }

    pub(super) fn openraft(&self) -> Result<Config, RaftError> {
        if self.node_id == 0 {
            return Err(RaftError::Options("the node id must not be 0".to_owned()));
        }
        if self.snapshot_every == 0 {
            return Err(RaftError::Options(
                "snapshot_every must not be 0".to_owned(),
            ));
        }
        let config = Config {
            cluster_name: "paasta".to_owned(),
            heartbeat_interval: self.heartbeat_ms,
            election_timeout_min: self.election_timeout_min_ms,
            election_timeout_max: self.election_timeout_max_ms,
            install_snapshot_timeout: self.snapshot_timeout.as_millis() as u64,
            max_payload_entries: MAX_APPEND_RECORDS,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every),
            replication_lag_threshold: self.snapshot_every.saturating_mul(2),
            max_in_snapshot_log_to_keep: self.keep_log,
            purge_batch_size: (self.keep_log / 4).max(1),
            api_channel_size: Some(MAX_WAITING_PROPOSALS),
            enable_pre_vote: Some(true),
            // A leader that restarts stands for election like anybody else: what it had applied
            // may be behind what it had acknowledged.
            enable_leader_restore: Some(false),
            backoff: BACKOFF.to_owned(),
            ..Config::default()
        };
        config
            .validate()
            .map_err(|error| RaftError::Options(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_contradictions_are_not() {
        let good = RaftOptions::new(1, "localhost:1", "/nowhere");
        assert!(good.openraft().is_ok());
        let bad = [
            RaftOptions {
                node_id: 0,
                ..good.clone()
            },
            RaftOptions {
                snapshot_every: 0,
                ..good.clone()
            },
            RaftOptions {
                heartbeat_ms: 200,
                ..good.clone()
            },
            RaftOptions {
                election_timeout_min_ms: 350,
                ..good
            },
        ];
        for options in bad {
            assert!(
                matches!(options.openraft(), Err(RaftError::Options(_))),
                "{options:?}"
            );
        }
    }

    #[test]
    fn an_election_ends_within_a_second_by_default() {
        let options = RaftOptions::new(1, "localhost:1", "/nowhere");
        let latest_start = options.election_timeout_max_ms * 2;
        assert!(
            latest_start <= 700,
            "300 ms are left for the votes and the first write"
        );
    }
}
