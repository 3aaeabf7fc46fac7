//! An operator says of silent hosts that they are lost, however many they are: the one way to end
//! the mass-failure brake without the hosts. All at once, so that no plan sees half of it.

use std::collections::BTreeSet;

use paasta_common::id::HostId;
use serde::{Deserialize, Serialize};

use super::{Context, HostLost};
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    outcome::{Outcome, Reason},
};

/// Silent hosts are lost, an operator says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseBrake {
    /// The hosts.
    pub hosts: BTreeSet<HostId>,
}

impl ReleaseBrake {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let unknown = self.hosts.iter().find(|host| state.host(host).is_none());
        if let Some(host) = unknown {
            return Outcome::Refused(Reason::UnknownHost { host: host.clone() });
        }
        let mut lost = 0;
        for host in &self.hosts {
            let command = HostLost { host: host.clone() };
            lost += u32::from(command.apply(state, context) == Outcome::Applied);
        }
        if lost == 0 {
            return Outcome::Unchanged;
        }
        let text = format!("brake released: {lost} silent hosts declared lost");
        state.note(context, EventKind::Cluster, Subject::Cluster, text);
        Outcome::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        build::{Cluster, host_id},
        state::command::Command,
    };

    #[test]
    fn all_are_lost_or_none() {
        let mut cluster = Cluster::new(3);
        let release = |numbers: &[usize]| {
            let hosts = numbers.iter().map(|number| host_id(*number)).collect();
            Command::ReleaseBrake(ReleaseBrake { hosts })
        };
        let refused = Outcome::Refused(Reason::UnknownHost { host: host_id(9) });
        assert_eq!(cluster.apply(release(&[1, 9])), refused);
        let lost = |cluster: &Cluster| cluster.state.hosts().filter(|(_, h)| h.is_lost()).count();
        assert_eq!(lost(&cluster), 0);
        assert_eq!(cluster.apply(release(&[1, 2])), Outcome::Applied);
        assert_eq!(lost(&cluster), 2);
        assert_eq!(cluster.apply(release(&[1, 2])), Outcome::Unchanged);
        let last = cluster.state.events().next_back().unwrap();
        assert!(last.text.contains("2 silent hosts"), "{}", last.text);
    }
}
