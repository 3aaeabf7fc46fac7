//! A faulty member: it sends, over the network and in a member's name, messages that no honest
//! member sends. An honest coordinator refuses them and goes on.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::stream;
use paasta_coordinator::raft::{Dial, Keepalive};
use paasta_proto::v1::{RaftPayload, raft_service_client::RaftServiceClient};
use rand::{RngExt, rngs::StdRng};
use serde::Serialize;
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::{
    network::{Dialler, Knife},
    world::World,
};

/// Its name in the network.
pub(crate) const NAME: &str = "forger";
/// Between two looks at the queue.
const PAUSE: Duration = Duration::from_millis(50);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The bound of the queue.
const FORGERIES_MAX: usize = 16;

/// The form of a message of consensus, as `raft/codec.rs` has it.
const FORMAT: u8 = 1;

/// A forged message on its way.
#[derive(Debug, Clone)]
pub(crate) struct Forgery {
    to: u64,
    kind: Claim,
    message: RaftPayload,
}

#[derive(Debug, Clone, Copy)]
enum Claim {
    Vote,
    Append,
}

#[derive(Serialize)]
struct LeaderId {
    term: u64,
    voted_for: Option<u64>,
}

#[derive(Serialize)]
struct Vote {
    leader_id: LeaderId,
    committed: bool,
}

#[derive(Serialize)]
struct VoteRequest {
    vote: Vote,
    last_log_id: Option<()>,
    leadership_transfer: bool,
}

#[derive(Serialize)]
struct Append {
    vote: Vote,
    prev_log_id: Option<()>,
    entries: Vec<()>,
    leader_commit: Option<()>,
}

/// Draws a forged message of one member to another.
pub(crate) fn forge(world: &World, chance: &mut StdRng) {
    let Some((_, _, status)) = world.leader() else {
        return;
    };
    let stores: BTreeMap<u64, String> = world
        .up()
        .map(|(seat, up)| (seat.id, up.leader.consensus.status().store))
        .collect();
    let ids: Vec<u64> = status.voters.keys().copied().collect();
    let (from, to) = (
        ids[chance.random_range(0..ids.len())],
        ids[chance.random_range(0..ids.len())],
    );
    let (Some(from_store), Some(to_store)) = (stores.get(&from), stores.get(&to)) else {
        return;
    };
    let vote = |term, who, committed| Vote {
        leader_id: LeaderId {
            term,
            voted_for: Some(who),
        },
        committed,
    };
    let ask = |vote| {
        encode(&VoteRequest {
            vote,
            last_log_id: None,
            leadership_transfer: true,
        })
    };
    let append = |vote| {
        encode(&Append {
            vote,
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        })
    };
    let kind = chance.random_range(0..5);
    let (claim, data) = match kind {
        0 => (Claim::Vote, ask(vote(u64::MAX, from, false))),
        1 => (Claim::Vote, ask(vote(status.term + 1, from, false))),
        2 => (Claim::Append, append(vote(status.term + 1, to, true))),
        _ => (Claim::Append, append(vote(u64::MAX, from, true))),
    };
    world.note(NAME, format_args!("has message {kind} of {from} for {to}"));
    let message = RaftPayload {
        data: data.into(),
        cluster_id: status.cluster_id.unwrap_or_default(),
        from_node: from,
        to_node: to,
        epoch: status.epoch,
        from_store: from_store.clone(),
        to_store: to_store.clone(),
    };
    let mut forgeries = world.forgeries.lock();
    if forgeries.len() < FORGERIES_MAX {
        forgeries.push_back(Forgery {
            to,
            kind: claim,
            message,
        });
    }
}

fn encode(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    // What cannot be written is no message, and is refused as one.
    bytes.extend(rmp_serde::to_vec_named(message).unwrap_or_default());
    bytes
}

/// Sends what is in the queue, without an end.
pub(crate) async fn send(world: Arc<World>) -> turmoil::Result {
    let dialler = Dialler(Knife::default());
    loop {
        sleep(PAUSE).await;
        let Some(forgery) = world.forgeries.lock().pop_front() else {
            continue;
        };
        let Some(seat) = world.coordinators.get(&forgery.to) else {
            continue;
        };
        let channel = dialler.dial(seat.id, &seat.address(), &Keepalive::default())?;
        let mut client = RaftServiceClient::new(channel);
        let said = async {
            match forgery.kind {
                Claim::Vote => client.vote(forgery.message).await.map(drop),
                Claim::Append => {
                    let appends = client
                        .append_stream(stream::iter([forgery.message]))
                        .await?;
                    appends.into_inner().message().await.map(drop)
                }
            }
        };
        let answer: Option<Result<(), Status>> = timeout(PATIENCE, said).await.ok();
        let words = match answer {
            None => "nothing".to_owned(),
            Some(Ok(())) => "an answer".to_owned(),
            Some(Err(status)) => format!("{:?}", status.code()),
        };
        world.note(NAME, format_args!("hears {words} from {}", seat.name));
    }
}
