//! Refused calls and ended connections: each is counted by its cause, and of each cause one line is
//! logged in 10 s, as a caller that is refused may go on calling.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use paasta_process::{
    metrics::{Counts, Meters},
    throttle::Throttle,
};
use parking_lot::Mutex;

/// Between two log lines of one cause, at least.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Why a call is refused, or a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The connection proves no identity.
    NoCertificate,
    /// The certificate has expired since the handshake.
    Expired,
    /// The identity is revoked.
    Revoked,
    /// A coordinator that was removed from the cluster.
    Removed,
    /// A coordinator that is no member calls more than consensus.
    NotMember,
    /// The role may not call the method.
    Role,
    /// There is no such method.
    Method,
    /// A coordinator names an identity in no known form.
    Principal,
    /// A message of consensus in the name of another coordinator.
    ForgedSender,
}

/// Counts and logs refusals. Clones are the same.
#[derive(Debug, Clone)]
pub struct Refusals {
    calls: Counts,
    connections: Counts,
    logged: Arc<Mutex<Throttle<(bool, Cause)>>>,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 9] = [
        Self::NoCertificate,
        Self::Expired,
        Self::Revoked,
        Self::Removed,
        Self::NotMember,
        Self::Role,
        Self::Method,
        Self::Principal,
        Self::ForgedSender,
    ];
    /// Those for which an open connection ends.
    const ENDS: [Self; 3] = [Self::Expired, Self::Revoked, Self::Removed];

    /// The word in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Removed => "removed",
            Self::NotMember => "not-member",
            Self::Role => "role",
            Self::Method => "method",
            Self::Principal => "principal",
            Self::ForgedSender => "forged-sender",
        }
    }
}

impl Refusals {
    /// Counts in `meters`; once for a daemon.
    pub fn new(meters: &Meters) -> Self {
        let calls = meters.counts(
            "paasta_calls_refused_total",
            "Calls that were refused for what their caller is, by cause; what each means is in docs/operate/tls.md.",
            &["cause"],
        );
        let connections = meters.counts(
            "paasta_tls_connections_ended_total",
            "Open TLS connections that were ended as the other end has no rights any more, by cause.",
            &["cause"],
        );
        for cause in Cause::ALL {
            calls.with_label_values(&[cause.as_str()]);
        }
        for cause in Cause::ENDS {
            connections.with_label_values(&[cause.as_str()]);
        }
        Self {
            calls,
            connections,
            logged: Arc::new(Mutex::new(Throttle::new(LOG_EVERY))),
        }
    }

    /// A call is refused.
    pub fn call(&self, cause: Cause, words: &str) {
        self.calls.with_label_values(&[cause.as_str()]).inc();
        let admitted = self.logged.lock().admit(&(true, cause), Instant::now());
        if let Some(left_out) = admitted {
            let cause = cause.as_str();
            tracing::warn!(cause, left_out, error = words, "a call is refused");
        }
    }

    /// An open connection is ended.
    pub fn connection(&self, cause: Cause, words: &str) {
        self.connections.with_label_values(&[cause.as_str()]).inc();
        let admitted = self.logged.lock().admit(&(false, cause), Instant::now());
        if let Some(left_out) = admitted {
            let cause = cause.as_str();
            tracing::warn!(cause, left_out, error = words, "a connection is ended");
        }
    }
}
