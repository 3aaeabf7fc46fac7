//! What users ask for, resolved: the desired app of an instance and how to get there.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    app::AppSpec,
    id::AppId,
    smartstack::{Namespace, NamespaceOptions},
};

/// The desired state of one instance, as resolved from soa-configs and deployments.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// The id of the desired app; the hash of what is in `app`.
    pub app_id: AppId,
    /// The desired app.
    pub app: Arc<AppSpec>,
    /// How replicas are run; may change under a running app.
    pub run: Arc<RunSettings>,
    /// How many replicas are wanted, as configured; `desired_state` may still make that zero.
    pub instances: u32,
    /// Whether git says the instance should run.
    pub desired_state: DesiredState,
    /// The restart marker of deployments.json, already part of the app id.
    pub force_bounce: Option<String>,
    /// How to move from one app to the next.
    pub bounce: BounceSpec,
    /// Percent of the wanted replicas below which the instance is critical.
    pub replication_threshold: u32,
    /// The team that is told; without one nobody is.
    pub team: Option<String>,
    /// How the team is told.
    #[serde(default)]
    pub monitoring: Monitoring,
    /// Between what an autoscaler may choose, when the author says so. Nothing chooses yet:
    /// `instances` is the upper bound then, as in PaaSTA until its autoscaler has spoken.
    #[serde(default)]
    pub autoscaling: Option<Autoscaling>,
    /// The namespaces of `run.registrations` that are load balanced, with their options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub namespaces: BTreeMap<Namespace, Arc<NamespaceOptions>>,
}

/// The bounds of an instance's number, the lower one not above the upper one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Autoscaling {
    /// The fewest replicas.
    pub min: u32,
    /// The most replicas.
    pub max: u32,
}

impl InstanceSpec {
    /// How many replicas should run now: none when stopped.
    pub fn wanted(&self) -> u32 {
        match self.desired_state {
            DesiredState::Start => self.instances,
            DesiredState::Stop => 0,
        }
    }
}

/// How the team of an instance is told that it is in trouble: the fields of a Sensu event that an
/// author sets, and where replicas are counted. May change under a running app.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Monitoring {
    /// The host attribute per value of which replicas are counted beside the whole: the `discover`
    /// of the instance's own load-balanced namespace. Counted as a whole only when absent.
    pub location: Option<String>,
    /// For how long the trouble must last before anybody is told, in milliseconds; the operator's
    /// setting when absent.
    pub alert_after_ms: Option<u64>,
    /// After how many events it is said again; -1 for ever more rarely, which is also what absent
    /// means.
    pub realert_every: Option<i64>,
    /// Whether it wakes someone.
    pub page: bool,
    /// What to do.
    pub runbook: Option<String>,
    /// The same in a sentence.
    pub tip: Option<String>,
    /// Where mail goes instead of to the team.
    pub notification_email: Option<String>,
    /// Chat channels.
    pub irc_channels: Vec<String>,
    /// Chat channels.
    pub slack_channels: Vec<String>,
    /// Whether a ticket is opened.
    pub ticket: bool,
    /// Where the ticket goes.
    pub project: Option<String>,
    /// How urgent the ticket is.
    pub priority: Option<String>,
    /// Labels of the ticket.
    pub tags: Vec<String>,
    /// The part of the system that the ticket is about.
    pub component: Option<String>,
    /// The text of the ticket.
    pub description: Option<String>,
}

/// Whether an instance should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DesiredState {
    /// It should.
    #[default]
    Start,
    /// It was stopped by a control tag.
    Stop,
}

/// What an agent needs beside the app and what may change without a bounce.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSettings {
    /// The first delay after a failure, in milliseconds (PaaSTA: ceil(10 / instances) seconds).
    pub backoff_base_ms: u64,
    /// How a replica leaves the load balancer.
    pub drain: DrainMethod,
    /// The namespaces it is announced under, `service.namespace`; the first is the main one.
    pub registrations: Vec<String>,
    /// Milliseconds from SIGTERM to SIGKILL.
    pub stop_grace_ms: u64,
    /// The longest time a drain may take before the replica is stopped all the same, milliseconds.
    pub drain_timeout_ms: u64,
}

/// How a replica leaves the load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainMethod {
    /// Safe to stop at once.
    #[default]
    Noop,
    /// The host's hacheck is told that each registration is down; after a time it is safe to stop.
    Hacheck {
        /// Milliseconds from down to safe.
        delay_ms: u64,
        /// The port of hacheck on the replica's host.
        #[serde(default = "hacheck_port")]
        port: u16,
        /// Milliseconds after which hacheck forgets that it was told; 0 for ten times the delay.
        #[serde(default)]
        expiration_ms: u64,
    },
    /// Endpoints of the service itself (method `http`), as configured.
    Http {
        /// The parameters, as JSON text.
        params: String,
    },
    /// For tests: safe after this long.
    Test {
        /// Milliseconds from down to safe.
        delay_ms: u64,
    },
}

/// Where hacheck listens unless something else is configured.
pub const HACHECK_PORT: u16 = 6666;

fn hacheck_port() -> u16 {
    HACHECK_PORT
}

impl DrainMethod {
    /// The method `hacheck` with its defaults beside the delay.
    pub fn hacheck(delay_ms: u64) -> Self {
        Self::Hacheck {
            delay_ms,
            port: HACHECK_PORT,
            expiration_ms: 0,
        }
    }
}

