//! What is so and what is waited for, as types that print as words: the body of `paasta status` and
//! `paasta why`. Made with every plan and never stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use paasta_common::{
    assignment::Want,
    id::{AppId, HostId, InstanceId, ReplicaId},
    spec::BounceMethod,
    text::count,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{class::Class, place::Refusals};
use crate::state::{
    absence::Removal,
    bounce::{BounceCounts, BouncePhase},
};

/// How things stand, as the plan saw them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// The instances that were looked at.
    pub instances: BTreeMap<InstanceId, Arc<InstanceReport>>,
    /// The hosts that are not simply up, by id.
    pub hosts: BTreeMap<HostId, HostReport>,
    /// Set while too many hosts are silent at once to believe it.
    pub brake: Option<Brake>,
}

/// Why nothing is replaced: too many hosts are silent at once (I7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brake {
    /// How many are silent.
    pub silent: u32,
    /// Of how many that are not lost.
    pub total: u32,
    /// The first of them, by id; at most [`BRAKE_HOSTS_MAX`].
    pub hosts: Vec<HostId>,
}

/// How many silent hosts a [`Brake`] names.
pub const BRAKE_HOSTS_MAX: usize = 10;

/// What is not simply well with a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// What it is, in order of weight.
    pub trouble: HostTrouble,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// When the planner will do something about it.
    pub deadline: Option<Timestamp>,
}

/// What may be wrong with a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostTrouble {
    /// Declared lost.
    Lost,
    /// Its lease ran out.
    Silent,
    /// Not heard from since the election.
    NotReported,
    /// Its container runtime does not answer.
    RuntimeDegraded {
        /// What its agent says.
        reason: String,
    },
    /// An operator empties it.
    Draining {
        /// Why.
        reason: String,
    },
}

/// How an instance stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceReport {
    /// Whether it is declared.
    pub declared: bool,
    /// The desired app.
    pub desired: AppId,
    /// How many replicas of it are wanted.
    pub wanted: u32,
    /// Replicas of the desired app, by class.
    pub new: Counts,
    /// Replicas of every other app, by class.
    pub old: Counts,
    /// Every replica, by id.
    pub replicas: Vec<ReplicaView>,
    /// The bounce under way.
    pub bounce: Option<BounceView>,
    /// What is waited for; nothing when all is as wanted.
    pub waiting: Vec<WaitingOn>,
}

/// Replicas by class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Serving and well.
    pub happy: u32,
    /// Running badly.
    pub unhappy: u32,
    /// On their way up.
    pub starting: u32,
    /// On a host that is being drained.
    pub at_risk: u32,
    /// Leaving the load balancer.
    pub draining: u32,
    /// Told to stop.
    pub stopping: u32,
    /// On a host that is silent or has not reported yet.
    pub unknown: u32,
    /// On a lost host.
    pub lost: u32,
}

/// One replica, classed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaView {
    /// The replica.
    pub id: ReplicaId,
    /// Its app.
    pub app: AppId,
    /// Its host.
    pub host: HostId,
    /// What should become of it.
    pub want: Want,
    /// What it counts as.
    pub class: Class,
}

/// The bounce under way, as seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BounceView {
    /// The method in force.
    pub method: BounceMethod,
    /// The apps that leave.
    pub from: Vec<AppId>,
    /// The app that comes.
    pub to: AppId,
    /// Its numbers.
    pub counts: BounceCounts,
    /// Since when.
    pub since: Timestamp,
    /// When it last came closer to its end.
    pub last_progress_at: Timestamp,
    /// When it will count as stuck.
    pub deadline: Option<Timestamp>,
    /// Whether it goes on.
    pub phase: BouncePhase,
}

/// Something that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingOn {
    /// What.
    pub what: Awaited,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// When the waiting ends by itself, if it does.
    pub deadline: Option<Timestamp>,
}

