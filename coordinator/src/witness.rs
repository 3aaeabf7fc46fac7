//! Looks over a coordinator's shoulder: what a simulation checks, and the places at which it plants
//! the faults that show that its checks can fail. Production has no witness; nothing here decides
//! anything.

use std::{fmt, sync::Arc};

use paasta_common::time::Timestamp;
use paasta_coordinator_core::{
    desired::Reading,
    plan::{Plan, observed::Observed},
    state::ClusterState,
};

/// Sees what a coordinator does, as it does it, and may bend it. Every method is called from the
/// coordinator's own tasks and must be quick.
pub trait Witness: Send + Sync {
    /// The soa directory was read, and nothing was concluded from it yet.
    fn read(&self, _reading: &mut Reading) {}

    /// A plan was made from these; its commands are not proposed yet.
    fn planned(&self, _state: &ClusterState, _seen: &Observed, _now: Timestamp, _plan: &mut Plan) {}

    /// The command, as it stands in the log, was applied; the state is as it is after it.
    fn applied(&self, _index: u64, _command: &[u8], _state: &mut ClusterState) {}

    /// The state was replaced by a snapshot's.
    fn restored(&self, _state: &ClusterState) {}
}

/// A witness, or nobody.
#[derive(Clone, Default)]
pub struct Watched(Option<Arc<dyn Witness>>);

impl Watched {
    /// By this witness.
    pub fn by(witness: Arc<dyn Witness>) -> Self {
        Self(Some(witness))
    }

    pub(crate) fn tell(&self, tell: impl FnOnce(&dyn Witness)) {
        if let Some(witness) = &self.0 {
            tell(witness.as_ref());
        }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({})", self.0.is_some())
    }
}
