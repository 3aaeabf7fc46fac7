//! How programs and persons get certificates. The coordinator where a stranger connects bounds the
//! rate and passes the request on; the leader has the token's use and the name replicated as one
//! command, and its keeper signs. What refuses is in
//! `paasta_coordinator_core::state::command::use_token`.

mod nonces;
mod rate;

use std::time::{Instant, SystemTime};

use futures_util::FutureExt;
use paasta_common::{
    id::{ClusterName, TokenId},
    joining::{Joiner, KeyDigest},
    time::Timestamp,
};
use paasta_coordinator_core::state::{
    ClusterState,
    command::{Command, RenewNode, UseToken},
    outcome::Outcome,
    principal::PrincipalName,
};
use paasta_identity::{Identity, authority, late, token::Secret};
use paasta_proto::{
    convert,
    v1::{
        JoinRequest, JoinResponse, JoiningHelloRequest, JoiningHelloResponse, RenewLateRequest,
        RenewRequest, RenewResponse, joining_client::JoiningClient, joining_server::Joining,
    },
};
use tonic::{Request, Response, Status};

pub use nonces::Nonces;
pub use rate::JoinRate;

use super::{
    gate::Gate,
    status::{RpcError, bad},
};
use crate::{
    caller::{Caller, principal},
    keeper::{Keeper, KeeperError},
    machine::ClusterMachine,
    peers::was_forwarded,
    propose::Proposer,
    raft::Consensus,
};

/// The service.
pub struct JoiningService {
    /// Where calls are answered.
    pub gate: Gate,
    /// Consensus: the coordinators' addresses.
    pub consensus: Consensus,
    /// The replicated state.
    pub machine: ClusterMachine,
    /// Writes what is decided.
    pub proposer: Proposer,
    /// Signs.
    pub keeper: Keeper,
    /// Bounds the joins of strangers.
    pub rate: JoinRate,
    /// What late renewals sign.
    pub nonces: Nonces,
}

impl JoiningService {
    async fn join_here(&self, asked: JoinRequest) -> Result<JoinResponse, RpcError> {
        self.check_key()?;
        let using = {
            let state = self.machine.read();
            let using = using(&state, &asked)?;
            // What is refused takes no command: strangers do not fill the log.
            let judged = using.judge(&state, self.proposer.now());
            judged.map_err(|reason| RpcError::Refused(Box::new(reason)))?;
            using
        };
        let identity = using.identity.clone();
        let revoked = self.revoked(&identity, None)?;
        self.propose(Command::UseToken(using)).await?;
        let now = self.proposer.now();
        let certificate = self
            .keeper
            .sign_after(&identity, &asked.request, now, revoked)?;
        tracing::info!(%identity, token = asked.token, "a certificate was issued by a join token");
        Ok(JoinResponse {
            identity: identity.to_string(),
            certificate,
            authorities: self.authorities(),
            coordinators: self.coordinators(),
        })
    }

    async fn renew_here(&self, asked: RenewRequest) -> Result<RenewResponse, RpcError> {
        let identity = principal().ok_or(RpcError::NoCertificate)?;
        self.renewed(identity, &asked.proven_key, &asked.request)
            .await
    }

    async fn renew_late_here(&self, asked: RenewLateRequest) -> Result<RenewResponse, RpcError> {
        let identity = asked.proven_identity.parse::<Identity>();
        let identity = identity.map_err(|error| bad("proven_identity", format!("{error}")))?;
        self.renewed(identity, &asked.proven_key, &asked.request)
            .await
    }

    /// Replicates that the proven key of an identity is replaced by that of a request, and signs the
    /// request.
    async fn renewed(
        &self,
        identity: Identity,
        proven_key: &[u8],
        request: &str,
    ) -> Result<RenewResponse, RpcError> {
        self.check_key()?;
        let renewal = RenewNode {
            identity: identity.clone(),
            proven: digest("proven_key", proven_key)?,
            key: key_of(request)?,
        };
        let revoked = self.revoked(&identity, None)?;
        self.propose(Command::RenewNode(renewal)).await?;
        let now = self.proposer.now();
        let certificate = self.keeper.sign_after(&identity, request, now, revoked)?;
        tracing::info!(%identity, "a certificate was renewed");
        Ok(RenewResponse {
            certificate,
            authorities: self.authorities(),
        })
    }

