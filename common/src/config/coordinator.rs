//! The section `coordinator`.

use super::{
    COORDINATOR_HTTP_DEFAULT, COORDINATOR_LISTEN_DEFAULT,
    listen::{LISTEN, http_listen},
    tls::{TLS, TlsConfig},
};
use crate::{
    problem::Rule,
    soa::table::{
        Default::{Number as Num, Said, Text as Word, Whole as Int},
        Field, Kind, Range, Record, Table,
    },
};

/// A day, in milliseconds: the longest of the spans below.
const DAY_MS: f64 = 86_400_000.0;

pub(super) static COORDINATOR: Table = Table::warning(
    "the settings of paasta-coordinator",
    &[
        Field::new(
            "advertise",
            Kind::Text,
            "HOST:PORT at which the others reach it.",
        )
        .or(Said("what it listens on")),
        Field::new(
            "connection_idle_seconds",
            Kind::Whole(Range::within(10.0, 86_400.0)),
            "Seconds after which a connection of gRPC without a call is closed.",
        )
        .or(Int(900)),
        Field::new(
            "connections_max",
            Kind::Whole(Range::within(16.0, 1.0e6)),
            "Connections of gRPC, at most; also never more than the limit of open files leaves \
             room for.",
        )
        .or(Int(10_000)),
        Field::new(
            "connections_per_address",
            Kind::Whole(Range::within(8.0, 1.0e6)),
            "Connections of gRPC from one address, at most.",
        )
        .or(Int(1_000)),
        Field::new(
            "data_dir",
            Kind::Text,
            "The directory of the replicated log and its snapshots.",
        )
        .or(Word("/var/lib/paasta-coordinator")),
        Field::new(
            "election_timeout_max_ms",
            Kind::Whole(Range::within(10.0, DAY_MS)),
            "Milliseconds that it waits at most, and the leader's lease; more than \
             election_timeout_min_ms.",
        )
        .or(Int(350)),
        Field::new(
            "election_timeout_min_ms",
            Kind::Whole(Range::within(10.0, DAY_MS)),
            "Milliseconds that a follower waits at least, after the leader's lease, until it \
             stands for election; at least two heartbeats.",
        )
        .or(Int(200)),
        Field::new(
            "heartbeat_ms",
            Kind::Whole(Range::within(10.0, 10_000.0)),
            "Milliseconds between heartbeats of the leader.",
        )
        .or(Int(100)),
        Field::new(
            "http_listen",
            Kind::Shape(&LISTEN),
            "ADDRESS:PORT of the HTTP API and of /metrics, or off.",
        )
        .or(Word(COORDINATOR_HTTP_DEFAULT)),
        Field::new(
            "identity_dir",
            Kind::Text,
            "The directory of its certificate and key, where `tls` is not given: `init` and `join` \
             write them there.",
        )
        .or(Said("data_dir with .identity at its end")),
        Field::new(
            "join_addresses",
            Kind::List(&Kind::Text),
            "HOST:PORT of coordinators by which it joins with join_token_file.",
        )
        .or(Said("none")),
        Field::new(
            "join_token_file",
            Kind::Text,
            "A file with a join token. When it starts without an identity it joins with the token, \
             then removes the file.",
        )
        .or(Said("none")),
        Field::new(
            "lease_ms",
            Kind::Whole(Range::within(500.0, DAY_MS)),
            "Milliseconds for which an agent's session holds without news.",
        )
        .or(Int(3_000)),
        Field::new("listen", Kind::Text, "ADDRESS:PORT of gRPC.")
            .or(Word(COORDINATOR_LISTEN_DEFAULT)),
        Field::new(
            "lost_after_ms",
            Kind::Whole(Range::within(1_000.0, DAY_MS)),
            "Milliseconds after the end of its lease until a host is lost and its replicas are \
             replaced.",
        )
        .or(Int(10_000)),
        Field::new(
            "mass_failure_percent",
            Kind::Whole(Range::within(1.0, 100.0)),
            "When more than this percentage of the hosts goes silent at once nothing is \
             replaced.",
        )
        .or(Int(25)),
        Field::new(
            "node_id",
            Kind::Whole(Range::within(1.0, 9.0e15)),
            "This coordinator's number, unique in the cluster and never given to another one.",
        )
        .or(Said("none: paasta-coordinator asks for it")),
        Field::new(
            "paced_bounce_percent",
            Kind::Whole(Range::within(1.0, 100.0)),
            "Of a change that touches many instances and is no new version, the percentage of \
             them that bounces at once; two always may.",
        )
        .or(Int(10)),
        Field::new(
            "removal_guard_minutes",
            Kind::Whole(Range::within(1.0, 1_440.0)),
            "Minutes within which removals are counted together.",
        )
        .or(Int(60)),
        Field::new(
            "removal_guard_per_minute",
            Kind::Number(Range::within(0.0, 100_000.0)),
            "Removals that are slower than this, in instances a minute, are never held back.",
        )
        .or(Num(0.1)),
        Field::new(
            "removal_guard_percent",
            Kind::Whole(Range::within(1.0, 100.0)),
            "When more than this percentage of the instances that were declared within \
             removal_guard_minutes would be removed, they are held back until an operator means it.",
        )
        .or(Int(50)),
        Field::new(
            "removal_patience_seconds",
            Kind::Number(Range::within(0.0, 86_400.0)),
            "Seconds for which an instance must be absent from soa_dir, or without a deployed \
             version, before it is removed.",
        )
        .or(Num(60.0)),
        Field::new(
            "resync_seconds",
            Kind::Whole(Range::within(1.0, 86_400.0)),
            "Seconds between full readings of soa_dir.",
        )
        .or(Int(30)),
        Field::new(
            "snapshot_every",
            Kind::Whole(Range::within(100.0, 1.0e7)),
            "Log entries between snapshots.",
        )
        .or(Int(10_000)),
        Field::new(
            "tls",
            Kind::Map(&TLS),
            "The files of its TLS; without it those in identity_dir, and without these gRPC is plain \
             text, on loopback only.",
        )
        .or(Said("none")),
    ],
);

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
    /// `connections_max`: connections of gRPC, 16 to 1,000,000. Default 10,000; also never more than
    /// the limit of open files leaves room for.
    pub connections_max: usize,
    /// `connections_per_address`: connections of gRPC from one address, 8 to 1,000,000. Default
    /// 1,000.
    pub connections_per_address: usize,
    /// `connection_idle_seconds`: after which a connection of gRPC without a call is closed, 10 to
    /// 86,400. Default 900.
    pub connection_idle_seconds: u64,
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
    /// `paced_bounce_percent`: of a change that touches many instances, the part that bounces at
    /// once, 1 to 100; two always may. Default 10.
    pub paced_bounce_percent: u32,
    /// `removal_patience_seconds`: for how long an instance must be absent before it is removed, in
    /// milliseconds here; up to a day. Default a minute.
    pub removal_patience_ms: u64,
    /// `removal_guard_percent`: when more than this part of the instances would be removed within
    /// the window it is held back, 1 to 100. Default 50.
    pub removal_guard_percent: u32,
    /// `removal_guard_minutes`: the window, 1 to 1,440 minutes. Default 60.
    pub removal_guard_minutes: u64,
    /// `removal_guard_per_minute`: what is removed more slowly is not held back; thousandths of
    /// instances a minute here. Default 100, which is six an hour.
    pub removal_guard_per_minute_milli: u32,
    /// `lease_ms`: for how long an agent's session holds without news, 500 to a day. Default
    /// 3,000.
    pub lease_ms: u64,
    /// `lost_after_ms`: after its lease ran out this long ago a host is lost and its replicas are
    /// replaced, 1,000 to a day. Default 10,000.
    pub lost_after_ms: u64,
    /// `mass_failure_percent`: when more than this part of the hosts goes silent at once nothing
    /// is replaced, 1 to 100. Default 25.
    pub mass_failure_percent: u32,
    /// `tls`: the files of its TLS. Default none: those in `identity_dir`, or plain text, on
    /// loopback only.
    pub tls: Option<TlsConfig>,
    /// `identity_dir`: where `init` and `join` write its certificate and key. Default: `data_dir`
    /// with `.identity` at its end.
    pub identity_dir: Option<String>,
    /// `join_token_file`: a join token to use at the first start. Default none.
    pub join_token_file: Option<String>,
    /// `join_addresses`: `HOST:PORT` of coordinators to join by. Default none.
    pub join_addresses: Vec<String>,
}

