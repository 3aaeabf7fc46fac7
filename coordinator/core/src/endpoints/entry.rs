//! One endpoint as the leader knows it: where it is, what is to be done with it, and from which
//! locations clients see it.

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::{
    assignment::Want,
    endpoints::{Endpoint, EndpointState, WEIGHT},
    host::HostInfo,
    id::{InstanceId, ReplicaId},
    report::{Health, Phase, ReplicaReport},
    smartstack::{LocationType, NamespaceOptions},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::Heard;
use crate::state::{ClusterState, Replica};

/// A location in which an endpoint is announced: its type, and its name, which is empty for hosts
/// that have no such attribute. Those are one location.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Label {
    kind: LocationType,
    name: Arc<str>,
}

/// How a host sees an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// In the location that its clients choose from.
    Near,
    /// In a wider location in which the namespace is announced, too.
    Wide,
}

/// One endpoint of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    endpoint: Endpoint,
    /// The attributes of its host.
    attributes: Arc<BTreeMap<String, String>>,
    pool: Arc<str>,
    labels: Vec<Label>,
    /// The number of the change that made it as it is.
    since: u64,
    /// When that was.
    at: Timestamp,
}

/// What is known of a replica, for all its namespaces.
pub(super) struct Facts<'a> {
    host: &'a HostInfo,
    instance: &'a InstanceId,
    port: u16,
    state: EndpointState,
}

/// What is known of a replica; none when it is no endpoint of anything.
pub(super) fn facts<'a>(
    state: &'a ClusterState,
    heard: Option<Heard<'_>>,
    id: ReplicaId,
    replica: &'a Replica,
) -> Option<Facts<'a>> {
    let host = state.host(&replica.host).filter(|host| !host.is_lost())?;
    let of_want = match replica.want {
        Want::Stop => return None,
        Want::Drain => Some(EndpointState::Drain),
        Want::Run => None,
    };
    let report = heard.and_then(|heard| heard.replicas.get(&id));
    let (port, reported) = match report {
        None if heard.is_some_and(|heard| heard.complete) => return None,
        None => (0, EndpointState::Keep),
        Some(report) => (report.host_port?, state_of(report)?),
    };
    Some(Facts {
        host: &host.info,
        instance: &replica.instance,
        port,
        state: of_want.unwrap_or(reported),
    })
}

/// What a replica that is to run is good for; none before it has passed its check, and while no
/// container of it runs.
fn state_of(report: &ReplicaReport) -> Option<EndpointState> {
    match report.phase {
        Phase::Running | Phase::Draining => {}
        Phase::Unrecognized(_) => return Some(EndpointState::Keep),
        Phase::Accepted
        | Phase::Pulling
        | Phase::Starting
        | Phase::BackingOff
        | Phase::Stopping
        | Phase::Gone => return None,
    }
    match report.health {
        Health::Healthy | Health::Unchecked => Some(EndpointState::Up),
        Health::Unhealthy => Some(EndpointState::Down),
        Health::Unrecognized(_) => Some(EndpointState::Keep),
        Health::Unknown => None,
    }
}

impl Entry {
    pub(super) fn new(
        facts: &Facts<'_>,
        options: &NamespaceOptions,
        (since, at): (u64, Timestamp),
    ) -> Self {
        let mut entry = Self {
            endpoint: Endpoint {
                instance: facts.instance.clone(),
                host: facts.host.id.clone(),
                address: facts.host.address.as_str().into(),
                port: facts.port,
                state: facts.state,
                weight: WEIGHT,
                backup: false,
            },
            attributes: Arc::new(facts.host.attributes.clone()),
            pool: facts.host.pool.as_str().into(),
            labels: Vec::new(),
            since,
            at,
        };
        entry.relabel(options);
        entry
    }

    /// Whether it is what is known now.
    pub(super) fn agrees(&self, facts: &Facts<'_>) -> bool {
        let Endpoint {
            address,
            port,
            state,
            ..
        } = &self.endpoint;
        address.as_ref() == facts.host.address
            && (*port, *state) == (facts.port, facts.state)
            && self.pool.as_ref() == facts.host.pool
            && *self.attributes == facts.host.attributes
    }

    /// Works out anew where it is announced. True when that changed.
    pub(super) fn relabel(&mut self, options: &NamespaceOptions) -> bool {
        let mut labels: Vec<Label> = options
            .advertise
            .iter()
            .map(|kind| Label {
                kind: kind.clone(),
                name: self.attribute(kind).unwrap_or_default().into(),
            })
            .collect();
        for (from, to) in &options.extra_advertise {
            if self.attribute(&from.kind) == Some(from.name.as_str()) {
                labels.extend(to.iter().map(|location| Label {
                    kind: location.kind.clone(),
                    name: location.name.as_str().into(),
                }));
            }
        }
        labels.sort();
        labels.dedup();
        let changed = labels != self.labels;
        self.labels = labels;
        changed
    }

    fn attribute(&self, kind: &LocationType) -> Option<&str> {
        match kind.as_str() {
            "hostname" => Some(self.endpoint.host.as_str()),
            "pool" => Some(&self.pool),
            name => self.attributes.get(name).map(String::as_str),
        }
    }

    /// How clients on a host see it; none when they do not.
    pub fn seen_from(&self, client: &HostInfo, options: &NamespaceOptions) -> Option<Sight> {
        let here = |label: &Label| {
            let name = client.attribute(label.kind.as_str());
            name.unwrap_or_default() == label.name.as_ref()
        };
        let discover = &options.discover;
        if self
            .labels
            .iter()
            .any(|label| label.kind == *discover && here(label))
        {
            return Some(Sight::Near);
        }
        // A host without the attribute is in no wider location.
        let wide = |label: &Label| label.kind != *discover && !label.name.is_empty() && here(label);
        self.labels.iter().any(wide).then_some(Sight::Wide)
    }

    /// The endpoint for a host that sees it so.
    pub fn endpoint(&self, sight: Sight) -> Endpoint {
        Endpoint {
            backup: sight == Sight::Wide,
            ..self.endpoint.clone()
        }
    }

    /// What is to be done with it.
    pub fn state(&self) -> EndpointState {
        self.endpoint.state
    }

    /// The number of the change that made it as it is: a host that acknowledged it did so.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// When that change was.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}
