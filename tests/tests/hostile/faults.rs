//! The faults, each from its beginning to its end.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use paasta_tests::hostile::{
    arena::{Arena, MEMBERS},
    clients::Clients,
};

use super::{abuse, stores};

/// How long a fault that lasts does.
const HOLD: Duration = Duration::from_secs(4);

/// The round trip of slow links.
const ROUND_TRIP: Duration = Duration::from_millis(250);
/// Over slow links writes and reads are answered again within this time.
const SLOW_LIMIT: Duration = Duration::from_secs(30);

/// What is done to the coordinators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: what the others are compared with.
    None,
    KillLeader,
    KillFollower,
    KillAll,
    StopLeader,
    CutLeader,
    CutFollower,
    DeafLeader,
    MuteLeader,
    SlowLinks,
    WipedStore,
    ForgedVotes,
    LongNames,
    Connections,
    Flood,
    FullFollower,
    FullLeader,
    EndlessGit,
}

impl Fault {
    pub(crate) const ALL: [Self; 18] = [
        Self::None,
        Self::KillLeader,
        Self::KillFollower,
        Self::KillAll,
        Self::StopLeader,
        Self::CutLeader,
        Self::CutFollower,
        Self::DeafLeader,
        Self::MuteLeader,
        Self::SlowLinks,
        Self::WipedStore,
        Self::ForgedVotes,
        Self::LongNames,
        Self::Connections,
        Self::Flood,
        Self::FullFollower,
        Self::FullLeader,
        Self::EndlessGit,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::KillLeader => "kill -9 the leader",
            Self::KillFollower => "kill -9 a follower",
            Self::KillAll => "kill -9 all three at once",
            Self::StopLeader => "SIGSTOP the leader",
            Self::CutLeader => "cut the leader off",
            Self::CutFollower => "cut a follower off",
            Self::DeafLeader => "the leader is deaf",
            Self::MuteLeader => "the leader is mute",
            Self::Flood => "a flood of the dearest reads",
            Self::FullFollower => "full disk of a follower",
            Self::FullLeader => "full disk of the leader",
            Self::EndlessGit => "endless git server",
            Self::Connections => "5,000 idle connections, slow clients",
            Self::LongNames => "megabyte names, undecodable bytes",
            Self::ForgedVotes => "forged votes for absurd terms",
            Self::WipedStore => "a wiped store under its old id",
            Self::SlowLinks => "250 ms there and back between all",
        }
    }

    /// Whether the leader must keep its office through it.
    pub(crate) fn deposes_nobody(self) -> bool {
        match self {
            Self::ForgedVotes
            | Self::LongNames
            | Self::Connections
            | Self::Flood
            | Self::EndlessGit => true,
            Self::None
            | Self::KillLeader
            | Self::KillFollower
            | Self::KillAll
            | Self::StopLeader
            | Self::CutLeader
            | Self::CutFollower
            | Self::DeafLeader
            | Self::MuteLeader
            | Self::SlowLinks
            | Self::WipedStore
            | Self::FullFollower
            | Self::FullLeader => false,
        }
    }

    /// Begins, lasts and ends; everything is in order again but what the cluster itself must mend.
    pub(crate) async fn happen(self, arena: &mut Arena, clients: &Clients) -> Result<()> {
        let leader = arena.leader().await?;
        let follower = MEMBERS.into_iter().find(|id| *id != leader);
        let follower = follower.unwrap_or(leader);
        let other = MEMBERS
            .into_iter()
            .find(|id| ![leader, follower].contains(id));
        let other = other.unwrap_or(leader);
        match self {
            Self::None => tokio::time::sleep(HOLD).await,
            Self::KillLeader => killed(arena, &[leader]).await?,
            Self::KillFollower => killed(arena, &[follower]).await?,
            Self::KillAll => killed(arena, &MEMBERS).await?,
            Self::StopLeader => {
                arena.signal(leader, Signal::SIGSTOP)?;
                tokio::time::sleep(HOLD).await;
                arena.signal(leader, Signal::SIGCONT)?;
            }
            Self::CutLeader => link(arena, |arena| arena.cut(leader)).await,
            Self::CutFollower => link(arena, |arena| arena.cut(follower)).await,
            Self::DeafLeader => link(arena, |arena| arena.deafen(leader)).await,
            Self::MuteLeader => link(arena, |arena| arena.mute(leader)).await,
            Self::Flood => abuse::flood(arena, HOLD).await?,
            Self::FullFollower => stores::full(arena, follower, HOLD).await?,
            Self::FullLeader => stores::full(arena, leader, HOLD).await?,
            Self::EndlessGit => abuse::endless_git(arena, HOLD).await?,
            Self::Connections => abuse::connections(arena, HOLD).await?,
            Self::LongNames => abuse::long_names(arena, leader, HOLD).await?,
            Self::ForgedVotes => stores::forged(arena, HOLD).await?,
            Self::WipedStore => stores::wiped(arena, leader, follower, other, HOLD).await?,
            Self::SlowLinks => {
                arena.slow(ROUND_TRIP);
                let served =
                    clients.progress(SLOW_LIMIT).await && clients.progress(SLOW_LIMIT).await;
                ensure!(served, "nothing is served over links of {ROUND_TRIP:?}");
                tokio::time::sleep(HOLD).await;
                arena.heal();
            }
        }
        Ok(())
    }
}

async fn killed(arena: &mut Arena, members: &[u64]) -> Result<()> {
    for id in members {
        arena.kill(*id)?;
    }
    tokio::time::sleep(HOLD).await;
    for id in members {
        arena.start(*id)?;
    }
    for id in members {
        arena.wait_listening(*id).await?;
    }
    Ok(())
}

async fn link(arena: &Arena, begin: impl FnOnce(&Arena)) {
    begin(arena);
    tokio::time::sleep(HOLD).await;
    arena.heal();
}