/// What can be waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// Hosts that can take the missing replicas.
    Capacity {
        /// How many are missing.
        missing: u32,
        /// Why no host takes them.
        refusals: Refusals,
    },
    /// A host for a replica that fails again and again where it is.
    OtherHost {
        /// The replica.
        replica: ReplicaId,
        /// Why no host takes it.
        refusals: Refusals,
    },
    /// New replicas to become happy.
    NotHappyYet {
        /// Which.
        replicas: Vec<ReplicaId>,
    },
    /// Replicas to leave the load balancer.
    Draining {
        /// Which.
        replicas: Vec<ReplicaId>,
    },
    /// Load balancers to answer for replicas that come, or to be done with replicas that leave.
    Proxies {
        /// The replicas.
        replicas: Vec<ReplicaId>,
        /// Some of the hosts.
        hosts: Vec<HostId>,
        /// What they have still to finish, as far as they answered; 0 for replicas that come.
        sessions: u64,
    },
    /// Replicas to stop.
    Stopping {
        /// Which.
        replicas: Vec<ReplicaId>,
    },
    /// The old version to be gone before the new one may start.
    OldVersionGone {
        /// What is left of it.
        replicas: Vec<ReplicaId>,
    },
    /// A silent or lost host to return or be given up.
    HostAway {
        /// The hosts.
        hosts: Vec<HostId>,
    },
    /// Hosts to report to the new leader.
    HostsToReport {
        /// The hosts.
        hosts: Vec<HostId>,
    },
    /// Nothing in particular: replicas were moved away from hosts, which are avoided for a while.
    Avoided {
        /// The hosts.
        hosts: Vec<HostId>,
    },
    /// Another bounce method: `down` brings nothing.
    MethodDown {
        /// How many replicas are missing.
        missing: u32,
    },
    /// The mass-failure brake to be released.
    MassFailureBrake,
    /// An operator or a new version, as the bounce is held.
    Held,
    /// Nothing in particular: the bounce made no progress until its deadline and goes on trying.
    Overdue,
    /// The configuration to be mended; the last good desired state is in force.
    ConfigBroken {
        /// How many problems.
        problems: u32,
        /// The first of them.
        first: String,
    },
    /// Its removal, as readings of the configuration do not have it any more.
    Removal {
        /// What they say.
        removal: Removal,
        /// Whether it is held back, as too many others are absent, too.
        held_back: bool,
    },
    /// Its turn to bounce, by a change that touches many.
    Turn(Turns),
    /// A new version, as another app than the configured one is in force.
    Pinned {
        /// The app in force.
        app: AppId,
        /// Why.
        reason: String,
    },
}

/// How it stands with a change that touches many instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Turns {
    /// So many bounce now.
    pub going: u32,
    /// So many were to, and their deadline passed.
    pub stuck: u32,
    /// So many may bounce at once.
    pub most: u32,
    /// So many wait.
    pub waiting: u32,
}

impl Report {
    /// Takes in a report that looked at `looked_at` only; what it says of hosts is all there is to
    /// say of them.
    pub fn update(&mut self, newer: Self, looked_at: &BTreeSet<InstanceId>) {
        for id in looked_at {
            self.instances.remove(id);
        }
        self.instances.extend(newer.instances);
        self.hosts = newer.hosts;
        self.brake = newer.brake;
    }

    /// The instances that wait for room on the hosts, or for hosts to report.
    pub fn starved(&self) -> impl Iterator<Item = &InstanceId> {
        let waits = |on: &WaitingOn| {
            matches!(
                on.what,
                Awaited::Capacity { .. }
                    | Awaited::OtherHost { .. }
                    | Awaited::HostsToReport { .. }
            )
        };
        let starved = self
            .instances
            .iter()
            .filter(move |(_, report)| report.waiting.iter().any(waits));
        starved.map(|(id, _)| id)
    }
}

