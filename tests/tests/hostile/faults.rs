//! The faults, each from its beginning to its end.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use paasta_tests::hostile::arena::{Arena, MEMBERS};

/// How long a fault that lasts does.
const HOLD: Duration = Duration::from_secs(4);

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
}

impl Fault {
    pub(crate) const ALL: [Self; 9] = [
        Self::None,
        Self::KillLeader,
        Self::KillFollower,
        Self::KillAll,
        Self::StopLeader,
        Self::CutLeader,
        Self::CutFollower,
        Self::DeafLeader,
        Self::MuteLeader,
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
        }
    }

    /// Begins, lasts and ends; everything is in order again but what the cluster itself must mend.
    pub(crate) async fn happen(self, arena: &mut Arena) -> Result<()> {
        let leader = arena.leader().await?;
        let follower = MEMBERS.into_iter().find(|id| *id != leader);
        let follower = follower.unwrap_or(leader);
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
