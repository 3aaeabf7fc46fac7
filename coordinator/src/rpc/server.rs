//! One gRPC endpoint for everything: peers, agents, operators, health and reflection.

use std::{io, net::SocketAddr, time::Duration};

use paasta_proto::v1::{
    admin_server::AdminServer, agents_server::AgentsServer, authority_server::AuthorityServer,
    bounces_server::BouncesServer, cluster_server::ClusterServer, deploys_server::DeploysServer,
    exec_server::ExecServer, joining_server::JoiningServer, logs_server::LogsServer,
    members_server::MembersServer, operate_server::OperateServer,
    principals_server::PrincipalsServer, revocations_server::RevocationsServer,
    settings_server::SettingsServer, snapshots_server::SnapshotsServer,
    tokens_server::TokensServer,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::{Server, server::Connected},
};
use tonic_health::server::HealthReporter;
use tower::layer::layer_fn;

use super::{
    access::Access, admin::AdminService, agents::AgentsService, authority::AuthorityService,
    bounces::BouncesService, cluster::ClusterService, connections::Noted, deploys::DeploysService,
    exec::ExecService, guard::Guard, joining::JoiningService, logs::LogsService,
    members::MembersService, operate::OperateService, principals::PrincipalsService,
    revocations::RevocationsService, rights::Rights, settings::SettingsService,
    snapshots::SnapshotsService, tokens::TokensService,
};
use crate::raft::{Consensus, RaftServer};

/// Between keepalive pings on a connection, and how long one may take.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Calls under way on one connection, at most.
const CALLS_PER_CONNECTION: usize = 256;
/// Streams open on one connection, at most: a coordinator relays the sessions of many agents on
/// one.
const STREAMS_PER_CONNECTION: u32 = 4096;
/// Bytes of the headers of one call, at most.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// How long a connection with TLS lives before it is made anew, with new handshakes: what its
/// certificates prove is never older.
const CONNECTION_AGE: Duration = Duration::from_secs(3600);
/// How long streams that are open then may go on.
const CONNECTION_GRACE: Duration = Duration::from_secs(300);
/// How long calls may take to end when the coordinator stops.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// The services of this coordinator.
pub struct Services {
    /// Peers.
    pub consensus: Consensus,
    /// Agents.
    pub agents: AgentsService,
    /// Operators, reading.
    pub admin: AdminService,
    /// Operators and service authors, reading logs.
    pub logs: LogsService,
    /// People, running commands in containers.
    pub exec: ExecService,
    /// Operators, making the cluster.
    pub cluster: ClusterService,
    /// Operators and authors, saying what runs.
    pub deploys: DeploysService,
    /// Operators, changing the coordinators.
    pub members: MembersService,
    /// Operators, acting on hosts and instances.
    pub operate: OperateService,
    /// Operators, conducting bounces.
    pub bounces: BouncesService,
    /// Operators, looking at the cluster's settings and changing them.
    pub settings: SettingsService,
    /// Operators, saving the state.
    pub snapshots: SnapshotsService,
    /// Operators, taking rights away.
    pub revocations: RevocationsService,
    /// Who may call them.
    pub rights: Rights,
    /// Strangers and others that get certificates.
    pub joining: JoiningService,
    /// Operators, making join tokens.
    pub tokens: TokensService,
    /// Coordinators that get the authority's key.
    pub authority: AuthorityService,
    /// Admins: who may do what, and what was done.
    pub principals: PrincipalsService,
    /// What is checked and recorded of every call.
    pub guard: Guard,
}

/// Why the endpoint could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; is another coordinator running here?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// Serving ended with an error.
    #[error("the gRPC endpoint failed")]
    Serve(#[source] tonic::transport::Error),
    /// The reflection service could not be made.
    #[error("the gRPC descriptors are not readable")]
    Reflection(#[source] tonic_reflection::server::Error),
}

/// Takes the address.
///
/// # Errors
/// [`ServeError::Bind`] when it is taken or not of this machine.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Bind { address, source })
}

/// Every service is served from the beginning.
async fn report_health(health: &HealthReporter) {
    health.set_serving::<AdminServer<AdminService>>().await;
    health.set_serving::<AgentsServer<AgentsService>>().await;
    health.set_serving::<LogsServer<LogsService>>().await;
    health.set_serving::<ExecServer<ExecService>>().await;
    health.set_serving::<BouncesServer<BouncesService>>().await;
    health.set_serving::<ClusterServer<ClusterService>>().await;
    health.set_serving::<DeploysServer<DeploysService>>().await;
    health.set_serving::<MembersServer<MembersService>>().await;
    health.set_serving::<OperateServer<OperateService>>().await;
    health
        .set_serving::<SettingsServer<SettingsService>>()
        .await;
    health
        .set_serving::<SnapshotsServer<SnapshotsService>>()
        .await;
    health
        .set_serving::<RevocationsServer<RevocationsService>>()
        .await;
    health.set_serving::<JoiningServer<JoiningService>>().await;
    health.set_serving::<TokensServer<TokensService>>().await;
    health
        .set_serving::<AuthorityServer<AuthorityService>>()
        .await;
    health
        .set_serving::<PrincipalsServer<PrincipalsService>>()
        .await;
    health.set_serving::<RaftServer>().await;
}

/// Serves until `shutdown`, then lets calls under way end for a moment.
///
/// # Errors
/// [`ServeError`].
pub async fn serve<I, C>(
    incoming: I,
    services: Services,
    shutdown: CancellationToken,
) -> Result<(), ServeError>
where
    I: Stream<Item = io::Result<C>>,
    C: Connected + AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (health, health_service) = tonic_health::server::health_reporter();
    report_health(&health).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(paasta_proto::DESCRIPTORS)
        .build_v1()
        .map_err(ServeError::Reflection)?;
    let mut routes = Routes::builder();
    routes
        .add_service(health_service)
        .add_service(reflection)
        .add_service(services.consensus.service())
        .add_service(AgentsServer::new(services.agents))
        .add_service(AdminServer::new(services.admin))
        .add_service(LogsServer::new(services.logs))
        .add_service(ExecServer::new(services.exec))
        .add_service(ClusterServer::new(services.cluster))
        .add_service(DeploysServer::new(services.deploys))
        .add_service(MembersServer::new(services.members))
        .add_service(OperateServer::new(services.operate))
        .add_service(SettingsServer::new(services.settings))
        .add_service(BouncesServer::new(services.bounces))
        .add_service(SnapshotsServer::new(services.snapshots))
        .add_service(RevocationsServer::new(services.revocations))
        .add_service(JoiningServer::new(services.joining))
        .add_service(TokensServer::new(services.tokens))
        .add_service(AuthorityServer::new(services.authority))
        .add_service(PrincipalsServer::new(services.principals));
    let guard = services.guard;
    let (stopping, consensus) = (shutdown.clone(), services.consensus.clone());
    let rights = services.rights;
    let mut server = Server::builder();
    if rights.is_secure() {
        server = server
            .max_connection_age(CONNECTION_AGE)
            .max_connection_age_grace(CONNECTION_GRACE);
    }
    let serving = server
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .concurrency_limit_per_connection(CALLS_PER_CONNECTION)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .layer(layer_fn(Noted::new))
        .layer(layer_fn(move |inner| {
            Access::new(inner, guard.clone(), rights.clone())
        }))
        .add_routes(routes.routes())
        .serve_with_incoming_shutdown(incoming, async move {
            stopping.cancelled().await;
            consensus.hang_up();
        });
    let cut = async {
        shutdown.cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    tokio::select! {
        result = serving => result.map_err(ServeError::Serve),
        () = cut => Ok(()),
    }
}
