//! What operators read. Each call is answered by the leader, here or over there; the answers
//! themselves are made in [`super::view`].

use std::sync::Arc;

use arc_swap::ArcSwap;
use paasta_common::id::InstanceId;
use paasta_coordinator_core::plan::report::Report;
use paasta_process::clock::Clock;
use paasta_proto::v1::{
    EventsRequest, EventsResponse, ListRequest, ListResponse, MetastatusRequest,
    MetastatusResponse, StatusRequest, StatusResponse, WhyRequest, WhyResponse,
    admin_client::AdminClient, admin_server::Admin,
};
use tonic::{Request, Response, Status};

use super::{
    gate::{Gate, Route},
    peers::forwarded,
    status::RpcError,
    view::View,
};
use crate::{
    desired::Desired, machine::ClusterMachine, observations::Observations, raft::Consensus,
};

/// The service.
pub struct AdminService {
    /// Where calls are answered.
    pub gate: Gate,
    /// Consensus.
    pub consensus: Consensus,
    /// The replicated state.
    pub machine: ClusterMachine,
    /// What agents report.
    pub observations: Observations,
    /// What the last plan said.
    pub report: Arc<ArcSwap<Report>>,
    /// What was last read of the desired state.
    pub desired: Desired,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl AdminService {
    /// Shows the state as of now to `look`. The locks are held for that long only.
    fn view<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        let report = self.report.load_full();
        let state = self.machine.read();
        let observed = self.observations.read();
        look(&View {
            state: &state,
            observed: &observed,
            report: &report,
            raft: &self.consensus.status(),
            read: &self.desired.last_read(),
            now: self.clock.now(),
        })
    }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        match self.gate.route(&request, request.get_ref().stale).await? {
            Route::Leader(leader) => AdminClient::new(leader).status(forwarded(request)).await,
            Route::Here => Ok(Response::new(
                self.view(|view| view.status(&request.into_inner()))?,
            )),
        }
    }

    async fn metastatus(
        &self,
        request: Request<MetastatusRequest>,
    ) -> Result<Response<MetastatusResponse>, Status> {
        match self.gate.route(&request, request.get_ref().stale).await? {
            Route::Leader(leader) => {
                AdminClient::new(leader)
                    .metastatus(forwarded(request))
                    .await
            }
            Route::Here => Ok(Response::new(self.view(|view| view.metastatus()))),
        }
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        match self.gate.route(&request, request.get_ref().stale).await? {
            Route::Leader(leader) => AdminClient::new(leader).list(forwarded(request)).await,
            Route::Here => Ok(Response::new(
                self.view(|view| view.list(&request.into_inner())),
            )),
        }
    }

    async fn why(&self, request: Request<WhyRequest>) -> Result<Response<WhyResponse>, Status> {
        match self.gate.route(&request, false).await? {
            Route::Leader(leader) => AdminClient::new(leader).why(forwarded(request)).await,
            Route::Here => {
                let id: InstanceId = request.get_ref().instance.parse().map_err(|error| {
                    let message = format!("{error}");
                    RpcError::BadRequest {
                        field: "instance",
                        message,
                    }
                })?;
                Ok(Response::new(self.view(|view| view.why(&id))?))
            }
        }
    }

    async fn events(
        &self,
        request: Request<EventsRequest>,
    ) -> Result<Response<EventsResponse>, Status> {
        match self.gate.route(&request, false).await? {
            Route::Leader(leader) => AdminClient::new(leader).events(forwarded(request)).await,
            Route::Here => Ok(Response::new(
                self.view(|view| view.events(request.get_ref())),
            )),
        }
    }
}
