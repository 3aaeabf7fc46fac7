//! A member that lost its store, and one that speaks for terms that no election made.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use paasta_proto::v1::{
    IntroduceRequest, NodeRole, RaftPayload, raft_service_client::RaftServiceClient,
};
use paasta_tests::hostile::arena::{Arena, MEMBERS};
use serde::Serialize;
use tokio::time::timeout;

const ANSWER: Duration = Duration::from_secs(5);
/// The form of a message of consensus, as `raft/codec.rs` has it.
const FORMAT: u8 = 1;

/// The worst that an empty store can do: the leader and one follower acknowledge while the other is
/// cut off, both die, and the follower comes back under its id with nothing. It and the one that
/// was cut off are a majority by number. Then both stores come back.
pub(crate) async fn wiped(
    arena: &mut Arena,
    leader: u64,
    wiped: u64,
    away: u64,
    hold: Duration,
) -> Result<()> {
    let data = arena.data_dir(wiped);
    let kept = data.with_extension("kept");
    arena.cut(away);
    tokio::time::sleep(hold / 2).await;
    arena.kill(leader)?;
    arena.kill(wiped)?;
    fs::rename(&data, &kept)?;
    arena.start(wiped)?;
    arena.heal();
    tokio::time::sleep(hold).await;
    for id in [wiped, away] {
        if let Some(node) = arena.node(id).await {
            ensure!(
                node.role() != NodeRole::Leader,
                "{id} leads by the vote of an empty store"
            );
        }
    }
    arena.kill(wiped)?;
    fs::remove_dir_all(&data)?;
    fs::rename(&kept, &data)?;
    for id in [leader, wiped] {
        arena.start(id)?;
        arena.wait_listening(id).await?;
    }
    Ok(())
}

/// First no room for a snapshot, then none for the log: what needs it may end, and comes back when
/// there is room, as a service manager starts it again.
pub(crate) async fn full(arena: &mut Arena, id: u64, hold: Duration) -> Result<()> {
    arena.disk(id)?.fill(5 << 20)?;
    tokio::time::sleep(hold).await;
    arena.disk(id)?.fill(0)?;
    tokio::time::sleep(hold).await;
    arena.disk(id)?.give_back()?;
    arena.revive(id)?;
    arena.wait_listening(id).await
}

#[derive(Clone, Copy, Serialize)]
struct LeaderId {
    term: u64,
    voted_for: Option<u64>,
}

#[derive(Clone, Copy, Serialize)]
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

/// Votes with the flag of a transfer in the name of each member, for the last term that there is
/// and for one that elections have not made: to everybody, for as long as it holds.
pub(crate) async fn forged(arena: &Arena, hold: Duration) -> Result<()> {
    let cluster_id = arena
        .node(MEMBERS[0])
        .await
        .context("it answers")?
        .cluster_id;
    let mut stores = BTreeMap::new();
    for id in MEMBERS {
        let mut client = RaftServiceClient::new(arena.channel(id)?);
        let told = timeout(ANSWER, client.introduce(IntroduceRequest {})).await??;
        stores.insert(id, told.into_inner().store);
    }
    let began = std::time::Instant::now();
    while began.elapsed() < hold {
        for (from, to) in MEMBERS
            .iter()
            .flat_map(|from| MEMBERS.map(|to| (*from, to)))
        {
            for term in [u64::MAX, u64::MAX - 1, 1 << 50] {
                let vote = Vote {
                    leader_id: LeaderId {
                        term,
                        voted_for: Some(from),
                    },
                    committed: false,
                };
                let mut data = vec![FORMAT];
                data.extend(rmp_serde::to_vec_named(&VoteRequest {
                    vote,
                    last_log_id: None,
                    leadership_transfer: true,
                })?);
                let message = RaftPayload {
                    data: data.into(),
                    cluster_id: cluster_id.clone(),
                    from_node: from,
                    to_node: to,
                    epoch: 1,
                    from_store: stores[&from].clone(),
                    to_store: stores[&to].clone(),
                };
                let mut client = RaftServiceClient::new(arena.channel(to)?);
                let answer = timeout(ANSWER, client.vote(message)).await?;
                ensure!(
                    answer.is_err(),
                    "{to} answered a vote for term {term}: {answer:?}"
                );
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let term = arena.term().await;
    ensure!(term < 1 << 30, "the cluster is at term {term}");
    Ok(())
}