impl fmt::Display for WaitingOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capacity { missing, refusals } => {
                let replicas = count(*missing, "replica");
                write!(f, "{replicas} cannot be placed: {refusals}")
            }
            Self::OtherHost { replica, refusals } => {
                write!(
                    f,
                    "{replica} fails again and again where it is, and no other host takes it: {refusals}"
                )
            }
            Self::NotHappyYet { replicas } => {
                write!(f, "waiting for {} to become happy", Few(replicas))
            }
            Self::Draining { replicas } => {
                let few = Few(replicas);
                write!(f, "waiting for {few} to leave the load balancer")
            }
            Self::Proxies {
                replicas,
                hosts,
                sessions,
            } => proxies(f, replicas, hosts, *sessions),
            Self::Stopping { replicas } => write!(f, "waiting for {} to stop", Few(replicas)),
            Self::OldVersionGone { replicas } => {
                let verb = if replicas.len() == 1 { "is" } else { "are" };
                write!(
                    f,
                    "the new version starts when {} {verb} gone",
                    Few(replicas)
                )
            }
            Self::HostAway { hosts } => write!(f, "not heard from: {}", Few(hosts)),
            Self::HostsToReport { hosts } => {
                write!(f, "waiting for the first report of {}", Few(hosts))
            }
            Self::Avoided { hosts } => {
                write!(f, "replicas failed there, so new ones avoid {}", Few(hosts))
            }
            Self::MethodDown { missing } => {
                let are = are(*missing, "replica");
                write!(f, "{are} missing, as bounce method down brings none")
            }
            Self::MassFailureBrake => write!(
                f,
                "too many hosts are silent at once: nothing is replaced until they speak or an operator declares them lost"
            ),
            Self::Held => write!(
                f,
                "held: deploy another version, or see `paasta bounce resume` and `paasta bounce rollback`"
            ),
            Self::Overdue => write!(f, "no progress until the deadline; still trying"),
            Self::ConfigBroken { problems, first } => {
                write!(
                    f,
                    "{}, the last good version stays: {first}",
                    count(*problems, "configuration problem")
                )
            }
            Self::Removal { removal, held_back } => {
                write!(f, "{}{}", removal.words(), removal_then(*held_back))
            }
            Self::Turn(turns) => turns.fmt(f),
            Self::Pinned { app, reason } => {
                write!(f, "{app} runs instead of the configured version: {reason}")
            }
        }
    }
}

fn proxies(
    f: &mut fmt::Formatter<'_>,
    replicas: &[ReplicaId],
    hosts: &[HostId],
    sessions: u64,
) -> fmt::Result {
    let (hosts, replicas) = (Few(hosts), Few(replicas));
    write!(
        f,
        "waiting for the load balancers of {hosts} to answer for {replicas}"
    )?;
    match sessions {
        0 => Ok(()),
        _ => write!(f, ": {} to finish", count(sessions, "session")),
    }
}

/// `1 replica is`, `2 replicas are`.
fn are(number: u32, noun: &str) -> String {
    let verb = if number == 1 { "is" } else { "are" };
    format!("{} {verb}", count(number, noun))
}

fn removal_then(held_back: bool) -> &'static str {
    match held_back {
        true => ", and its removal is held back, as too many would go together",
        false => ": it is removed unless it comes back",
    }
}

impl fmt::Display for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "waiting for its turn to bounce by a change that touches many: {} bounce now, at most {} at once, {} wait",
            self.going, self.most, self.waiting
        )?;
        match self.stuck {
            0 => Ok(()),
            stuck => write!(f, ", {stuck} are stuck: see `paasta bounce status`"),
        }
    }
}

impl fmt::Display for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} silent at once ({}): nothing is replaced or cleaned up until they speak or are declared lost",
            self.silent,
            are(self.total, "host"),
            Few(&self.hosts)
        )
    }
}

/// Prints the first few of a list and how many more there are.
struct Few<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Few<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        for (at, item) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{item}", if at == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl Counts {
    pub(super) fn add(&mut self, class: Class) {
        let count = match class {
            Class::Happy => &mut self.happy,
            Class::Unhappy => &mut self.unhappy,
            Class::Starting => &mut self.starting,
            Class::AtRisk => &mut self.at_risk,
            Class::Draining => &mut self.draining,
            Class::Stopping => &mut self.stopping,
            Class::Unknown => &mut self.unknown,
            Class::Lost => &mut self.lost,
        };
        *count += 1;
    }
}