impl CoordinatorConfig {
    pub(super) fn decode(fields: &mut Record<'_, '_>) -> Self {
        let listen = fields.text("listen").unwrap_or_default();
        let config = Self {
            node_id: fields.whole("node_id"),
            advertise: fields.text("advertise").unwrap_or_else(|| listen.clone()),
            listen,
            http_listen: http_listen(fields),
            connections_max: count(fields, "connections_max"),
            connections_per_address: count(fields, "connections_per_address"),
            connection_idle_seconds: fields.whole("connection_idle_seconds").unwrap_or_default(),
            data_dir: fields.text("data_dir").unwrap_or_default(),
            heartbeat_ms: fields.whole("heartbeat_ms").unwrap_or_default(),
            election_timeout_min_ms: fields.whole("election_timeout_min_ms").unwrap_or_default(),
            election_timeout_max_ms: fields.whole("election_timeout_max_ms").unwrap_or_default(),
            snapshot_every: fields.whole("snapshot_every").unwrap_or_default(),
            resync_seconds: fields.whole("resync_seconds").unwrap_or_default(),
            paced_bounce_percent: fields.whole32("paced_bounce_percent").unwrap_or_default(),
            removal_patience_ms: fields
                .seconds("removal_patience_seconds")
                .unwrap_or_default(),
            removal_guard_percent: fields.whole32("removal_guard_percent").unwrap_or_default(),
            removal_guard_minutes: fields.whole("removal_guard_minutes").unwrap_or_default(),
            removal_guard_per_minute_milli: fields
                .number("removal_guard_per_minute")
                .map_or(0, |rate| (rate * 1_000.0).round() as u32),
            lease_ms: fields.whole("lease_ms").unwrap_or_default(),
            lost_after_ms: fields.whole("lost_after_ms").unwrap_or_default(),
            mass_failure_percent: fields.whole32("mass_failure_percent").unwrap_or_default(),
            tls: TlsConfig::decode(fields),
            identity_dir: fields.text("identity_dir"),
            join_token_file: fields.text("join_token_file"),
            join_addresses: fields.texts("join_addresses").unwrap_or_default(),
        };
        config.check(fields);
        config
    }

    /// The directory of its identity.
    #[must_use]
    pub fn identity_dir(&self) -> String {
        let beside = || format!("{}.identity", self.data_dir.trim_end_matches('/'));
        self.identity_dir.clone().unwrap_or_else(beside)
    }

    /// Timers that contradict each other make a cluster that elects for ever.
    fn check(&self, fields: &mut Record<'_, '_>) {
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

fn count(fields: &mut Record<'_, '_>, key: &'static str) -> usize {
    let count = fields.whole(key).unwrap_or_default();
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Notes the message at the first of the keys that was given; one of them was, or the defaults
/// would contradict each other.
fn blame(fields: &mut Record<'_, '_>, keys: &[&'static str], message: &str) {
    let given = keys.iter().find_map(|key| Some((*key, fields.node(key)?)));
    if let Some((key, node)) = given {
        fields.error(key, &node.mark, Rule::Conflict, message);
    }
}
