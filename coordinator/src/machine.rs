//! The replicated state behind the log: decodes a command, applies it, says that it changed.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use paasta_common::id::HostId;
use paasta_coordinator_core::plan::touched::Touched;
use paasta_coordinator_core::state::{
    ClusterState,
    command::{Command, Envelope},
    outcome::{Outcome, Reason},
};
use paasta_process::chain::chain;
use paasta_proto::worker::off_worker;
use parking_lot::{Mutex, RwLockReadGuard};
use tokio::sync::watch;

use crate::{
    codec,
    raft::{Machine, SnapshotWriter},
    reassigned::Reassigned,
    shared::Shared,
    witness::Watched,
};

/// The cluster's state on this coordinator. Cheap to clone; all clones are the one state.
#[derive(Clone)]
pub struct ClusterMachine {
    state: Arc<Shared<ClusterState>>,
    applied: Arc<watch::Sender<u64>>,
    reassigned: Reassigned,
    /// Since it was last taken; bounded, as it becomes everything.
    touched: Arc<Mutex<Touched>>,
    watched: Watched,
}

impl ClusterMachine {
    /// An empty state.
    pub fn new() -> Self {
        Self::watched(Watched::default())
    }

    /// An empty state, and who looks on.
    pub fn watched(watched: Watched) -> Self {
        let (applied, _) = watch::channel(0);
        Self {
            state: Arc::new(Shared::new(ClusterState::new())),
            applied: Arc::new(applied),
            reassigned: Reassigned::default(),
            touched: Arc::new(Mutex::new(Touched::everything())),
            watched,
        }
    }

    /// The state as of the last apply. Applying waits while the guard is held: keep it short and
    /// never across an await.
    pub fn read(&self) -> RwLockReadGuard<'_, ClusterState> {
        self.state.read()
    }

    /// What was touched since this was last asked. One asks: the leader's loop.
    pub fn take_touched(&self) -> Touched {
        std::mem::take(&mut self.touched.lock())
    }

    /// Changes when the assignment of this host does, and at times when it does not.
    pub fn watch_host(&self, host: &HostId) -> watch::Receiver<()> {
        self.reassigned.watch(host)
    }

    /// Notifies the sessions of hosts that a command gave another assignment, or removed.
    fn tell_hosts(&self, before: u64, command: &Command, state: &ClusterState) {
        for host in state.reassigned_after(before) {
            self.reassigned.changed(host);
        }
        if let Command::RemoveHost(gone) = command {
            self.reassigned.changed(&gone.host);
        }
    }

    /// Changes with every applied command; carries the index.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }
}

impl Default for ClusterMachine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine for ClusterMachine {
    fn apply(&self, index: u64, command: &[u8]) -> Vec<u8> {
        // An unknown command is skipped on every coordinator alike: the outcome says so.
        let outcome = match codec::decode::<Envelope>(command) {
            Ok(envelope) => {
                let mut state = self.state.write();
                self.touched.lock().command(&envelope.command, &state);
                let before = state.last_index();
                let outcome = state.apply(index, &envelope);
                self.tell_hosts(before, &envelope.command, &state);
                self.watched.tell(|w| w.applied(index, command, &mut state));
                outcome
            }
            Err(error) => Outcome::Refused(Reason::Unreadable { why: chain(&error) }),
        };
        self.applied.send_replace(index);
        codec::encode(&outcome).unwrap_or_default()
    }

    fn snapshot(&self) -> SnapshotWriter {
        let copy = off_worker(|| self.read().clone());
        Box::new(move |to: &mut dyn Write| codec::encode_to(to, &copy))
    }

    fn restore(&self, from: &mut dyn Read) -> std::io::Result<()> {
        let restored: ClusterState = codec::decode_from(from)?;
        let index = restored.last_index();
        self.watched.tell(|w| w.restored(&restored));
        *self.state.write() = restored;
        *self.touched.lock() = Touched::everything();
        self.reassigned.all_changed();
        self.applied.send_replace(index);
        Ok(())
    }
}
