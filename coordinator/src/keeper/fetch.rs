//! Gets the authority's private key from another coordinator, once this one has a vote: any of them
//! may lead next, and what leads signs.

use std::time::Duration;

use paasta_process::chain::chain;
use paasta_proto::v1::{AuthorityKeyRequest, authority_client::AuthorityClient};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Request;

use super::Keeper;
use crate::{
    machine::ClusterMachine,
    peers::Peers,
    raft::{Consensus, Peer},
};

/// Between two looks at whether the key is missing.
const LOOK: Duration = Duration::from_secs(2);
/// How long a coordinator may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Sees to it that this coordinator has the key of the cluster's first authority.
#[derive(Clone)]
pub struct KeyFetcher {
    /// Where the key is kept.
    pub keeper: Keeper,
    /// The replicated state: the authority's certificate.
    pub machine: ClusterMachine,
    /// The coordinators.
    pub consensus: Consensus,
    /// Channels to them.
    pub peers: Peers,
}

impl KeyFetcher {
    /// Looks until `shutdown`; ends at once where the operators make certificates themselves.
    pub async fn run(self, shutdown: CancellationToken) {
        if !self.keeper.is_used() {
            return;
        }
        let looking = async {
            let mut said = String::new();
            loop {
                let words = match self.missing() {
                    Some(certificate) => self.fetch(&certificate).await.err().unwrap_or_default(),
                    None => String::new(),
                };
                if words != said && !words.is_empty() {
                    tracing::warn!(
                        reason = words,
                        "this coordinator has no key of the authority yet; it asks the others again"
                    );
                }
                said = words;
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = looking => {}
        }
    }

    /// The certificate of the authority whose key this coordinator must have and does not.
    fn missing(&self) -> Option<String> {
        let status = self.consensus.status();
        if !status.voters.contains_key(&status.node_id) {
            return None;
        }
        let first = {
            let state = self.machine.read();
            state.authorities()?.certificates.first()?.clone()
        };
        (self.keeper.certificate().as_ref() != Some(&first)).then_some(first)
    }

    /// Asks each other coordinator with a vote in turn.
    async fn fetch(&self, certificate: &str) -> Result<(), String> {
        let status = self.consensus.status();
        let cluster = self.machine.read().cluster().map(|one| one.name.clone());
        let cluster = cluster.ok_or("the cluster's name is not known yet")?;
        let mut words = "no other coordinator has a vote".to_owned();
        for (id, address) in status.voters {
            if id == status.node_id {
                continue;
            }
            let peer = Peer { id, address };
            match self.ask(&peer).await {
                Ok(key) => match self.keeper.keep(&cluster, certificate, &key) {
                    Ok(()) => {
                        tracing::info!(%peer, "the authority's key came from another coordinator");
                        return Ok(());
                    }
                    Err(error) => words = format!("{peer}: {}", chain(&error)),
                },
                Err(why) => words = format!("{peer}: {why}"),
            }
        }
        Err(words)
    }

    async fn ask(&self, peer: &Peer) -> Result<String, String> {
        let channel = self.peers.channel(peer).map_err(|error| chain(&error))?;
        let mut client = AuthorityClient::new(channel);
        let asked = timeout(ANSWER, client.key(Request::new(AuthorityKeyRequest {}))).await;
        let answer = asked.map_err(|_| format!("no answer within {} s", ANSWER.as_secs()))?;
        let key = answer.map_err(|status| status.message().to_owned())?;
        String::from_utf8(key.into_inner().key).map_err(|_| "the key is no text".to_owned())
    }
}
