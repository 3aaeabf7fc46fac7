//! Watches the room of the data directories: this coordinator's own, and on the leader those of
//! the others. What the room allows is decided in [`paasta_coordinator_core::space`]; here it is
//! measured, told of, and acted on: a leader without room hands its office to one that has some.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use paasta_coordinator_core::{
    space::{Level, Space, gate},
    state::command::{Command, SetSpace},
};
use paasta_process::metrics::Page;
use paasta_proto::v1::{self, NodeRequest, NodeResponse, cluster_client::ClusterClient};
use parking_lot::RwLock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    machine::ClusterMachine,
    peers::{Peers, forwarded},
    propose::Proposer,
    raft::{Consensus, Peer, RaftStatus},
    store::{IoMode, OnVolume},
};

/// Between two looks at the own room.
const LOOK: Duration = Duration::from_secs(1);
/// How long a look may take: a disk that hangs tells nothing.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// Between two rounds of questions to the others.
const ASK: Duration = Duration::from_secs(5);
/// How long another coordinator may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// For how long an answer counts.
const LATELY: Duration = Duration::from_secs(20);
/// Between two attempts to hand leadership on, and how long one may take.
const HAND_ON: Duration = Duration::from_secs(10);
const MIB: u64 = 1 << 20;

/// The room of a data directory, and what it allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// How much there is.
    pub space: Space,
    /// What it allows.
    pub level: Level,
    /// Why there is no newer snapshot; empty where that is in order.
    pub snapshot_error: String,
}

/// What is known of the rooms. Clones are the same.
#[derive(Clone)]
pub struct Rooms {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    volume: OnVolume,
    io: IoMode,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    own: Option<Room>,
    others: BTreeMap<u64, (Instant, Room)>,
    /// What proposals of this coordinator go by.
    gate: Level,
}

impl Rooms {
    /// Nothing is known yet of the room of `dir`.
    pub fn new(dir: PathBuf, volume: OnVolume, io: IoMode) -> Self {
        let known = RwLock::default();
        Self {
            inner: Arc::new(Inner {
                dir,
                volume,
                io,
                known,
            }),
        }
    }

    /// What proposals of this coordinator go by now.
    pub fn gate(&self) -> Level {
        self.inner.known.read().gate
    }

    /// The own room, once it was measured.
    pub fn own(&self) -> Option<Room> {
        self.inner.known.read().own.clone()
    }

    /// Adds what is known to an answer about the coordinators.
    pub fn show(&self, node: u64, answer: &mut v1::MetastatusResponse) {
        let known = self.inner.known.read();
        for one in &mut answer.coordinators {
            let room = match one.id == node {
                true => known.own.as_ref(),
                false => known.others.get(&one.id).map(|(_, room)| room),
            };
            if let Some(room) = room {
                one.data_free_bytes = Some(room.space.free);
                one.data_total_bytes = Some(room.space.total);
                one.set_data_space(space(room.level));
                room.snapshot_error.clone_into(&mut one.snapshot_error);
            }
        }
        answer.set_writes_space(space(known.gate));
    }

    /// Adds the own room to an answer about this coordinator.
    pub fn introduce(&self, answer: &mut NodeResponse) {
        if let Some(room) = self.own() {
            answer.data_free_bytes = Some(room.space.free);
            answer.data_total_bytes = Some(room.space.total);
            answer.set_data_space(space(room.level));
            answer.snapshot_error = room.snapshot_error;
        }
    }

    /// Adds the own room to the metrics.
    pub fn measure(&self, page: &mut Page) {
        let own = self.own();
        let of = |figure: fn(&Room) -> f64| own.as_ref().map(figure);
        page.gauge_if(
            "paasta_data_dir_free_bytes",
            "Free bytes of the file system of the data directory.",
            of(|room| room.space.free as f64),
        );
        page.gauge_if(
            "paasta_data_dir_size_bytes",
            "Size of the file system of the data directory.",
            of(|room| room.space.total as f64),
        );
        page.gauge_if(
            "paasta_data_dir_space_level",
            "What the room of the data directory allows: 0 all, 1 all but it is low, 2 no new versions and configurations, 3 only what mends the cluster.",
            of(|room| f64::from(room.level as u8)),
        );
        page.gauge_if(
            "paasta_snapshot_failing",
            "1 while the last try to write a snapshot failed.",
            of(|room| f64::from(u8::from(!room.snapshot_error.is_empty()))),
        );
    }

