//! The section `coordinator`.

use super::{COORDINATOR_HTTP_DEFAULT, COORDINATOR_LISTEN_DEFAULT};
use crate::soa::decode::{Fields, Range};

/// A day, in milliseconds: the longest of the spans below.
const DAY_MS: f64 = 86_400_000.0;

/// Settings of `paasta-coordinator`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinatorConfig {
    /// `node_id`: this coordinator's number, unique in the cluster for ever, from 1. No default:
    /// the program asks for it.
    pub node_id: Option<u64>,
    /// `listen`: `ADDRESS:PORT` of gRPC. Default `127.0.0.1:7401`.
    pub listen: String,
    /// `advertise`: `HOST:PORT` at which the others reach it. Default: what it listens on.
    pub advertise: String,
    /// `http_listen`: `ADDRESS:PORT` of the HTTP API and of `/metrics`, or `off`. Default
    /// `127.0.0.1:7402`.
    pub http_listen: String,
    /// `data_dir`: the replicated log and snapshots. Default `/var/lib/paasta-coordinator`.
    pub data_dir: String,
    /// `heartbeat_ms`: between heartbeats of the leader, 10 to 10,000. Default 100.
    pub heartbeat_ms: u64,
    /// `election_timeout_min_ms`: after the leader's lease (`election_timeout_max_ms` without a
    /// heartbeat) a follower waits at least this long, at least two heartbeats. Default 200.
    pub election_timeout_min_ms: u64,
    /// `election_timeout_max_ms`: the longest it waits, and the leader's lease, more than the
    /// shortest. Default 350: an election begins 550 to 700 ms after the last heartbeat.
    pub election_timeout_max_ms: u64,
    /// `snapshot_every`: log entries between snapshots, 100 to 10,000,000. Default 10,000.
    pub snapshot_every: u64,
    /// `resync_seconds`: between full readings of the soa directory, 1 to 86,400. Default 30.
    pub resync_seconds: u64,
    /// `lease_ms`: for how long an agent's session holds without news, 500 to a day. Default
    /// 3,000.
    pub lease_ms: u64,
    /// `lost_after_ms`: after its lease ran out this long ago a host is lost and its replicas are
    /// replaced, 1,000 to a day. Default 10,000.
    pub lost_after_ms: u64,
    /// `mass_failure_percent`: when more than this part of the hosts goes silent at once nothing
    /// is replaced, 1 to 100. Default 25.
    pub mass_failure_percent: u32,
}

impl CoordinatorConfig {
    pub(super) fn decode(fields: &mut Fields<'_, '_>) -> Self {
        let listen = fields
            .text("listen")
            .unwrap_or_else(|| COORDINATOR_LISTEN_DEFAULT.to_owned());
        let timer = Range::within(10.0, DAY_MS);
        let heartbeats = Range::within(10.0, 10_000.0);
        let config = Self {
            node_id: fields.whole("node_id", Range::within(1.0, 9.0e15)),
            advertise: fields.text("advertise").unwrap_or_else(|| listen.clone()),
            listen,
            http_listen: fields
                .text("http_listen")
                .unwrap_or_else(|| COORDINATOR_HTTP_DEFAULT.to_owned()),
            data_dir: fields
                .text("data_dir")
                .unwrap_or_else(|| "/var/lib/paasta-coordinator".to_owned()),
            heartbeat_ms: fields.whole("heartbeat_ms", heartbeats).unwrap_or(100),
            election_timeout_min_ms: fields
                .whole("election_timeout_min_ms", timer)
                .unwrap_or(200),
            election_timeout_max_ms: fields
                .whole("election_timeout_max_ms", timer)
                .unwrap_or(350),
            snapshot_every: fields
                .whole("snapshot_every", Range::within(100.0, 1.0e7))
                .unwrap_or(10_000),
            resync_seconds: fields
                .whole("resync_seconds", Range::within(1.0, 86_400.0))
                .unwrap_or(30),
            lease_ms: fields
                .whole("lease_ms", Range::within(500.0, DAY_MS))
                .unwrap_or(3_000),
            lost_after_ms: fields
                .whole("lost_after_ms", Range::within(1_000.0, DAY_MS))
                .unwrap_or(10_000),
            mass_failure_percent: fields
                .whole32("mass_failure_percent", Range::within(1.0, 100.0))
                .unwrap_or(25),
        };
        config.check(fields);
        config
    }

    /// Timers that contradict each other make a cluster that elects for ever.
    fn check(&self, fields: &mut Fields<'_, '_>) {
        let (min, max) = (self.election_timeout_min_ms, self.election_timeout_max_ms);
        if min < 2 * self.heartbeat_ms {
            let message = format!(
                "election_timeout_min_ms ({min}) must be at least twice heartbeat_ms ({})",
                self.heartbeat_ms
            );
            blame(
                fields,
                &["election_timeout_min_ms", "heartbeat_ms"],
                &message,
            );
        }
        if max <= min {
            let message = format!(
                "election_timeout_max_ms ({max}) must be more than election_timeout_min_ms ({min})"
            );
            let keys = ["election_timeout_max_ms", "election_timeout_min_ms"];
            blame(fields, &keys, &message);
        }
    }
}

/// Notes the message at the first of the keys that was given; one of them was, or the defaults
/// would contradict each other.
fn blame(fields: &mut Fields<'_, '_>, keys: &[&'static str], message: &str) {
    let given = keys.iter().find_map(|key| Some((*key, fields.node(key)?)));
    if let Some((key, node)) = given {
        fields.error(key, &node.mark, message);
    }
}
