//! What operators read. Each call is answered by the leader, here or over there; the answers
//! themselves are made in [`super::view`].

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use paasta_common::id::InstanceId;
use paasta_coordinator_core::{
    plan::{observed::Observed, report::Report},
    state::outcome::Reason,
};
use paasta_process::clock::Clock;
use paasta_proto::{
    v1::{
        DescribeRequest, DescribeResponse, EventsRequest, EventsResponse, FollowRequest,
        ListRequest, ListResponse, MetastatusRequest, MetastatusResponse, SearchRequest,
        SearchResponse, StatusRequest, StatusResponse, WhyRequest, WhyResponse,
        admin_client::AdminClient, admin_server::Admin,
    },
    worker::off_worker,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{follow::Followers, gate::Gate, status::RpcError, view::View};
use crate::{
    caller::sight, desired::Desired, machine::ClusterMachine, observations::Observations,
    raft::Consensus, space::Rooms,
};

/// Instances that are looked at without letting the state change in between.
const SLICE: usize = 32;
/// Instances that a search judges one by one, at most.
const JUDGED_MAX: usize = 2_000;

/// The service.
#[derive(Clone)]
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
    /// Who follows events here.
    pub followers: Followers,
    /// What is known of the coordinators' data directories.
    pub rooms: Rooms,
}

impl AdminService {
    /// Shows the state as of now to `look`. The locks are held for that long only, and the runtime
    /// goes on.
    pub(crate) fn view<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        off_worker(|| self.view_here(look))
    }

    fn view_here<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        let raft = self.consensus.status();
        // What was planned and reported while this coordinator led is history now.
        let leads = raft.is_leader() && raft.has_leader();
        let report = match leads {
            true => self.report.load_full(),
            false => Arc::default(),
        };
        let state = self.machine.read();
        let observed = self.observations.read();
        let mut read = self.desired.last_read();
        if let (true, Some(held)) = (read.error.is_empty(), state.held_back()) {
            read.error = Reason::from(*held).to_string();
        }
        let nothing = Observed::new(observed.leader_since, observed.settings);
        look(&View {
            sight: &sight(),
            state: &state,
            observed: if leads { &observed } else { &nothing },
            report: &report,
            raft: &raft,
            read: &read,
            drift: &self.desired.settings.drift(&state),
            repositories: &self.desired.repositories.troubled(),
            now: self.clock.now(),
        })
    }
}

impl AdminService {
    /// The page of instances, slice by slice: a change of the state waits for one slice only.
    fn status_here(&self, asked: &StatusRequest) -> Result<StatusResponse, RpcError> {
        let (mut page, ids) = self.view(|view| view.status_page(asked))?;
        for slice in ids.chunks(SLICE) {
            let some = self.view(|view| view.instances_of(slice, asked.replicas));
            page.instances.extend(some);
        }
        Ok(page)
    }

    /// The page of a search. Which instances may not be as wanted is found at once; they are judged
    /// slice by slice, up to a bound: beyond it they count as not as wanted.
    fn search_here(&self, asked: &SearchRequest) -> Result<SearchResponse, RpcError> {
        let mut found = self.view(|view| view.search(asked));
        let doubtful = found.iter_mut().filter(|one| one.unwell);
        let mut doubtful: Vec<_> = doubtful.take(JUDGED_MAX).collect();
        for slice in doubtful.chunks_mut(SLICE) {
            let ids: Vec<InstanceId> = slice.iter().map(|one| one.id.clone()).collect();
            let unwell = self.view(|view| view.unwell_of(&ids));
            for one in slice {
                one.unwell = unwell.contains(&one.id);
            }
        }
        let (mut page, ids) = self.view(|view| view.search_page(asked, &found))?;
        for slice in ids.chunks(SLICE) {
            let some = self.view(|view| view.instances_of(slice, false));
            page.instances.extend(some);
        }
        Ok(page)
    }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let stale = request.get_ref().stale;
        let admin = self.clone();
        let here = move |asked: &StatusRequest| admin.status_here(asked);
        let there =
            |leader, request| async move { AdminClient::new(leader).status(request).await }.boxed();
        self.gate.look(request, stale, here, there).await
    }

    async fn metastatus(
        &self,
        request: Request<MetastatusRequest>,
    ) -> Result<Response<MetastatusResponse>, Status> {
        let stale = request.get_ref().stale;
        let admin = self.clone();
        let here = move |asked: &MetastatusRequest| {
            let mut answer = admin.view(|view| view.metastatus(asked.stale));
            let node = admin.consensus.status().node_id;
            admin.rooms.show(node, &mut answer);
            Ok(answer)
        };
        let there = |leader, request| {
            async move { AdminClient::new(leader).metastatus(request).await }.boxed()
        };
        self.gate.look(request, stale, here, there).await
    }

    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> Result<Response<SearchResponse>, Status> {
        let stale = request.get_ref().stale;
        let admin = self.clone();
        let here = move |asked: &SearchRequest| admin.search_here(asked);
        let there =
            |leader, request| async move { AdminClient::new(leader).search(request).await }.boxed();
        self.gate.look(request, stale, here, there).await
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let stale = request.get_ref().stale;
        let admin = self.clone();
        let here = move |asked: &ListRequest| admin.view(|view| Ok(view.list(asked)));
        let there =
            |leader, request| async move { AdminClient::new(leader).list(request).await }.boxed();
        self.gate.look(request, stale, here, there).await
    }

    async fn why(&self, request: Request<WhyRequest>) -> Result<Response<WhyResponse>, Status> {
        let admin = self.clone();
        let here = move |asked: &WhyRequest| {
            let id = instance(&asked.instance)?;
            admin.view(|view| view.why(&id))
        };
        let there =
            |leader, request| async move { AdminClient::new(leader).why(request).await }.boxed();
        self.gate.look(request, false, here, there).await
    }

    async fn events(
        &self,
        request: Request<EventsRequest>,
    ) -> Result<Response<EventsResponse>, Status> {
        let stale = request.get_ref().stale;
        let admin = self.clone();
        let here = move |asked: &EventsRequest| admin.view(|view| Ok(view.events(asked)));
        let there =
            |leader, request| async move { AdminClient::new(leader).events(request).await }.boxed();
        self.gate.look(request, stale, here, there).await
    }

    type FollowStream = ReceiverStream<Result<EventsResponse, Status>>;

    async fn follow(
        &self,
        request: Request<FollowRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let stream = self.followers.follow(self.clone(), request.into_inner())?;
        Ok(Response::new(stream))
    }

    async fn describe(
        &self,
        request: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        let stale = request.get_ref().stale;
        let admin = self.clone();
        let here = move |asked: &DescribeRequest| {
            let id = instance(&asked.instance)?;
            admin.view(|view| view.describe(&id))
        };
        let there = |leader, request| {
            async move { AdminClient::new(leader).describe(request).await }.boxed()
        };
        self.gate.look(request, stale, here, there).await
    }
}

fn instance(text: &str) -> Result<InstanceId, RpcError> {
    text.parse().map_err(|error| RpcError::BadRequest {
        field: "instance",
        message: format!("{error}"),
    })
}
