//! Bounces under an operator's eye and hand: each request becomes one command, which decides when
//! it is applied. So a request that is repeated gets its first outcome, whatever became of the
//! bounce since.

use futures_util::FutureExt;
use paasta_common::id::{AppId, InstanceId};
use paasta_coordinator_core::state::command::{Command, ForceBounce, ResumeBounce, RollBack};
use paasta_proto::v1::{
    BounceStatusRequest, BounceStatusResponse, ForceBounceRequest, OperateResponse,
    ResumeBounceRequest, RollBackRequest, bounces_client::BouncesClient, bounces_server::Bounces,
};
use tonic::{Request, Response, Status, transport::Channel};

use super::{
    admin::AdminService,
    operate::{ANSWER_BYTES_MAX, REASON_BYTES_MAX, asked_by, said, text},
    status::{RpcError, bad},
};
use crate::propose::Proposer;

/// The service.
pub struct BouncesService {
    /// Where calls are answered, and what they see.
    pub admin: AdminService,
    /// Where requests become commands.
    pub proposer: Proposer,
}

impl BouncesService {
    async fn resume_here(&self, asked: ResumeBounceRequest) -> Result<OperateResponse, RpcError> {
        let by = asked_by(asked.asker)?;
        let instance = self.instance(&asked.instance)?;
        let reason = text("reason", &asked.reason, REASON_BYTES_MAX)?;
        let command = Command::ResumeBounce(ResumeBounce {
            instance: instance.clone(),
            reason,
        });
        let outcome = self.proposer.propose_for(by, command).await?;
        Ok(said(
            &outcome,
            || format!("{instance} goes on to {}", self.desired(&instance)),
            || format!("nothing holds {instance}: see `paasta why {instance}`"),
        ))
    }

    async fn roll_back_here(&self, asked: RollBackRequest) -> Result<OperateResponse, RpcError> {
        let by = asked_by(asked.asker)?;
        let instance = self.instance(&asked.instance)?;
        let reason = text("reason", &asked.reason, REASON_BYTES_MAX)?;
        let app: Option<AppId> = match asked.app.as_str() {
            "" => None,
            app => Some(
                app.parse()
                    .map_err(|error| bad("app", format!("{error}")))?,
            ),
        };
        let command = Command::RollBack(RollBack {
            instance: instance.clone(),
            app,
            reason,
        });
        let outcome = self.proposer.propose_for(by, command).await?;
        Ok(said(
            &outcome,
            || {
                format!(
                    "{instance} goes back to {}, until the next version or `paasta bounce resume {instance}`",
                    self.desired(&instance)
                )
            },
            || format!("{instance} is at {} already", self.desired(&instance)),
        ))
    }

    async fn force_here(&self, asked: ForceBounceRequest) -> Result<OperateResponse, RpcError> {
        let by = asked_by(asked.asker)?;
        let instance = self.instance(&asked.instance)?;
        let reason = text("reason", &asked.reason, REASON_BYTES_MAX)?;
        let command = Command::ForceBounce(ForceBounce {
            instance: instance.clone(),
            reason,
        });
        let outcome = self.proposer.propose_for(by, command).await?;
        let desired = || self.desired(&instance);
        Ok(said(
            &outcome,
            || format!("every replica of {instance} is replaced, as {}", desired()),
            || format!("{instance} is being replaced already"),
        ))
    }

    fn instance(&self, name: &str) -> Result<InstanceId, RpcError> {
        self.admin.view(|view| view.instance_named(name))
    }

    fn desired(&self, id: &InstanceId) -> String {
        let state = self.admin.machine.read();
        let record = state.instance(id);
        record.map_or_else(String::new, |record| record.desired_app().to_string())
    }
}

#[tonic::async_trait]
impl Bounces for BouncesService {
    async fn bounce_status(
        &self,
        request: Request<BounceStatusRequest>,
    ) -> Result<Response<BounceStatusResponse>, Status> {
        let there =
            |leader, asked| async move { client(leader).bounce_status(asked).await }.boxed();
        let admin = self.admin.clone();
        let here = move |asked: &BounceStatusRequest| admin.view(|view| view.bounces(asked));
        self.admin.gate.look(request, false, here, there).await
    }

    async fn resume_bounce(
        &self,
        request: Request<ResumeBounceRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let there =
            |leader, asked| async move { client(leader).resume_bounce(asked).await }.boxed();
        let here = |asked| self.resume_here(asked);
        self.admin.gate.act(request, here, there).await
    }

    async fn roll_back(
        &self,
        request: Request<RollBackRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let there = |leader, asked| async move { client(leader).roll_back(asked).await }.boxed();
        let here = |asked| self.roll_back_here(asked);
        self.admin.gate.act(request, here, there).await
    }

    async fn force_bounce(
        &self,
        request: Request<ForceBounceRequest>,
    ) -> Result<Response<OperateResponse>, Status> {
        let there = |leader, asked| async move { client(leader).force_bounce(asked).await }.boxed();
        let here = |asked| self.force_here(asked);
        self.admin.gate.act(request, here, there).await
    }
}

fn client(leader: Channel) -> BouncesClient<Channel> {
    BouncesClient::new(leader).max_decoding_message_size(ANSWER_BYTES_MAX)
}
