//! How far a host is emptied: what is left there, what each replica waits for, and whether the
//! machine may be taken away. The emptying itself is `plan::reconcile`.

use std::fmt;

use paasta_common::{
    assignment::Want,
    id::{AppId, HostId, InstanceId, ReplicaId},
    text::count_of,
    time::Timestamp,
};

use super::{
    brake::is_silent,
    class::Class,
    observed::Observed,
    report::{Awaited, Report},
};
use crate::state::{ClusterState, Replica, host::Host};

/// How far one host is emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emptying {
    /// How the host stands.
    pub standing: Standing,
    /// What is left there, by id.
    pub leaving: Vec<Leaving>,
}

/// How a host stands, as far as taking it away is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It takes work.
    Up,
    /// An operator empties it.
    Draining,
    /// Its lease ran out.
    Silent,
    /// Declared lost.
    Lost,
}

/// A replica that has not left yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// The replica.
    pub id: ReplicaId,
    /// Its instance.
    pub instance: InstanceId,
    /// Its app.
    pub app: AppId,
    /// What it counts as.
    pub class: Class,
    /// What it waits for, in words.
    pub waits_for: String,
}

/// How far the host is emptied; none when it is not registered.
#[must_use]
pub fn emptying(
    state: &ClusterState,
    observed: &Observed,
    report: &Report,
    id: &HostId,
    now: Timestamp,
) -> Option<Emptying> {
    let host = state.host(id)?;
    let standing = standing(host, is_silent(host, observed, now));
    let leaving = state.replicas_on(id);
    Some(Emptying {
        standing,
        leaving: leaving
            .map(|(id, replica)| leaving_replica(report, standing, id, replica))
            .collect(),
    })
}

impl Emptying {
    /// Whether nothing of the cluster is there and nothing will be placed there.
    pub fn is_safe(&self) -> bool {
        match self.standing {
            Standing::Lost => true,
            Standing::Draining => self.leaving.is_empty(),
            Standing::Up | Standing::Silent => false,
        }
    }
}

/// `1 replica is`, `2 replicas are`.
fn are(left: usize) -> String {
    let verb = if left == 1 { "is" } else { "are" };
    format!("{} {verb}", count_of(left, "replica"))
}

impl fmt::Display for Emptying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.leaving.len();
        match self.standing {
            Standing::Lost => f.write_str("declared lost: what it ran is replaced elsewhere"),
            Standing::Silent => {
                let replicas = count_of(left, "replica");
                write!(f, "silent: whether its {replicas} run is unknown")
            }
            Standing::Up => write!(
                f,
                "takes work, {}: drain it first",
                count_of(left, "replica")
            ),
            Standing::Draining if left == 0 => f.write_str("empty: safe to stop"),
            Standing::Draining => write!(f, "{} left", are(left)),
        }
    }
}

impl Standing {
    /// The word used in status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Silent => "silent",
            Self::Lost => "lost",
        }
    }
}

fn standing(host: &Host, silent: bool) -> Standing {
    if host.is_lost() {
        Standing::Lost
    } else if silent {
        Standing::Silent
    } else if host.maintenance.is_some() {
        Standing::Draining
    } else {
        Standing::Up
    }
}

fn leaving_replica(
    report: &Report,
    standing: Standing,
    id: ReplicaId,
    replica: &Replica,
) -> Leaving {
    let instance = report.instances.get(&replica.instance);
    let view = instance.and_then(|report| report.replicas.iter().find(|view| view.id == id));
    let class = view.map_or(Class::Starting, |view| view.class);
    let waits_for = match (replica.want, standing) {
        (Want::Drain, _) => "to leave the load balancer".to_owned(),
        (Want::Stop, _) => "to stop".to_owned(),
        (Want::Run, Standing::Up) => "nothing: it stays".to_owned(),
        (Want::Run, _) => {
            let reasons = instance.iter().flat_map(|report| &report.waiting);
            let reasons: Vec<String> = reasons
                .filter(|waiting| holds_up(&waiting.what))
                .map(ToString::to_string)
                .collect();
            match reasons.is_empty() {
                true => "a happy replacement".to_owned(),
                false => format!("a happy replacement ({})", reasons.join("; ")),
            }
        }
    };
    Leaving {
        id,
        instance: replica.instance.clone(),
        app: replica.app.clone(),
        class,
        waits_for,
    }
}

/// Whether what an instance waits for may be what its replacements wait for.
fn holds_up(what: &Awaited) -> bool {
    match what {
        Awaited::Capacity { .. }
        | Awaited::OtherHost { .. }
        | Awaited::NotHappyYet { .. }
        | Awaited::OldVersionGone { .. }
        | Awaited::HostsToReport { .. }
        | Awaited::MethodDown { .. }
        | Awaited::MassFailureBrake
        | Awaited::Held => true,
        Awaited::Draining { .. }
        | Awaited::Proxies { .. }
        | Awaited::Stopping { .. }
        | Awaited::HostAway { .. }
        | Awaited::Overdue
        | Awaited::ConfigBroken { .. }
        | Awaited::Pinned { .. }
        | Awaited::Removal { .. }
        | Awaited::Turn(_)
        | Awaited::Avoided { .. } => false,
    }
}
