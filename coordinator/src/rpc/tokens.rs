//! Join tokens, for admins: made, listed and revoked.

use futures_util::FutureExt;
use paasta_common::{id::TokenId, joining::Joiner, time::Timestamp};
use paasta_coordinator_core::state::{
    auth::{JoinToken, NOTE_CHARS_MAX, Usable},
    command::{Command, CreateToken, RevokeToken},
    outcome::Outcome,
};
use paasta_identity::{Identity, Role, token::Token};
use paasta_proto::{
    convert,
    v1::{
        CreateTokenRequest, CreateTokenResponse, ListTokensRequest, ListTokensResponse,
        OperateResponse, RevokeTokenRequest, TokenInfo, TokenState, tokens_client::TokensClient,
        tokens_server::Tokens,
    },
};
use tonic::{Request, Response, Status};

use super::{
    gate::Gate,
    operate::{asked_by, said},
    status::{RpcError, bad},
};
use crate::{
    keeper::{Keeper, KeeperError},
    machine::ClusterMachine,
    propose::Proposer,
};

/// How long a token may be used when the request does not say, in seconds.
const TTL: u64 = 3_600;
/// The shortest and the longest that a request may ask for.
const TTL_RANGE: std::ops::RangeInclusive<u64> = 60..=365 * 86_400;
/// How often a token may be used, at most.
const USES_MAX: u32 = 100_000;

/// The service.
pub struct TokensService {
    /// Where calls are answered.
    pub gate: Gate,
    /// The replicated state.
    pub machine: ClusterMachine,
    /// Where requests become commands.
    pub proposer: Proposer,
    /// Knows the authority that a token pins.
    pub keeper: Keeper,
}

impl TokensService {
    async fn create_here(
        &self,
        asked: CreateTokenRequest,
    ) -> Result<CreateTokenResponse, RpcError> {
        let by = asked_by(asked.asker.clone())?;
        let pin = self.keeper.pin().ok_or(KeeperError::NoKey)?;
        let now = self.proposer.now();
        let token = self.token(&asked, pin)?;
        let command = self.command(&asked, &token, now)?;
        let outcome = self.proposer.propose_for(by, Command::CreateToken(command));
        if let Outcome::Refused(reason) = outcome.await? {
            return Err(RpcError::Refused(Box::new(reason)));
        }
        let state = self.machine.read();
        let info = state.tokens().get(&token.id);
        Ok(CreateTokenResponse {
            token: token.to_string(),
            info: info.map(|made| info_of(&token.id, made, now)),
        })
    }

    fn token(
        &self,
        asked: &CreateTokenRequest,
        pin: paasta_identity::pin::Pin,
    ) -> Result<Token, RpcError> {
        let joiner = convert::joiner_from_wire(asked.joiner)
            .map_err(|error| bad("joiner", error.to_string()))?;
        Ok(Token::random(joiner, pin))
    }

    fn command(
        &self,
        asked: &CreateTokenRequest,
        token: &Token,
        now: Timestamp,
    ) -> Result<CreateToken, RpcError> {
        let ttl = match asked.ttl_seconds {
            0 => TTL,
            ttl if TTL_RANGE.contains(&ttl) => ttl,
            ttl => {
                let (least, most) = TTL_RANGE.into_inner();
                let message = format!("{ttl} s; expected {least} to {most} s");
                return Err(bad("ttl_seconds", message));
            }
        };
        let uses = match asked.uses {
            0 => 1,
            uses if uses <= USES_MAX => uses,
            uses => {
                let message = format!("{uses}; expected 1 to {USES_MAX}");
                return Err(bad("uses", message));
            }
        };
        if asked.note.chars().count() > NOTE_CHARS_MAX || asked.note.chars().any(char::is_control) {
            let message = format!("expected one line of at most {NOTE_CHARS_MAX} characters");
            return Err(bad("note", message));
        }
        Ok(CreateToken {
            id: token.id.clone(),
            joiner: token.joiner,
            digest: token.secret.digest(),
            uses,
            expires: now.after_ms(ttl.saturating_mul(1_000)),
            principal: self.principal(token.joiner, &asked.principal)?,
            replace: asked.replace,
            note: asked.note.clone(),
        })
    }

