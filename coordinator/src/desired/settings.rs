//! The settings of the cluster, as the leader keeps them: it asks every coordinator what its own
//! files say, and proposes what follows. What follows is decided in
//! `paasta_coordinator_core::desired::settings`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use paasta_common::config::{ClusterSettings, SystemConfig};
use paasta_coordinator_core::{
    desired::settings,
    state::{ClusterState, command::Command},
};
use paasta_proto::v1::{OwnSettingsRequest, SettingsDrift, settings_client::SettingsClient};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{
    machine::ClusterMachine,
    peers::Peers,
    propose::Proposer,
    raft::{Peer, RaftStatus},
};

/// Between two rounds of questions.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How long a coordinator may take to answer: it does so from memory.
const ANSWER: Duration = Duration::from_secs(2);
/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What the coordinators' own files say. Cheap to clone.
#[derive(Clone)]
pub struct FileSettings {
    machine: ClusterMachine,
    proposer: Proposer,
    peers: Peers,
    own: Arc<ClusterSettings>,
    /// As last heard in the present leadership; of those that do not answer, nothing.
    heard: Arc<Mutex<BTreeMap<u64, ClusterSettings>>>,
}

/// What one coordinator's files say.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The coordinator.
    pub peer: Peer,
    /// None when it does not answer.
    pub settings: Option<ClusterSettings>,
}

impl FileSettings {
    /// Those of this coordinator, and of those that answer.
    pub fn new(
        machine: ClusterMachine,
        proposer: Proposer,
        peers: Peers,
        system: &SystemConfig,
    ) -> Self {
        Self {
            machine,
            proposer,
            peers,
            own: Arc::new(ClusterSettings::of(system)),
            heard: Arc::default(),
        }
    }

    /// What the files of this coordinator say.
    pub fn own(&self) -> &ClusterSettings {
        &self.own
    }

    /// Of every coordinator, by id, as last heard by the leader.
    pub fn heard(&self) -> Vec<Heard> {
        let status = self.proposer.consensus().status();
        let heard = self.heard.lock();
        let known = |peer: Peer| Heard {
            settings: heard.get(&peer.id).cloned(),
            peer,
        };
        members(&status).into_iter().map(known).collect()
    }

    /// Whose files differ from the settings of the cluster, as last heard, and in which keys.
    pub fn drift(&self, state: &ClusterState) -> Vec<SettingsDrift> {
        let Some(settings) = state.settings() else {
            return Vec::new();
        };
        let heard = self.heard.lock();
        let differing = heard.iter().filter_map(|(id, file)| {
            let differences = settings.values.differences(file);
            let keys: Vec<String> = differences.into_iter().map(|one| one.key).collect();
            (!keys.is_empty()).then_some(SettingsDrift { id: *id, keys })
        });
        differing.collect()
    }

    /// Asks all of them now.
    pub async fn ask(&self) {
        let status = self.proposer.consensus().status();
        let own = status.node_id;
        let mut asked = tokio::task::JoinSet::new();
        for peer in members(&status).into_iter().filter(|peer| peer.id != own) {
            let peers = self.peers.clone();
            asked.spawn(async move { (peer.id, ask(&peers, &peer).await) });
        }
        let mut heard = BTreeMap::from([(own, ClusterSettings::clone(&self.own))]);
        while let Some(answer) = asked.join_next().await {
            if let Ok((id, Some(settings))) = answer {
                heard.insert(id, settings);
            }
        }
        *self.heard.lock() = heard;
    }

    /// Asks again and again, and proposes what follows, until `ended`.
    pub async fn follow(&self, ended: &CancellationToken) {
        // Nothing is read before there are settings: those of this coordinator do, at first.
        let own = self.proposer.consensus().status().node_id;
        *self.heard.lock() = BTreeMap::from([(own, ClusterSettings::clone(&self.own))]);
        loop {
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                () = self.round() => {}
            }
            let pause = match self.machine.read().settings().is_some() {
                true => ASK_EVERY,
                false => Duration::from_millis(100),
            };
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn round(&self) {
        if self.machine.read().cluster().is_none() {
            return;
        }
        if self.machine.read().settings().is_some() {
            self.ask().await;
        }
        let status = self.proposer.consensus().status();
        let voters: BTreeSet<u64> = status.voters.keys().copied().collect();
        let files = self.heard.lock().clone();
        let command = settings(&self.machine.read(), status.node_id, &voters, &files);
        let Some(command) = command else { return };
        match self.proposer.propose(Command::SetSettings(command)).await {
            Ok(outcome) if outcome.is_ok() => {}
            Ok(outcome) => tracing::warn!(?outcome, "the cluster's settings were refused"),
            Err(error) => {
                tracing::warn!(%error, "the cluster's settings were not acknowledged");
            }
        }
    }
}

fn members(status: &RaftStatus) -> Vec<Peer> {
    let all = status.voters.iter().chain(&status.learners);
    let mut members: Vec<Peer> = all
        .map(|(id, address)| Peer {
            id: *id,
            address: address.clone(),
        })
        .collect();
    members.sort_by_key(|peer| peer.id);
    members
}

async fn ask(peers: &Peers, peer: &Peer) -> Option<ClusterSettings> {
    let channel = peers.channel(peer).ok()?;
    let mut client = SettingsClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    let answer = tokio::time::timeout(ANSWER, client.own(OwnSettingsRequest {})).await;
    let answer = answer.ok()?.ok()?.into_inner();
    // An answer under another id is one of somebody else at that address.
    (answer.id == peer.id).then_some(())?;
    serde_json::from_str(&answer.settings).ok()
}
