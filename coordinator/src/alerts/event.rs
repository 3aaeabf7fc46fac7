//! An alert as Sensu takes it: the fields that PaaSTA's users have handlers for.

use std::time::Duration;

use paasta_common::{id::InstanceId, spec::Monitoring};
use paasta_coordinator_core::{
    plan::{replication::Checker, report::Report},
    state::{ClusterState, alert::Alert},
};
use serde::Serialize;

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Whether enough replicas serve.
    Replication,
    /// Whether the configuration is accepted.
    Configuration,
}

/// What an event is about.
pub(super) struct About {
    pub(super) check: Check,
    /// The instance or service.
    pub(super) name: String,
    /// What to look at, where the team does not say.
    pub(super) tip: String,
}

/// How bad an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Ok,
    Critical,
}

/// A Sensu event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Event {
    /// Not Sensu's: the instance or service.
    #[serde(skip)]
    pub(super) about: String,
    /// Not Sensu's: what was looked at.
    #[serde(skip)]
    pub(super) check: Check,
    name: String,
    source: String,
    /// 0 is OK, 2 is critical.
    status: u8,
    output: String,
    pub(super) team: Option<String>,
    page: bool,
    runbook: String,
    tip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification_email: Option<String>,
    irc_channels: Vec<String>,
    slack_channels: Vec<String>,
    ticket: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<String>,
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    check_every: String,
    realert_every: i64,
    /// The wait is over when an event is sent: Sensu must not wait again.
    alert_after: String,
}

/// What `alert` says of the instance; none when the instance is not known any more.
pub(super) fn replication(
    state: &ClusterState,
    report: &Report,
    id: &InstanceId,
    alert: &Alert,
    every: Duration,
) -> Option<Event> {
    let spec = &state.instance(id)?.spec;
    let found = Checker::new(state, report).check(id);
    let details = found.map(|found| found.to_string()).unwrap_or_default();
    let about = About {
        check: Check::Replication,
        name: id.to_string(),
        tip: format!("paasta why {id}"),
    };
    let output = format!("{}\n{details}", alert.text).trim_end().to_owned();
    let told = (spec.team.clone(), spec.monitoring.clone());
    Some(compose(state, about, alert.critical, output, told, every))
}

/// An event with everything that its team's settings say.
pub(super) fn compose(
    state: &ClusterState,
    about: About,
    critical: bool,
    output: String,
    (team, told): (Option<String>, Monitoring),
    every: Duration,
) -> Event {
    let cluster = state.cluster().map(|cluster| cluster.name.to_string());
    let About { check, name, tip } = about;
    Event {
        name: format!("{}.{name}", check.name()),
        about: name,
        check,
        source: format!("paasta-{}", cluster.unwrap_or_default()),
        status: if critical { 2 } else { 0 },
        output,
        team,
        page: told.page,
        runbook: told
            .runbook
            .unwrap_or_else(|| "none: set `runbook` in monitoring.yaml".to_owned()),
        tip: told.tip.unwrap_or(tip),
        notification_email: told.notification_email,
        irc_channels: told.irc_channels,
        slack_channels: told.slack_channels,
        ticket: told.ticket,
        project: told.project,
        priority: told.priority,
        tags: told.tags,
        component: told.component,
        description: told.description,
        check_every: format!("{}s", every.as_secs()),
        realert_every: told.realert_every.unwrap_or(-1),
        alert_after: "0s".to_owned(),
    }
}

impl Check {
    /// The check's name, followed by the instance's: those that handlers know from PaaSTA.
    fn name(self) -> &'static str {
        match self {
            Self::Replication => "check_paasta_services_replication",
            Self::Configuration => "setup_marathon_job",
        }
    }

    /// The word for the log.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Replication => "replication",
            Self::Configuration => "configuration",
        }
    }
}

impl Event {
    pub(super) fn severity(&self) -> Severity {
        match self.status {
            0 => Severity::Ok,
            _ => Severity::Critical,
        }
    }

    /// What it says in one line.
    pub(super) fn headline(&self) -> &str {
        self.output.lines().next().unwrap_or_default()
    }

    /// The event that ends this one.
    pub(super) fn over(mut self, output: &str) -> Self {
        self.status = 0;
        output.clone_into(&mut self.output);
        self
    }

    /// The event as JSON, on one line.
    pub(super) fn json(&self) -> String {
        // Only maps with keys that are no text can fail, and there are none.
        serde_json::to_string(self).unwrap_or_default()
    }
}
