//! The cluster's own events as log lines: `deploy` is what is done to make things as they should
//! be, `monitoring` what is alarming about them.

use std::collections::BTreeSet;

use paasta_common::id::InstanceId;
use paasta_coordinator_core::state::{
    ClusterState,
    event::{Event, EventKind, Subject},
};
use paasta_proto::v1::{LogComponent, LogLevel, LogLine};

const MS: u64 = 1_000_000;

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of these instances.
    pub instances: BTreeSet<InstanceId>,
    /// `deploy` is among the components.
    pub deploy: bool,
    /// `monitoring` is.
    pub monitoring: bool,
    /// From here on, nanoseconds since the Unix epoch.
    pub since_ns: u64,
    /// Up to here; 0 for no end.
    pub until_ns: u64,
}

/// The events after log index `after`, the oldest first.
pub fn lines(state: &ClusterState, wanted: &Wanted, after: u64) -> Vec<LogLine> {
    let cluster = state.cluster().map(|cluster| cluster.name.to_string());
    let cluster = cluster.unwrap_or_default();
    let newer = state.events().filter(|event| event.index > after);
    newer
        .filter_map(|event| line(event, wanted, &cluster))
        .collect()
}

fn line(event: &Event, wanted: &Wanted, cluster: &str) -> Option<LogLine> {
    let (component, level) = match event.kind {
        EventKind::Desired | EventKind::Bounce | EventKind::Config | EventKind::Failure => {
            (LogComponent::Deploy, LogLevel::Event)
        }
        EventKind::Placement | EventKind::Replicas => (LogComponent::Deploy, LogLevel::Debug),
        EventKind::Alert => (LogComponent::Monitoring, LogLevel::Event),
        EventKind::Cluster | EventKind::Host | EventKind::Admin => return None,
    };
    let chosen = match component {
        LogComponent::Deploy => wanted.deploy,
        LogComponent::Monitoring => wanted.monitoring,
        LogComponent::Unspecified | LogComponent::Stdout | LogComponent::Stderr => false,
    };
    let (service, instance) = subject(&event.subject, wanted)?;
    let at_ns = event.at.0.saturating_mul(MS);
    let within = at_ns >= wanted.since_ns && (wanted.until_ns == 0 || at_ns <= wanted.until_ns);
    (chosen && within).then(|| LogLine {
        at_ns,
        component: component.into(),
        level: level.into(),
        cluster: cluster.to_owned(),
        service,
        instance,
        message: event.text.clone().into_bytes(),
        ..LogLine::default()
    })
}

/// The service and the instance of an event, if they are wanted. What concerns a whole service has
/// no instance, as PaaSTA writes it.
fn subject(subject: &Subject, wanted: &Wanted) -> Option<(String, String)> {
    let named = |id: &InstanceId| (id.service.to_string(), id.instance.to_string());
    match subject {
        Subject::Instance(id) => wanted.instances.contains(id).then(|| named(id)),
        Subject::Config(scope) => {
            let mut instances = wanted.instances.iter();
            if let Some(id) = instances.find(|id| id.to_string() == *scope) {
                return Some(named(id));
            }
            let mut instances = wanted.instances.iter();
            instances
                .any(|id| id.service.as_str() == scope)
                .then(|| (scope.clone(), "N/A".to_owned()))
        }
        Subject::Cluster | Subject::Host(_) => None,
    }
}
