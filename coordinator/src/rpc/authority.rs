//! Hands the authority's private key to a coordinator with a vote, over mutual TLS. The key is in no
//! log and in no message to any other program.

use paasta_identity::{Identity, Peer};
use paasta_proto::v1::{AuthorityKeyRequest, AuthorityKeyResponse, authority_server::Authority};
use tonic::{Request, Response, Status};

use super::status::RpcError;
use crate::{
    caller::Caller,
    keeper::{Keeper, KeeperError},
    raft::Consensus,
};

/// The service.
pub struct AuthorityService {
    /// Consensus: the coordinators with a vote.
    pub consensus: Consensus,
    /// The key.
    pub keeper: Keeper,
}

impl AuthorityService {
    /// Checks that the other end of the connection itself is a coordinator with a vote: nothing is
    /// passed on here, and a connection without TLS proves nothing.
    fn check(&self, peer: Option<&Peer>) -> Result<(), RpcError> {
        let identity = peer.and_then(Peer::identity);
        let member = identity.and_then(Identity::member);
        let voters = self.consensus.status().voters;
        match member.is_some_and(|id| voters.contains_key(&id)) {
            true => Ok(()),
            false => Err(RpcError::NoVoter {
                principal: identity.map_or_else(|| "a stranger".to_owned(), Identity::short),
            }),
        }
    }
}

#[tonic::async_trait]
impl Authority for AuthorityService {
    async fn key(
        &self,
        request: Request<AuthorityKeyRequest>,
    ) -> Result<Response<AuthorityKeyResponse>, Status> {
        let peer = Caller::of(request.extensions()).and_then(Caller::peer);
        self.check(peer.map(AsRef::as_ref))?;
        let key = self
            .keeper
            .key()
            .ok_or(RpcError::from(KeeperError::NoKey))?;
        let to = peer.and_then(|peer| peer.identity()).map(Identity::short);
        tracing::info!(
            to,
            "the authority's key was handed to a coordinator with a vote"
        );
        Ok(Response::new(AuthorityKeyResponse {
            key: key.into_bytes(),
        }))
    }
}