    /// The moment before which certificates of an identity are void, by a revocation or by its
    /// principal, if there is one.
    ///
    /// # Errors
    /// [`RpcError::Revoked`] when the identity is revoked, or its certificate from `not_before`.
    fn revoked(
        &self,
        identity: &Identity,
        not_before: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, RpcError> {
        let principal = identity.short();
        let state = self.machine.read();
        let known = PrincipalName::new(identity.name()).ok();
        let known = known.and_then(|name| state.principal(&name));
        let known = known.filter(|known| known.role == identity.role());
        let outdated = known.and_then(|known| known.not_before);
        let Some(one) = state.revoked().get(principal.as_str()) else {
            return Ok(outdated);
        };
        if !one.whole && !not_before.is_some_and(|at| one.voids(at)) {
            return Ok(outdated.max(Some(one.before)));
        }
        let why = one.why();
        Err(RpcError::Revoked { principal, why })
    }

    /// Refuses while this coordinator cannot sign.
    fn check_key(&self) -> Result<(), RpcError> {
        match self.keeper.has_key() {
            true => Ok(()),
            false => Err(KeeperError::NoKey.into()),
        }
    }

    /// Takes a place in the rate of joins and late renewals, which strangers ask for.
    fn check_rate(&self) -> Result<(), RpcError> {
        match self.rate.take() {
            true => Ok(()),
            false => Err(RpcError::Busy {
                what: "too many programs join at the same time",
            }),
        }
    }

    /// What an expired certificate and its proof show, where the caller connects.
    fn proven(&self, asked: &mut RenewLateRequest) -> Result<(), RpcError> {
        if !self.nonces.take(&asked.nonce, Instant::now()) {
            let words =
                "it was not given by this coordinator within the last 60 s: say Hello first";
            return Err(bad("nonce", words));
        }
        let proof = (asked.request.as_str(), asked.proof.as_str());
        let authorities = self.authorities();
        let now = SystemTime::now();
        let late = late::verify(&authorities, &asked.certificate, &asked.nonce, proof, now)?;
        self.revoked(&late.identity, Some(late.not_before.into()))?;
        asked.proven_identity = late.identity.to_string();
        asked.proven_key = late.key.0.to_vec();
        Ok(())
    }

    async fn propose(&self, command: Command) -> Result<(), RpcError> {
        match self.proposer.propose(command).await? {
            Outcome::Refused(reason) => Err(RpcError::Refused(Box::new(reason))),
            Outcome::Applied | Outcome::Unchanged | Outcome::Partial { .. } => Ok(()),
        }
    }

    /// The certificates of the cluster's authorities, in one text.
    fn authorities(&self) -> String {
        let state = self.machine.read();
        let known = state.authorities().map(|known| known.certificates.concat());
        known
            .or_else(|| self.keeper.certificate())
            .unwrap_or_default()
    }

    fn coordinators(&self) -> Vec<String> {
        let status = self.consensus.status();
        let addresses = status.addresses();
        addresses.map(|(_, address)| address.to_owned()).collect()
    }
}

/// The use of a token that a request is for.
fn using(state: &ClusterState, asked: &JoinRequest) -> Result<UseToken, RpcError> {
    let cluster = state.cluster().ok_or(RpcError::Uninitialized)?;
    let id = TokenId::new(&asked.token).map_err(|error| bad("token", error.to_string()))?;
    let secret: [u8; 16] = asked.secret.as_slice().try_into().map_err(|_| {
        let length = asked.secret.len();
        bad("secret", format!("it has {length} bytes, expected 16"))
    })?;
    let joiner = convert::joiner_from_wire(asked.joiner)
        .map_err(|error| bad("joiner", error.to_string()))?;
    let identity = match joiner {
        Joiner::Person => {
            let token = state.tokens().get(&id);
            let named = token.and_then(|token| token.principal.clone());
            // Of an unknown token no name is known: what is refused then is the token.
            named.map_or_else(|| person(&cluster.name), Ok)
        }
        Joiner::Coordinator | Joiner::Agent => named(&cluster.name, joiner, &asked.name),
    }?;
    Ok(UseToken {
        id,
        digest: Secret::from_bytes(secret).digest(),
        joiner,
        identity,
        key: key_of(&asked.request)?,
    })
}

fn named(cluster: &ClusterName, joiner: Joiner, name: &str) -> Result<Identity, RpcError> {
    let role = joiner.role().unwrap_or(paasta_identity::Role::Reader);
    Identity::new(cluster.clone(), role, name).map_err(|error| bad("name", error.to_string()))
}

/// A name that no token has.
fn person(cluster: &ClusterName) -> Result<Identity, RpcError> {
    named(cluster, Joiner::Person, "unknown")
}

fn key_of(request: &str) -> Result<KeyDigest, RpcError> {
    authority::key_of(request).map_err(|error| bad("request", paasta_process::chain::chain(&error)))
}

fn digest(field: &'static str, bytes: &[u8]) -> Result<KeyDigest, RpcError> {
    let bytes = bytes
        .try_into()
        .map_err(|_| bad(field, "expected 32 bytes"))?;
    Ok(KeyDigest(bytes))
}

#[tonic::async_trait]
impl Joining for JoiningService {
    async fn hello(
        &self,
        _: Request<JoiningHelloRequest>,
    ) -> Result<Response<JoiningHelloResponse>, Status> {
        let cluster = self.machine.read().cluster().cloned();
        let nonce = self.nonces.give(Instant::now());
        Ok(Response::new(JoiningHelloResponse {
            now_ms: self.proposer.now().0,
            cluster: cluster
                .map(|cluster| cluster.name.to_string())
                .unwrap_or_default(),
            nonce: nonce.to_vec(),
            id: self.consensus.status().node_id,
        }))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        if !was_forwarded(&request) {
            self.check_rate()?;
        }
        let there =
            |leader, asked| async move { JoiningClient::new(leader).join(asked).await }.boxed();
        let answer = self
            .gate
            .act(request, |asked| self.join_here(asked), there)
            .await;
        if let Err(status) = &answer {
            tracing::warn!(reason = status.message(), "a join is refused");
        }
        answer
    }

    async fn renew_late(
        &self,
        mut request: Request<RenewLateRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        if !was_forwarded(&request) {
            self.check_rate()?;
            self.proven(request.get_mut())?;
        }
        let there = |leader, asked| {
            async move { JoiningClient::new(leader).renew_late(asked).await }.boxed()
        };
        self.gate
            .act(request, |asked| self.renew_late_here(asked), there)
            .await
    }

    async fn renew(
        &self,
        mut request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        if !was_forwarded(&request) {
            let caller = Caller::of(request.extensions());
            let key = caller.and_then(Caller::peer).and_then(|peer| peer.key());
            let key = key.ok_or(RpcError::NoCertificate)?;
            request.get_mut().proven_key = key.0.to_vec();
        }
        let there =
            |leader, asked| async move { JoiningClient::new(leader).renew(asked).await }.boxed();
        self.gate
            .act(request, |asked| self.renew_here(asked), there)
            .await
    }
}