/// How an instance moves from its old apps to the desired one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BounceSpec {
    /// The method.
    pub method: BounceMethod,
    /// The fraction of the instances that crossover protects.
    pub margin: Margin,
    /// A replica is happy only after running this long, in milliseconds.
    pub min_task_uptime_ms: u64,
    /// A replica is happy only when the load balancer sees it up.
    pub check_load_balancer: bool,
    /// The fraction of the hosts that must have it in service for that.
    pub min_fraction_up: Margin,
    /// Milliseconds in which the new app's first replica must be placed; 0 for no deadline.
    pub start_deadline_ms: u64,
    /// Milliseconds without progress after which `on_deadline` happens; never 0.
    pub progress_deadline_ms: u64,
    /// What happens at a deadline.
    pub on_deadline: OnDeadline,
}

/// The progress deadline when an instance names none: 10 minutes.
pub const PROGRESS_DEADLINE_MS: u64 = 600_000;

impl Default for BounceSpec {
    fn default() -> Self {
        Self {
            method: BounceMethod::Crossover,
            margin: Margin::ONE,
            min_task_uptime_ms: 0,
            check_load_balancer: false,
            min_fraction_up: Margin::ONE,
            start_deadline_ms: 0,
            progress_deadline_ms: PROGRESS_DEADLINE_MS,
            on_deadline: OnDeadline::GoOn,
        }
    }
}

/// The bounce methods of PaaSTA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BounceMethod {
    /// New and old change places at once.
    Brutal,
    /// The old app goes when the new one is wholly happy.
    UpThenDown,
    /// Each happy new replica lets one old replica go.
    Crossover,
    /// The old app is gone before the new one starts.
    DownThenUp,
    /// Everything old goes, nothing new comes.
    Down,
}

impl BounceMethod {
    /// Every method, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::Brutal,
        Self::UpThenDown,
        Self::Crossover,
        Self::DownThenUp,
        Self::Down,
    ];

    /// The name used in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Brutal => "brutal",
            Self::UpThenDown => "upthendown",
            Self::Crossover => "crossover",
            Self::DownThenUp => "downthenup",
            Self::Down => "down",
        }
    }

    /// The method of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }
}

impl fmt::Display for BounceMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happens when a bounce makes no progress until its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDeadline {
    /// Report it and keep trying, as PaaSTA does.
    #[default]
    GoOn,
    /// Place nothing new until an operator or a new version says so.
    Hold,
    /// Make the last app that was wholly happy the desired one again.
    Rollback,
}

/// A fraction in (0, 1], exact to a billionth: `bounce_margin_factor`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Margin(u32);

impl Margin {
    const UNIT: u32 = 1_000_000_000;
    /// The whole.
    pub const ONE: Self = Self(Self::UNIT);

    /// From a number in (0, 1]; `None` for any other.
    pub fn new(fraction: f64) -> Option<Self> {
        if !(fraction > 0.0 && fraction <= 1.0) {
            return None;
        }
        let parts = (fraction * f64::from(Self::UNIT)).round();
        // In range by the check above: 0 < parts <= 1e9.
        Some(Self((parts as u32).max(1)))
    }

    /// The number.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(Self::UNIT)
    }

    /// `ceil(instances * margin)`, with the product rounded as PaaSTA's double arithmetic does, so
    /// that both keep the same number of old replicas.
    pub fn of(self, instances: u32) -> u32 {
        (f64::from(instances) * self.as_f64()).ceil() as u32
    }
}

impl fmt::Debug for Margin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_f64())
    }
}

impl TryFrom<u32> for Margin {
    type Error = String;
    fn try_from(parts: u32) -> Result<Self, String> {
        match parts {
            1..=Self::UNIT => Ok(Self(parts)),
            _ => Err(format!("margin of {parts} billionths is not in (0, 1]")),
        }
    }
}

impl From<Margin> for u32 {
    fn from(margin: Margin) -> u32 {
        margin.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_round_as_double_arithmetic_does() {
        for (margin, instances, kept) in [
            (1.0, 3, 3),
            (0.5, 5, 3),
            (0.55, 100, 56),
            (0.7, 10, 7),
            (0.1, 3, 1),
            (0.5, 0, 0),
        ] {
            assert_eq!(
                Margin::new(margin).unwrap().of(instances),
                kept,
                "{margin} of {instances}"
            );
        }
        for bad in [0.0, -0.1, 1.000_001, f64::NAN, f64::INFINITY] {
            assert!(Margin::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_drain_of_an_older_release_is_read_with_the_defaults_of_hacheck() {
        let old = r#"{"hacheck": {"delay_ms": 7}}"#;
        let read: DrainMethod = serde_json::from_str(old).unwrap();
        assert_eq!(read, DrainMethod::hacheck(7));
    }

    #[test]
    fn a_stopped_instance_wants_nothing_and_every_method_has_its_name() {
        for method in BounceMethod::ALL {
            assert_eq!(BounceMethod::from_name(method.as_str()), Some(method));
            assert_eq!(
                serde_json::to_string(&method).unwrap(),
                format!("\"{method}\"")
            );
        }
        assert_eq!(BounceMethod::from_name("Crossover"), None);
    }
}
