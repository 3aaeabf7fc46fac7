//! The replicated state: what every coordinator knows alike. It changes only by [`command`]s, in
//! log order; what agents observe is not here, and neither is any opinion about what to do next
//! (that is [`crate::plan`]).

pub mod absence;
pub mod actor;
pub mod alert;
mod assignment;
pub mod auth;
pub mod bounce;
pub mod command;
pub mod departed;
pub mod event;
pub mod failed;
pub mod history;
pub mod host;
mod index;
pub mod instance;
pub mod invariants;
mod legal;
pub mod outcome;
pub mod overrides;
pub mod paced;
pub mod principal;
pub mod problems;
pub mod recovery;
mod replicas;
mod request;
pub mod revoked;
pub(crate) mod room;
pub mod settings;
mod stored;
pub mod versions;

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::{
    app::{AppSpec, Resources},
    assignment::{Tried, Want},
    id::{AppId, ClusterName, HostId, InstanceId, ReplicaId, ServiceName, TokenId},
    identity::Identity,
    overcommit::Pools,
    problem::Problem,
    report::{Trouble, Troubles},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use alert::Alert;
use auth::{Authorities, JoinToken, Node};
use command::{Context, Envelope};
use departed::{Departed, HeldBack};
use event::{Event, EventKind, EventRing, Subject};
use history::Cause;
use host::Host;
use index::Index;
use instance::Instance;
use outcome::{Outcome, Reason};
use paced::Paced;
use principal::{Principal, PrincipalName};
use problems::ProblemScope;
use request::RequestRing;
use revoked::{Holder, Revocation};
use settings::Settings;
use versions::Versions;

use crate::space::Level;

/// A debug build checks every invariant after every command while there are at most this many
/// replicas: above it the check would make long tests quadratic.
const CHECKED_REPLICAS_MAX: usize = 2_000;

/// Everything that the coordinators agree on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClusterState {
    tables: Tables,
    index: Index,
}

/// The part of the state that is stored; the rest is derived from it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Tables {
    last_index: u64,
    cluster: Option<ClusterIdentity>,
    hosts: BTreeMap<HostId, Host>,
    instances: BTreeMap<InstanceId, Instance>,
    apps: BTreeMap<AppId, App>,
    replicas: BTreeMap<ReplicaId, Replica>,
    next_replica: u64,
    problems: BTreeMap<ProblemScope, Vec<Problem>>,
    alerts: BTreeMap<InstanceId, Alert>,
    troubles: BTreeMap<InstanceId, BTreeMap<Trouble, Told>>,
    pools: Pools,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    space: BTreeMap<u64, Level>,
    versions: BTreeMap<ServiceName, Arc<Versions>>,
    departed: BTreeMap<InstanceId, Departed>,
    held_back: Option<HeldBack>,
    settings: Option<Settings>,
    paced: BTreeMap<InstanceId, Paced>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    revoked: BTreeMap<Holder, Revocation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authority: Option<Authorities>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tokens: BTreeMap<TokenId, JoinToken>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    nodes: BTreeMap<Identity, Node>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    principals: BTreeMap<PrincipalName, Principal>,
    events: EventRing,
    requests: RequestRing,
}

/// Which cluster this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterIdentity {
    /// Its id, a UUID: no two clusters have the same, whatever they are called.
    pub id: String,
    /// Its name, the CLUSTER of `marathon-CLUSTER.yaml`.
    pub name: ClusterName,
    /// How often it was recovered from a lost quorum, from 1.
    pub epoch: u64,
}

/// One version of an instance that is desired, kept for a rollback, or still has replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// The instance it is a version of.
    pub instance: InstanceId,
    /// The app itself, shared by all that refer to it.
    pub spec: Arc<AppSpec>,
    /// The log index at which it was first desired: orders the apps of an instance by age.
    pub created_index: u64,
    /// When that was.
    pub created_at: Timestamp,
}