    /// The identity that a person gets: never one of a program of the cluster.
    fn principal(&self, joiner: Joiner, text: &str) -> Result<Option<Identity>, RpcError> {
        let of_person = joiner == Joiner::Person;
        if !of_person || text.is_empty() {
            let message = match of_person {
                true => "it is empty; a person's token names the identity that the person gets",
                false if text.is_empty() => return Ok(None),
                false => "only a person's token names an identity",
            };
            return Err(bad("principal", message.to_owned()));
        }
        let identity: Identity = text
            .parse()
            .map_err(|error: paasta_identity::IdentityError| bad("principal", error.to_string()))?;
        let state = self.machine.read();
        let cluster = state.cluster().ok_or(RpcError::Uninitialized)?;
        let known = cluster.name == *identity.cluster();
        match identity.role() {
            Role::Admin | Role::Deployer | Role::Reader | Role::Metrics if known => {
                Ok(Some(identity))
            }
            _ => Err(bad(
                "principal",
                format!(
                    "{identity}: expected a person of cluster {}: admin, deployer, reader or metrics",
                    cluster.name
                ),
            )),
        }
    }

    fn list_here(&self) -> ListTokensResponse {
        let now = self.proposer.now();
        let state = self.machine.read();
        let tokens = state.tokens().iter();
        ListTokensResponse {
            tokens: tokens.map(|(id, token)| info_of(id, token, now)).collect(),
            now_ms: now.0,
        }
    }

    async fn revoke_here(&self, asked: RevokeTokenRequest) -> Result<OperateResponse, RpcError> {
        let by = asked_by(asked.asker)?;
        let id = TokenId::new(&asked.id).map_err(|error| bad("id", error.to_string()))?;
        let command = Command::RevokeToken(RevokeToken { id: id.clone() });
        let outcome = self.proposer.propose_for(by, command).await?;
        Ok(said(
            &outcome,
            || format!("join token {id} is revoked; what joined by it stays"),
            || format!("join token {id} was revoked already"),
        ))
    }
}

fn info_of(id: &TokenId, token: &JoinToken, now: Timestamp) -> TokenInfo {
    let state = match token.usable(now) {
        Usable::Yes => TokenState::Usable,
        Usable::Revoked => TokenState::Revoked,
        Usable::Expired => TokenState::Expired,
        Usable::UsedUp => TokenState::UsedUp,
    };
    let principal = token.principal.as_ref();
    TokenInfo {
        id: id.to_string(),
        joiner: convert::joiner_to_wire(token.joiner).into(),
        state: state.into(),
        uses_left: token.uses_left,
        expires_ms: token.expires.0,
        replace: token.replace,
        principal: principal.map(ToString::to_string).unwrap_or_default(),
        note: token.note.clone(),
        created_by: token.created_by.to_string(),
        created_ms: token.created_at.0,
    }
}

#[tonic::async_trait]
impl Tokens for TokensService {
    async fn create(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let there =
            |leader, asked| async move { TokensClient::new(leader).create(asked).await }.boxed();
        let here = |asked| self.create_here(asked);
        self.gate.act(request, here, there).await
    }

    async fn list(
        &self,
        request: Request<ListTokensRequest>,
    ) -> Result<Response<ListTokensResponse>, Status> {
        let there =
            |leader, asked| async move { TokensClient::new(leader).list(asked).await }.boxed();
        let here = |_: &ListTokensRequest| Ok(self.list_here());
        self.gate.answer(request, false, here, there).await
    }

    async fn revoke(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let there =
            |leader, asked| async move { TokensClient::new(leader).revoke(asked).await }.boxed();
        let here = |asked| self.revoke_here(asked);
        self.gate.act(request, here, there).await
    }
}
