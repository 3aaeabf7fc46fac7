//! What changed since the last plan, and so what has to be planned anew: cost follows change, not
//! size. Planning more than was touched is always right; planning less would lose a change.

use std::collections::BTreeSet;

use paasta_common::id::{HostId, InstanceId, ReplicaId};

use super::report::Report;
use crate::state::{ClusterState, command::Command, problems::ProblemScope};

/// Above this many changes it is all looked at anew: it would cost about as much.
pub const TOUCHED_MAX: usize = 10_000;

/// What is to be planned anew when not everything is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// These instances.
    pub instances: BTreeSet<InstanceId>,
    /// Whether the mass-failure brake was on when the others were planned: when it is not what it
    /// was, that concerns them all.
    pub braked: bool,
}

/// What changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    everything: bool,
    instances: BTreeSet<InstanceId>,
    hosts: BTreeSet<HostId>,
    replicas: BTreeSet<ReplicaId>,
}

impl Touched {
    /// What changed is unknown: all may have.
    pub fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// A command is about to be applied to `before`.
    pub fn command(&mut self, command: &Command, before: &ClusterState) {
        match command {
            Command::SetInstance(one) => self.instance(&one.id),
            Command::RemoveInstances(some) => {
                some.ids.iter().for_each(|id| self.instance(id));
                self.absent(before);
            }
            Command::NoteAbsence(some) => {
                let named = some.absent.keys().chain(&some.back);
                named.for_each(|id| self.instance(id));
                self.absent(before);
            }
            Command::DropInstance(one) => self.instance(&one.id),
            Command::RollBack(one) => self.instance(&one.instance),
            Command::ResumeBounce(one) => self.instance(&one.instance),
            Command::ForceBounce(one) => self.instance(&one.instance),
            Command::PaceBounces(some) => {
                let named = some.go.iter().chain(&some.done);
                named.for_each(|id| self.instance(id));
            }
            Command::SetWant(some) => self.instance(&some.instance),
            Command::Bounce(one) => self.instance(&one.instance),
            Command::ResetBackoff(one) => self.instance(&one.instance),
            Command::Place(some) => {
                for replica in &some.replicas {
                    self.instance(&replica.instance);
                    self.host(&replica.host);
                }
            }
            Command::Forget(some) => {
                let known = some.replicas.iter().filter_map(|id| before.replica(*id));
                for replica in known {
                    self.instance(&replica.instance);
                    self.host(&replica.host);
                }
            }
            Command::SetProblems(one) => match &one.scope {
                ProblemScope::Instance(id) => self.instance(id),
                ProblemScope::Service(_) => self.everything = true,
            },
            Command::SetOverride(one) => self.instance(&one.instance),
            // What follows from them is another command.
            Command::SetAlert(_)
            | Command::SetSpace(_)
            | Command::SetVersions(_)
            | Command::SetSettings(_)
            | Command::NoteTroubles(_)
            | Command::SetHostTrouble(_)
            | Command::RefuseHost(_)
            | Command::NoteClock(_)
            | Command::SetAuthorities(_)
            | Command::CreateToken(_)
            | Command::UseToken(_)
            | Command::RevokeToken(_)
            | Command::RenewNode(_)
            | Command::SetPrincipal(_)
            | Command::RemovePrincipal(_)
            | Command::RevokeIdentity(_)
            | Command::RestoreIdentity(_) => {}
            Command::Init(_)
            | Command::RegisterHost(_)
            | Command::HostLost(_)
            | Command::HostBack(_)
            | Command::DrainHost(_)
            | Command::UndrainHost(_)
            | Command::RemoveHost(_)
            | Command::ReleaseBrake(_)
            | Command::SetPools(_) => self.everything = true,
        }
    }

    /// A host said something new of a replica, or nothing any more.
    pub fn replica(&mut self, id: ReplicaId) {
        self.replicas.insert(id);
        self.bound();
    }

    /// Something changed that concerns every replica of a host.
    pub fn host(&mut self, id: &HostId) {
        self.hosts.insert(id.clone());
        self.bound();
    }

    /// Adds what `other` touched.
    pub fn add(&mut self, other: Self) {
        self.everything |= other.everything;
        self.instances.extend(other.instances);
        self.hosts.extend(other.hosts);
        self.replicas.extend(other.replicas);
        self.bound();
    }

    /// What to plan anew; none when that is everything. `last` is how all stood after the last
    /// plan: for instances that waited for room, any change at a host may be room.
    pub fn scope(&self, state: &ClusterState, last: &Report) -> Option<Scope> {
        if self.everything {
            return None;
        }
        let mut found = self.instances.clone();
        let of_hosts = self.hosts.iter().flat_map(|host| state.replicas_on(host));
        found.extend(of_hosts.map(|(_, replica)| replica.instance.clone()));
        let of_replicas = self.replicas.iter().filter_map(|id| state.replica(*id));
        found.extend(of_replicas.map(|replica| replica.instance.clone()));
        if !self.hosts.is_empty() || !self.replicas.is_empty() {
            found.extend(last.starved().cloned());
        }
        Some(Scope {
            instances: found,
            braked: last.brake.is_some(),
        })
    }

    /// Whether removals are held back concerns everything that is absent.
    fn absent(&mut self, before: &ClusterState) {
        let absent = before.instances().filter(|(_, one)| one.absence.is_some());
        absent.for_each(|(id, _)| self.instance(id));
    }

    fn instance(&mut self, id: &InstanceId) {
        self.instances.insert(id.clone());
        self.bound();
    }

    fn bound(&mut self) {
        let count = self.instances.len() + self.hosts.len() + self.replicas.len();
        if self.everything || count > TOUCHED_MAX {
            *self = Self::everything();
        }
    }
}