/// One placement of an app on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// The instance it serves.
    pub instance: InstanceId,
    /// The app it is a placement of.
    pub app: AppId,
    /// The host, for ever.
    pub host: HostId,
    /// What should become of it.
    pub want: Want,
    /// When `want` was last changed: a drain's deadline counts from here.
    pub want_since: Timestamp,
    /// The log index of that change: the host knows of it once it accepted this generation.
    pub want_index: u64,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// What its host goes on from when it fails.
    #[serde(default, skip_serializing_if = "Tried::is_blank")]
    pub tried: Tried,
    /// What befell it on its host, as far as it was noted.
    #[serde(default, skip_serializing_if = "Troubles::is_empty")]
    pub noted: Troubles,
}

/// What was said of one kind of trouble of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Told {
    /// How often it occurred, since the instance was declared.
    pub total: u64,
    /// How often in a row it was noted as soon as it could be.
    pub streak: u8,
}

impl ClusterState {
    /// The state before the first command.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one command at its log index. Total and deterministic: what cannot be done is
    /// [`Outcome::Refused`] with the reason and changes nothing else. A request id that was seen
    /// before gets its first outcome again.
    pub fn apply(&mut self, index: u64, envelope: &Envelope) -> Outcome {
        self.tables.last_index = index;
        if let Some(id) = &envelope.request_id {
            if id.len() > request::REQUEST_ID_BYTES_MAX {
                return Outcome::Refused(Reason::RequestIdTooLong);
            }
            if let Some(outcome) = self.tables.requests.outcome(id) {
                return outcome.clone();
            }
        }
        let context = Context {
            index,
            at: envelope.at,
            by: &envelope.by,
        };
        let outcome = envelope.command.apply(self, &context);
        if let Some(id) = &envelope.request_id {
            self.tables.requests.remember(id, &outcome);
        }
        debug_assert!(
            self.tables.replicas.len() > CHECKED_REPLICAS_MAX || invariants::check(self).is_empty(),
            "{:?} after {envelope:?}",
            invariants::check(self)
        );
        outcome
    }

    /// Which cluster this is; none before `Init`.
    pub fn cluster(&self) -> Option<&ClusterIdentity> {
        self.tables.cluster.as_ref()
    }

    /// The log index of the last command applied; 0 before the first.
    pub fn last_index(&self) -> u64 {
        self.tables.last_index
    }

    /// A registered host.
    pub fn host(&self, id: &HostId) -> Option<&Host> {
        self.tables.hosts.get(id)
    }

    /// The hosts whose assignment was changed after this log index. A host that was removed is not
    /// among them.
    pub fn reassigned_after(&self, index: u64) -> impl Iterator<Item = &HostId> {
        self.index.later_than(index)
    }