    /// Looks at the own room. Keeps what it knew where the system does not tell.
    async fn look(&self, status: &RaftStatus) {
        let (dir, volume) = (self.inner.dir.clone(), self.inner.volume.clone());
        let looking = self.inner.io.run(move || volume.space(&dir));
        let space = match tokio::time::timeout(LOOK_MAX, looking).await {
            Ok(Ok(space)) => space,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the room of the data directory is not known");
                return;
            }
            Err(_) => return,
        };
        let before = self.own().map_or(Level::Ample, |room| room.level);
        let level = Level::next(before, space);
        if level != before {
            self.tell(level, before, space);
        }
        let trouble = status.snapshot_trouble.as_ref();
        self.inner.known.write().own = Some(Room {
            space,
            level,
            snapshot_error: trouble.map_or_else(String::new, |trouble| trouble.error.clone()),
        });
    }

    fn tell(&self, level: Level, before: Level, space: Space) {
        let dir = self.inner.dir.display();
        let (free, total) = (space.free / MIB, space.total / MIB);
        match level {
            level if level < before => {
                tracing::info!(%dir, free_mib = free, total_mib = total, level = %level, "there is more room in the data directory");
            }
            Level::Ample | Level::Low => {
                tracing::warn!(%dir, free_mib = free, total_mib = total, "the data directory has little room; make some: at the reserve, new versions and configurations are refused");
            }
            Level::Reserve => {
                tracing::error!(%dir, free_mib = free, total_mib = total, "the data directory has its reserve left only: new versions and configurations are refused until there is room");
            }
            Level::Last => {
                tracing::error!(%dir, free_mib = free, total_mib = total, "the data directory is nearly full: only what mends the cluster is taken until there is room");
            }
        }
    }

    /// What writes go by: on a leader, the rooms of the others count too.
    fn decide(&self, status: &RaftStatus) -> Level {
        let mut known = self.inner.known.write();
        let own = known.own.as_ref().map_or(Level::Ample, |room| room.level);
        known.gate = match status.is_leader() {
            false => own,
            true => {
                let others = status.voters.keys().filter(|id| **id != status.node_id);
                let level = |id: &u64| known.lately(*id).map_or(Level::Ample, |room| room.level);
                let others: Vec<Level> = others.map(level).collect();
                gate(own, &others)
            }
        };
        own
    }
}

impl Known {
    fn lately(&self, id: u64) -> Option<&Room> {
        let (at, room) = self.others.get(&id)?;
        (at.elapsed() < LATELY).then_some(room)
    }
}

/// Keeps [`Rooms`] true.
pub struct SpaceWatch {
    /// What is known.
    pub rooms: Rooms,
    /// Who leads.
    pub consensus: Consensus,
    /// Channels to the others.
    pub peers: Peers,
    /// The replicated state: what was told last.
    pub machine: ClusterMachine,
    /// Where changes are told.
    pub proposer: Proposer,
}

