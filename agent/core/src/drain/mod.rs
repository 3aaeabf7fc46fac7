//! How a replica leaves the load balancer before it is stopped. One method per file behind
//! `Method`; none of them can hold a bounce up: what fails counts as drained, and so does what
//! takes longer than the drain timeout.

pub mod calls;
mod delay;
mod hacheck;
mod http;

use paasta_common::{
    assignment::AssignedReplica, id::ReplicaId, spec::DrainMethod, time::Timestamp,
};

use crate::{
    actions::Action,
    settings::HostSettings,
    state::{Draining, Live},
};

/// The longest drain when none is configured, milliseconds.
pub const DRAIN_TIMEOUT_MS: u64 = 600_000;

/// A running replica that is to leave.
pub(crate) struct Leaving<'a> {
    pub(crate) id: ReplicaId,
    pub(crate) replica: &'a AssignedReplica,
    pub(crate) host: &'a HostSettings,
    pub(crate) host_port: Option<u16>,
}

/// What a method says when it is looked at.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Look {
    /// What to do now.
    pub(crate) action: Option<Action>,
    /// When time alone changes the answer.
    pub(crate) wake_at: Option<Timestamp>,
    /// What an operator should know.
    pub(crate) message: Option<String>,
}

/// One way to leave.
pub(crate) trait Method {
    /// Goes on leaving. Sets `draining.safe` when the replica may be stopped.
    fn leave(
        &self,
        leaving: &Leaving<'_>,
        draining: &mut Draining,
        live: &mut Live,
        now: Timestamp,
    ) -> Look;

    /// Takes it back, as after a roll back to the version that is still running. Nothing more is
    /// to be done when it returns no look.
    fn come_back(
        &self,
        leaving: &Leaving<'_>,
        draining: &Draining,
        live: &mut Live,
        now: Timestamp,
    ) -> Option<Look>;
}

pub(crate) fn method(of: &DrainMethod) -> Box<dyn Method + '_> {
    match of {
        DrainMethod::Noop => Box::new(delay::Delay { delay_ms: 0 }),
        DrainMethod::Hacheck {
            delay_ms,
            port,
            expiration_ms,
        } => Box::new(hacheck::Hacheck {
            delay_ms: *delay_ms,
            port: *port,
            expiration_ms: *expiration_ms,
        }),
        DrainMethod::Test { delay_ms } => Box::new(delay::Delay {
            delay_ms: *delay_ms,
        }),
        DrainMethod::Http { params } => Box::new(http::Http { params }),
    }
}

/// Goes on leaving, within the drain timeout.
pub(crate) fn leave(
    leaving: &Leaving<'_>,
    draining: &mut Draining,
    live: &mut Live,
    now: Timestamp,
) -> Look {
    if draining.safe {
        return Look::default();
    }
    let timeout_ms = match leaving.replica.run.drain_timeout_ms {
        0 => DRAIN_TIMEOUT_MS,
        ms => ms,
    };
    let deadline = draining.since.after_ms(timeout_ms);
    if now >= deadline {
        draining.safe = true;
        return Look {
            message: Some(format!("drain timed out after {timeout_ms} ms")),
            ..Look::default()
        };
    }
    let mut look = method(&leaving.replica.run.drain).leave(leaving, draining, live, now);
    if !draining.safe {
        look.wake_at = Some(look.wake_at.map_or(deadline, |at| at.min(deadline)));
    }
    look
}

#[cfg(test)]
mod tests;
