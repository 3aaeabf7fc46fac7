//! A second machine was refused under the id of a host. Written once for each machine, so that the
//! event is.

use paasta_common::id::{HostId, MachineId};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    host::RefusedMachine,
    outcome::{Outcome, Reason},
};

/// A second machine was refused under the id of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefuseHost {
    /// The host.
    pub host: HostId,
    /// The second machine; `None` from an agent of an older version.
    #[serde(default)]
    pub machine: Option<MachineId>,
    /// The address of its containers' ports.
    pub address: String,
}

impl RefuseHost {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let Some(host) = state.tables.hosts.get_mut(&self.host) else {
            return Outcome::Refused(Reason::UnknownHost {
                host: self.host.clone(),
            });
        };
        let refused = RefusedMachine {
            machine: self.machine.clone(),
            address: self.address.clone(),
        };
        if host.refused.as_ref() == Some(&refused) {
            return Outcome::Unchanged;
        }
        host.refused = Some(refused);
        let text = format!(
            "a second machine, at {}, was refused under its id: give that one an id of its own",
            self.address
        );
        let subject = Subject::Host(self.host.clone());
        state.note(context, EventKind::Host, subject, text);
        Outcome::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        build::{Cluster, host, host_id, register},
        state::command::Command,
    };

    #[test]
    fn one_event_for_each_machine_until_the_id_changes_hands() {
        let machine = |digit: &str| MachineId::new(&digit.repeat(32)).ok();
        let refuse = |digit: &str| {
            Command::RefuseHost(RefuseHost {
                host: host_id(1),
                machine: machine(digit),
                address: format!("10.0.0.{digit}"),
            })
        };
        let mut cluster = Cluster::new(1);
        let mut first = host(1);
        first.machine = machine("1");
        cluster.apply(register(first));
        assert_eq!(cluster.apply(refuse("2")), Outcome::Applied);
        assert_eq!(cluster.apply(refuse("2")), Outcome::Unchanged);
        assert_eq!(cluster.apply(refuse("3")), Outcome::Applied);
        let mut second = host(1);
        second.machine = machine("2");
        assert_eq!(cluster.apply(register(second)), Outcome::Applied);
        let known = cluster.state.host(&host_id(1)).unwrap();
        assert_eq!(
            (&known.refused, &known.info.machine),
            (&None, &machine("2"))
        );
        let last = cluster.state.events().next_back().unwrap();
        assert!(last.text.contains("another machine"), "{}", last.text);
    }
}
