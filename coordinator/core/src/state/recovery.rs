//! The one change of the state that is not a command: what becomes of it when a cluster begins again
//! from a saved copy, or from what one coordinator was left with. Who does that, and with which
//! files, is not known here.

use paasta_common::time::Timestamp;

use super::{
    ClusterState,
    actor::Actor,
    command::Context,
    event::{EventKind, Subject},
};

/// Log indexes and replica ids of a recovered cluster begin at the next multiple of this: whatever
/// was given out after the copy was made, and is now forgotten, is never given out again.
pub const RECOVERY_STEP: u64 = 1_000_000_000;

/// The state belongs to no cluster yet: there is nothing to recover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state belongs to no cluster yet; make one with `paasta cluster init` instead")]
pub struct NotACluster;

impl ClusterState {
    /// Begins the next epoch of the cluster: agents that obey it refuse every coordinator of the
    /// epochs before (I3), every host is told its whole assignment anew, and ids go on where none
    /// can have been used.
    ///
    /// # Errors
    /// [`NotACluster`] before the cluster was made.
    pub fn recover(&mut self, at: Timestamp, by: &str, how: &str) -> Result<(), NotACluster> {
        let cluster = self.tables.cluster.as_mut().ok_or(NotACluster)?;
        cluster.epoch += 1;
        let text = format!("cluster recovered {how}: epoch {} begins", cluster.epoch);
        let index = next_step(self.tables.last_index);
        self.tables.last_index = index;
        self.tables.next_replica = next_step(self.tables.next_replica);
        for (id, host) in &mut self.tables.hosts {
            let before = std::mem::replace(&mut host.generation, index);
            self.index.generation(id, Some(before), Some(index));
        }
        let by = &Actor::system(by);
        let context = Context { index, at, by };
        self.note(&context, EventKind::Cluster, Subject::Cluster, text);
        Ok(())
    }
}

fn next_step(number: u64) -> u64 {
    (number / RECOVERY_STEP + 1).saturating_mul(RECOVERY_STEP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{build::Cluster, state::invariants};

    #[test]
    fn a_recovered_cluster_is_the_same_but_newer_in_everything_that_is_compared() {
        let mut cluster = Cluster::new(2);
        let before = cluster.state.clone();
        let by = "paasta-coordinator restore";
        let recovered = cluster
            .state
            .recover(Timestamp(7), by, "from a saved state");
        assert_eq!(recovered, Ok(()));
        let after = &cluster.state;
        let (old, new) = (before.cluster().unwrap(), after.cluster().unwrap());
        assert_eq!(
            (&old.id, &old.name, old.epoch + 1),
            (&new.id, &new.name, new.epoch)
        );
        assert_eq!(after.last_index(), RECOVERY_STEP);
        assert_eq!(after.next_replica().0, RECOVERY_STEP);
        for (id, host) in after.hosts() {
            assert!(host.generation > before.last_index());
            assert_eq!(host.info, before.host(id).unwrap().info);
        }
        assert!(after.events().last().unwrap().text.contains("epoch 2"));
        assert_eq!(invariants::check(after), []);
        let mut again = after.clone();
        assert_eq!(again.recover(Timestamp(8), by, "again"), Ok(()));
        assert_eq!(again.last_index(), 2 * RECOVERY_STEP);
    }

    #[test]
    fn there_must_be_a_cluster() {
        let mut state = ClusterState::new();
        assert_eq!(state.recover(Timestamp(1), "x", "y"), Err(NotACluster));
        assert_eq!(state, ClusterState::new());
    }
}
