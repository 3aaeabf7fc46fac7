//! What operators do to a simulated cluster. An act is carried out inside the coordinator it is
//! given to, in the coordinator's own time.

use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc, time::Duration};

use paasta_coordinator::{codec, raft::Consensus};
use paasta_coordinator_core::state::{
    actor::Actor,
    command::{Command, Envelope, Init},
};
use paasta_process::clock::Clock;
use tokio::{sync::mpsc, time::interval};

use super::world::{CoordinatorSeat, World};

/// How many acts wait at a coordinator, at most; the operator gives up on more.
pub(crate) const ACTS_MAX: usize = 32;
/// How long an act may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long making the cluster may take.
const INIT_PATIENCE: Duration = Duration::from_millis(200);
/// How often making the cluster is tried.
const INIT_TRIES: u32 = 200;

/// Something an operator does.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Makes the cluster of these coordinators.
    Init(BTreeMap<u64, String>),
    /// Has a command written, under a request id of its own.
    Write { request: String, command: Command },
    /// Lets a coordinator learn.
    AddLearner(u64, String),
    /// Says who votes.
    ChangeVoters(BTreeSet<u64>),
    /// Sends a coordinator away for ever.
    Remove(u64),
    /// Hands leadership on.
    Transfer(u64),
}

/// Carries out acts, one after the other, as long as the coordinator runs.
pub(crate) async fn console(
    world: Arc<World>,
    seat: u64,
    consensus: Consensus,
    mut acts: mpsc::Receiver<Act>,
) {
    while let Some(act) = acts.recv().await {
        let Some(seat) = world.coordinators.get(&seat) else {
            return;
        };
        let what = format!("{act:?}");
        let result = perform(&world, seat, &consensus, act).await;
        match result {
            Ok(()) => world.note(&seat.name, format_args!("done: {what}")),
            Err(words) => world.note(&seat.name, format_args!("not done: {what}: {words}")),
        }
    }
}

async fn perform(
    world: &World,
    seat: &CoordinatorSeat,
    consensus: &Consensus,
    act: Act,
) -> Result<(), String> {
    let words = |error: &dyn std::error::Error| error.to_string();
    match act {
        Act::Init(members) => init(world, seat, consensus, members).await,
        Act::Write { request, command } => {
            let written = write(seat, consensus, Some(request.clone()), command, PATIENCE).await;
            if written.is_ok() {
                world.judge.lock().acknowledged(&request);
            }
            written
        }
        Act::AddLearner(id, address) => {
            let added = consensus.add_learner(id, &address, PATIENCE).await;
            added.map_err(|error| words(&error))
        }
        Act::ChangeVoters(voters) => {
            let changed = consensus.change_voters(voters, PATIENCE).await;
            changed.map_err(|error| words(&error))
        }
        Act::Remove(id) => {
            let removed = consensus.remove(id, PATIENCE).await;
            removed.map_err(|error| words(&error))
        }
        Act::Transfer(id) => {
            let moved = consensus.transfer_leader(id, PATIENCE).await;
            moved.map_err(|error| words(&error))
        }
    }
}

async fn write(
    seat: &CoordinatorSeat,
    consensus: &Consensus,
    request_id: Option<String>,
    command: Command,
    patience: Duration,
) -> Result<(), String> {
    let envelope = Envelope {
        request_id,
        at: seat.clock.now(),
        by: Actor::claimed("operator"),
        command,
    };
    let bytes = codec::encode(&envelope).map_err(|error| error.to_string())?;
    let written = consensus.propose(bytes, patience).await;
    written.map(drop).map_err(|error| error.to_string())
}

/// Makes the cluster as `paasta cluster init` does: consensus first, then its identity, written by
/// the leader; here that is this coordinator sooner or later.
async fn init(
    world: &World,
    seat: &CoordinatorSeat,
    consensus: &Consensus,
    members: BTreeMap<u64, String>,
) -> Result<(), String> {
    let id = format!("0190f1f4-0000-7000-8000-{:012x}", world.shape.seed);
    let mut pace = interval(INIT_PATIENCE);
    let mut made = consensus.init(&id, members.clone()).await;
    for _ in 0..INIT_TRIES {
        if made.is_ok() {
            break;
        }
        // Another one does not listen yet.
        pace.tick().await;
        made = consensus.init(&id, members.clone()).await;
    }
    made.map_err(|error| error.to_string())?;
    let name = super::fleet::CLUSTER.parse();
    let name = name.map_err(|error: paasta_common::id::IdError| error.to_string())?;
    let init = Init {
        cluster_id: id,
        name,
    };
    let mut last = Err("not tried".to_owned());
    for _ in 0..INIT_TRIES {
        pace.tick().await;
        let command = Command::Init(init.clone());
        last = write(seat, consensus, None, command, INIT_PATIENCE).await;
        if last.is_ok()
            || world
                .leader()
                .is_some_and(|(leader, ..)| leader.id != seat.id)
        {
            return last;
        }
    }
    last
}