    /// The registered hosts, by id.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = (&HostId, &Host)> {
        self.tables.hosts.iter()
    }

    /// An instance.
    pub fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.tables.instances.get(id)
    }

    /// The instances, by id; also those that are no longer declared but still have replicas.
    pub fn instances(&self) -> impl ExactSizeIterator<Item = (&InstanceId, &Instance)> {
        self.tables.instances.iter()
    }

    /// An app.
    pub fn app(&self, id: &AppId) -> Option<&App> {
        self.tables.apps.get(id)
    }

    /// The apps, by id.
    pub fn apps(&self) -> impl ExactSizeIterator<Item = (&AppId, &App)> {
        self.tables.apps.iter()
    }

    /// A replica.
    pub fn replica(&self, id: ReplicaId) -> Option<&Replica> {
        self.tables.replicas.get(&id)
    }

    /// How many replicas are recorded.
    pub fn replica_count(&self) -> usize {
        self.tables.replicas.len()
    }

    /// The lowest replica id never used.
    pub fn next_replica(&self) -> ReplicaId {
        ReplicaId(self.tables.next_replica.max(1))
    }

    /// The replicas recorded on a host, by id.
    pub fn replicas_on<'a>(
        &'a self,
        host: &HostId,
    ) -> impl Iterator<Item = (ReplicaId, &'a Replica)> + use<'a> {
        self.records(self.index.on_host(host))
    }

    /// The replicas recorded of an instance, by id: of all its apps.
    pub fn replicas_of<'a>(
        &'a self,
        instance: &InstanceId,
    ) -> impl Iterator<Item = (ReplicaId, &'a Replica)> + use<'a> {
        self.records(self.index.of_instance(instance))
    }

    /// What the replicas recorded on a host take from it, those that are leaving included.
    pub fn used_on(&self, host: &HostId) -> Resources {
        self.index.used_on(host)
    }

    /// The static ports taken on a host.
    pub fn ports_on<'a>(&'a self, host: &HostId) -> impl Iterator<Item = u16> + use<'a> {
        self.index.ports_on(host)
    }

    /// The problems of the configuration, by scope; a scope without problems is absent.
    pub fn problems(&self) -> &BTreeMap<ProblemScope, Vec<Problem>> {
        &self.tables.problems
    }

    /// The problems that concern an instance: its own and those of its whole service.
    pub fn problems_of(&self, instance: &InstanceId) -> impl Iterator<Item = &Problem> {
        let scopes = [
            ProblemScope::Service(instance.service.clone()),
            ProblemScope::Instance(instance.clone()),
        ];
        scopes
            .into_iter()
            .filter_map(|scope| self.tables.problems.get(&scope))
            .flatten()
    }

    /// What was last said of the instances that are in alarm, or were.
    pub fn alerts(&self) -> &BTreeMap<InstanceId, Alert> {
        &self.tables.alerts
    }

    /// The coordinators whose data directory is short of room, by id.
    pub fn space_levels(&self) -> &BTreeMap<u64, Level> {
        &self.tables.space
    }

    /// The instances that bounce, or are to, by a change that touches many.
    pub fn paced(&self) -> &BTreeMap<InstanceId, Paced> {
        &self.tables.paced
    }

    /// The identities that have no rights, or of which older certificates have none; at most
    /// [`revoked::REVOKED_MAX`].
    pub fn revoked(&self) -> &BTreeMap<Holder, Revocation> {
        &self.tables.revoked
    }

    /// The settings of the cluster; none before the first leader adopted any.
    pub fn settings(&self) -> Option<&Settings> {
        self.tables.settings.as_ref()
    }

    /// What was noted of the replicas of an instance, by kind; none when nothing ever was.
    pub fn troubles(&self, instance: &InstanceId) -> Option<&BTreeMap<Trouble, Told>> {
        self.tables.troubles.get(instance)
    }

    /// Which versions of a service git said last are deployed; none when it never said.
    pub fn versions(&self, service: &ServiceName) -> Option<&Arc<Versions>> {
        self.tables.versions.get(service)
    }

    /// The versions of every service of which git said any.
    pub fn all_versions(&self) -> &BTreeMap<ServiceName, Arc<Versions>> {
        &self.tables.versions
    }

    /// What happened lately, oldest first; at most [`event::EVENTS_MAX`].
    pub fn events(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.tables.events.iter()
    }

    fn records<'a, Ids: Iterator<Item = ReplicaId> + 'a>(
        &'a self,
        ids: Ids,
    ) -> impl Iterator<Item = (ReplicaId, &'a Replica)> + use<'a, Ids> {
        ids.filter_map(|id| Some((id, self.tables.replicas.get(&id)?)))
    }

    /// Adds to the history of an instance.
    fn remember(&mut self, context: &Context<'_>, id: &InstanceId, kind: &str, text: &str) {
        if let Some(record) = self.tables.instances.get_mut(id) {
            record
                .history
                .push(context, Cause::of(kind), None, text.to_owned());
        }
    }

    fn note(&mut self, context: &Context<'_>, kind: EventKind, subject: Subject, text: String) {
        self.tables.events.push(context, kind, subject, text);
    }
}

#[cfg(test)]
mod tests;