impl SpaceWatch {
    /// Looks and asks until `shutdown`.
    pub async fn follow(self, shutdown: CancellationToken) {
        let work = async {
            let (mut asked, mut handed) = (None::<Instant>, None::<Instant>);
            loop {
                let status = self.consensus.status();
                self.rooms.look(&status).await;
                let own = self.rooms.decide(&status);
                if status.is_leader() {
                    if asked.is_none_or(|at| at.elapsed() >= ASK) {
                        asked = Some(Instant::now());
                        self.ask_all(&status).await;
                        self.note(&status).await;
                    }
                    let due = handed.is_none_or(|at| at.elapsed() >= HAND_ON);
                    if own == Level::Last && due {
                        handed = Some(Instant::now());
                        self.hand_on(&status).await;
                    }
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = work => {}
        }
    }

    async fn ask_all(&self, status: &RaftStatus) {
        let others = status.addresses().filter(|(id, _)| *id != status.node_id);
        let asking = others.map(|(id, address)| self.ask(id, address));
        for (id, room) in futures_util::future::join_all(asking).await {
            if let Some(room) = room {
                let mut known = self.rooms.inner.known.write();
                known.others.insert(id, (Instant::now(), room));
            }
        }
        let mut known = self.rooms.inner.known.write();
        known
            .others
            .retain(|id, _| status.voters.contains_key(id) || status.learners.contains_key(id));
    }

    async fn ask(&self, id: u64, address: &str) -> (u64, Option<Room>) {
        let address = address.to_owned();
        let Ok(channel) = self.peers.channel(&Peer { id, address }) else {
            return (id, None);
        };
        let request = forwarded(tonic::Request::new(NodeRequest {}));
        let mut client = ClusterClient::new(channel);
        let answer = tokio::time::timeout(ANSWER, client.node(request)).await;
        let Ok(Ok(answer)) = answer else {
            return (id, None);
        };
        let answer = answer.into_inner();
        let level = space_level(answer.data_space());
        let room = level.zip(answer.data_free_bytes).map(|(level, free)| Room {
            space: Space {
                free,
                total: answer.data_total_bytes.unwrap_or_default(),
            },
            level,
            snapshot_error: answer.snapshot_error,
        });
        (id, room)
    }

    /// Tells the cluster of every level that is another than it was told last.
    async fn note(&self, status: &RaftStatus) {
        let mut commands = Vec::new();
        {
            let state = self.machine.read();
            if state.cluster().is_none() {
                return;
            }
            let told = state.space_levels();
            let known = self.rooms.inner.known.read();
            let own = known.own.iter().map(|room| (status.node_id, room));
            let others = known.others.keys();
            let others = others.filter_map(|id| Some((*id, known.lately(*id)?)));
            for (coordinator, room) in own.chain(others) {
                let before = told.get(&coordinator).copied().unwrap_or_default();
                if before != room.level {
                    commands.push(Command::SetSpace(SetSpace {
                        coordinator,
                        level: room.level,
                        space: room.space,
                    }));
                }
            }
            // A member that was removed has no room to speak of.
            let gone = told
                .keys()
                .filter(|id| !status.voters.contains_key(id) && !status.learners.contains_key(id));
            commands.extend(gone.map(|coordinator| {
                Command::SetSpace(SetSpace {
                    coordinator: *coordinator,
                    level: Level::Ample,
                    space: Space { free: 0, total: 0 },
                })
            }));
        }
        for result in self.proposer.propose_all(commands).await {
            if let Err(error) = result {
                tracing::debug!(%error, "the level of a data directory was not noted");
            }
        }
    }

    /// Hands leadership to the voter with the most room, if there is one that has enough.
    async fn hand_on(&self, status: &RaftStatus) {
        let to = {
            let known = self.rooms.inner.known.read();
            let voters = status.voters.keys().filter(|id| **id != status.node_id);
            let rooms = voters.filter_map(|id| Some((known.lately(*id)?, *id)));
            let fit = rooms.filter(|(room, _)| room.level <= Level::Low);
            fit.max_by_key(|(room, _)| room.space.free)
                .map(|(_, id)| id)
        };
        let Some(to) = to else { return };
        tracing::warn!(
            to,
            "leadership is handed on: this coordinator's data directory is nearly full"
        );
        if let Err(error) = self.consensus.transfer_leader(to, HAND_ON).await {
            tracing::warn!(to, %error, "leadership could not be handed on");
        }
    }
}

/// The level for the wire.
fn space(level: Level) -> v1::DataSpace {
    match level {
        Level::Ample => v1::DataSpace::Ok,
        Level::Low => v1::DataSpace::Low,
        Level::Reserve => v1::DataSpace::Reserve,
        Level::Last => v1::DataSpace::Full,
    }
}

/// The level of an answer; none where it is not given, or only a newer coordinator knows it.
fn space_level(space: v1::DataSpace) -> Option<Level> {
    match space {
        v1::DataSpace::Ok => Some(Level::Ample),
        v1::DataSpace::Low => Some(Level::Low),
        v1::DataSpace::Reserve => Some(Level::Reserve),
        v1::DataSpace::Full => Some(Level::Last),
        v1::DataSpace::Unspecified => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_has_its_word_on_the_wire() {
        use paasta_proto::words::Words as _;

        for level in Level::ALL {
            assert_eq!(space(level).word(), level.as_str());
            assert_eq!(space_level(space(level)), Some(level));
        }
    }
}
