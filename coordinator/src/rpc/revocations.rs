//! Taking the rights of an identity away, and giving them back. What a revocation does is in
//! `paasta_coordinator_core::state::revoked`; where it takes effect, in [`super::rights`].

use futures_util::FutureExt;
use paasta_coordinator_core::state::{
    command::{Command, RestoreIdentity, RevokeIdentity},
    revoked::Holder,
};
use paasta_identity::{Identity, Role};
use paasta_proto::v1::{
    ListRevokedRequest, ListRevokedResponse, OperateResponse, RequestOutcome, RestoreRequest,
    RevokeRequest, RevokedIdentity, revocations_client::RevocationsClient,
    revocations_server::Revocations,
};
use tonic::{Request, Response, Status, transport::Channel};

use super::{
    admin::AdminService,
    members::check_majority_after,
    operate::{ANSWER_BYTES_MAX, REASON_BYTES_MAX, asked_by, response, said, text},
    status::{RpcError, bad},
};
use crate::{caller::principal, propose::Proposer};

/// The service.
pub struct RevocationsService {
    /// Where calls are answered, and what they see.
    pub admin: AdminService,
    /// Where requests become commands.
    pub proposer: Proposer,
}

impl RevocationsService {
    async fn revoke_here(&self, asked: RevokeRequest) -> Result<OperateResponse, RpcError> {
        let by = asked_by(asked.asker)?;
        let identity = self.identity(&asked.identity)?;
        let reason = match asked.reason.as_str() {
            "" => String::new(),
            reason => text("reason", reason, REASON_BYTES_MAX)?,
        };
        if let Some(refused) = self.refused(&identity, asked.force) {
            return Ok(response(RequestOutcome::Refused, refused));
        }
        let holder = holder(&identity)?;
        let command = RevokeIdentity {
            holder: holder.clone(),
            whole: !asked.issued_before,
            reason,
        };
        let outcome = self
            .proposer
            .propose_for(by, Command::RevokeIdentity(command))
            .await?;
        let goes_on = match identity.role() {
            Role::Agent => "; its containers go on",
            _ => "",
        };
        Ok(said(
            &outcome,
            || match asked.issued_before {
                false => format!(
                    "{holder} is revoked: its calls are refused, its open connections end within 30 s{goes_on}"
                ),
                true => format!(
                    "{holder} is revoked as far as its certificates were issued before now: they are refused, open connections end within 30 s{goes_on}"
                ),
            },
            || format!("{holder} is revoked already"),
        ))
    }

    async fn restore_here(&self, asked: RestoreRequest) -> Result<OperateResponse, RpcError> {
        let by = asked_by(asked.asker)?;
        let holder = holder(&self.identity(&asked.identity)?)?;
        let command = RestoreIdentity {
            holder: holder.clone(),
            also_before: asked.also_before,
        };
        let outcome = self
            .proposer
            .propose_for(by, Command::RestoreIdentity(command))
            .await?;
        Ok(said(
            &outcome,
            || match asked.also_before {
                true => format!("{holder} has its rights again"),
                false => format!(
                    "{holder} has its rights again by certificates that are issued from now on; those from before the revocation stay without (--also-before gives them theirs)"
                ),
            },
            || format!("{holder} was not revoked, or only its certificates from before are"),
        ))
    }

    fn list_here(&self, now_ms: u64) -> ListRevokedResponse {
        let state = self.admin.machine.read();
        let identities = state
            .revoked()
            .iter()
            .filter(|(_, one)| one.ends.0 > now_ms)
            .map(|(holder, one)| RevokedIdentity {
                identity: holder.to_string(),
                whole: one.whole,
                before_ms: one.before.0,
                by: one.by.to_string(),
                reason: one.reason.clone(),
                ends_ms: one.ends.0,
            });
        ListRevokedResponse {
            identities: identities.collect(),
            now_ms,
        }
    }

    /// Reads `ROLE/NAME`, an identity of this cluster.
    fn identity(&self, text: &str) -> Result<Identity, RpcError> {
        let state = self.admin.machine.read();
        let cluster = state.cluster().ok_or(RpcError::Uninitialized)?;
        let whole = format!("paasta://{}/{text}", cluster.name);
        let wrong = |error| bad("identity", format!("expected ROLE/NAME: {error}"));
        whole.parse().map_err(wrong)
    }

    /// Why an identity must not be revoked: the cluster, or the caller, would be locked out.
    fn refused(&self, identity: &Identity, force: bool) -> Option<String> {
        if principal().as_ref() == Some(identity) {
            return Some(format!(
                "{} is the identity of this command itself, which could not restore it: have another admin revoke it",
                identity.short()
            ));
        }
        let id = identity.member()?;
        let status = self.admin.consensus.status();
        if id == status.node_id {
            return Some(format!(
                "coordinator {id} leads: hand leadership over first (`paasta coordinator transfer-leader`), then revoke it"
            ));
        }
        match force {
            true => None,
            false => check_majority_after(&status, id)
                .err()
                .map(|error| format!("{error}; --force revokes it all the same")),
        }
    }
}

/// The holder that the state names.
fn holder(identity: &Identity) -> Result<Holder, RpcError> {
    Holder::new(&identity.short()).map_err(|error| bad("identity", error.to_string()))
}

#[tonic::async_trait]
impl Revocations for RevocationsService {
    async fn revoke(
        &self,
        request: Request<RevokeRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let there = |leader, asked| async move { client(leader).revoke(asked).await }.boxed();
        let here = |asked| self.revoke_here(asked);
        self.admin.gate.act(request, here, there).await
    }

    async fn restore(
        &self,
        request: Request<RestoreRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let there = |leader, asked| async move { client(leader).restore(asked).await }.boxed();
        let here = |asked| self.restore_here(asked);
        self.admin.gate.act(request, here, there).await
    }

    async fn list(
        &self,
        request: Request<ListRevokedRequest>,
    ) -> Result<Response<ListRevokedResponse>, Status> {
        let stale = request.get_ref().stale;
        let there = |leader, asked| async move { client(leader).list(asked).await }.boxed();
        let now_ms = self.proposer.now().0;
        let here = |_: &ListRevokedRequest| Ok(self.list_here(now_ms));
        self.admin.gate.answer(request, stale, here, there).await
    }
}

fn client(leader: Channel) -> RevocationsClient<Channel> {
    RevocationsClient::new(leader).max_decoding_message_size(ANSWER_BYTES_MAX)
}
