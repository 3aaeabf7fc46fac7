//! A coordinator that says what a test wants it to say, over a real socket.

use std::{
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use paasta_proto::v1::{
    DescribeRequest, DescribeResponse, EventsRequest, EventsResponse, FollowRequest, InitRequest,
    InitResponse, InstanceStatus, ListRequest, ListResponse, LogLine, LogsPart, LogsRequest,
    MetastatusRequest, MetastatusResponse, NodeRequest, NodeResponse, SearchRequest,
    SearchResponse, StatusRequest, StatusResponse, WhyRequest, WhyResponse,
    admin_server::{Admin, AdminServer},
    cluster_server::{Cluster, ClusterServer},
    logs_server::{Logs, LogsServer},
};
use tokio::runtime::Runtime;
use tokio_stream::{Stream, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};

/// The moment of every answer.
pub(crate) const NOW_MS: u64 = 1_763_903_530_000;

/// What the coordinator says.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// The instances, sorted.
    pub(crate) instances: Vec<InstanceStatus>,
    /// The cluster.
    pub(crate) metastatus: MetastatusResponse,
    /// Itself.
    pub(crate) node: NodeResponse,
    /// Answered before anything else, once each.
    pub(crate) first: Vec<Status>,
    /// Answered instead of anything else.
    pub(crate) always: Option<Status>,
    /// The largest page, whatever is asked for.
    pub(crate) page: usize,
    /// The cluster exists.
    pub(crate) initialised: bool,
    /// What replicas wrote.
    pub(crate) logs: Vec<LogLine>,
    /// The name of the cluster; `demo` when it is empty.
    pub(crate) cluster: String,
}

impl Script {
    fn cluster(&self) -> String {
        match self.cluster.as_str() {
            "" => "demo".to_owned(),
            name => name.to_owned(),
        }
    }
}

/// A running coordinator; it stops when it is dropped.
pub(crate) struct Fake {
    pub(crate) address: String,
    /// How many calls were made.
    pub(crate) calls: Arc<AtomicUsize>,
    script: Arc<Mutex<Script>>,
    _runtime: Runtime,
}

#[derive(Clone)]
struct Service {
    script: Arc<Mutex<Script>>,
    calls: Arc<AtomicUsize>,
}

impl Fake {
    /// Starts a coordinator that follows the script.
    pub(crate) fn start(script: Script) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let address: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let bind = tokio::net::TcpListener::bind(address);
        let listener = runtime.block_on(bind).expect("listen on loopback");
        let address = listener.local_addr().expect("its address").to_string();
        let calls = Arc::new(AtomicUsize::new(0));
        let script = Arc::new(Mutex::new(script));
        let service = Service {
            script: Arc::clone(&script),
            calls: calls.clone(),
        };
        let server = Server::builder()
            .add_service(AdminServer::new(service.clone()))
            .add_service(LogsServer::new(service.clone()))
            .add_service(ClusterServer::new(service));
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self {
            address,
            calls,
            script,
            _runtime: runtime,
        }
    }

    /// Has the coordinator go on by another script.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Script)) {
        let mut script = self.script.lock();
        change(
            script
                .as_mut()
                .expect("no test panics while it holds the script"),
        );
    }

    /// How many calls were made so far.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// An address where nothing listens.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
    listener.local_addr().expect("its address").to_string()
}

/// A listener that accepts connections into its backlog and never says a word.
pub(crate) fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
    let address = listener.local_addr().expect("its address").to_string();
    (listener, address)
}

impl Service {
    fn answer<T>(
        &self,
        make: impl FnOnce(&mut Script) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mut script = self
            .script
            .lock()
            .expect("no test panics while it holds the script");
        if let Some(status) = &script.always {
            return Err(status.clone());
        }
        if !script.first.is_empty() {
            return Err(script.first.remove(0));
        }
        make(&mut script).map(Response::new)
    }
}

/// The page of `all` that begins at the index `page`, and where the next one begins.
fn page<T: Clone>(all: &[T], page: &str, size: usize) -> Result<(Vec<T>, String), Status> {
    let from: usize = match page {
        "" => 0,
        page => page
            .parse()
            .map_err(|_| Status::invalid_argument("page: not mine"))?,
    };
    let to = (from + size.max(1)).min(all.len());
    let next = if to < all.len() {
        to.to_string()
    } else {
        String::new()
    };
    Ok((all[from..to].to_vec(), next))
}

#[tonic::async_trait]
impl Admin for Service {
    async fn status(
        &self,
        ask: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let ask = ask.into_inner();
        self.answer(|script| {
            let of_it =
                |one: &&InstanceStatus| ask.service.is_empty() || ask.service == one.service;
            let of_it: Vec<_> = script.instances.iter().filter(of_it).cloned().collect();
            let exists = |name: &String| of_it.iter().any(|one| one.instance == *name);
            if !ask.instances.iter().all(exists) || (of_it.is_empty() && !ask.service.is_empty()) {
                return Err(Status::not_found("not known here"));
            }
            let named = |one: &InstanceStatus| {
                ask.instances.is_empty() || ask.instances.contains(&one.instance)
            };
            let mut wanted: Vec<InstanceStatus> = of_it.into_iter().filter(named).collect();
            if !ask.replicas {
                wanted.iter_mut().for_each(|one| one.replicas.clear());
            }
            let size = script.page.min(ask.page_size as usize);
            let (instances, next_page) = page(&wanted, &ask.page, size)?;
            let cluster = script.cluster();
            Ok(StatusResponse {
                stale: None,
                cluster,
                instances,
                next_page,
                now_ms: NOW_MS,
                problems: Vec::new(),
            })
        })
    }

    async fn metastatus(
        &self,
        _: Request<MetastatusRequest>,
    ) -> Result<Response<MetastatusResponse>, Status> {
        self.answer(|script| Ok(script.metastatus.clone()))
    }

    async fn search(&self, _: Request<SearchRequest>) -> Result<Response<SearchResponse>, Status> {
        Err(Status::unimplemented("no command searches"))
    }

    async fn list(&self, ask: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let ask = ask.into_inner();
        self.answer(|script| {
            let of_it = script.instances.iter();
            let of_it = of_it.filter(|one| ask.service.is_empty() || one.service == ask.service);
            let names: Vec<String> = of_it
                .map(|one| format!("{}.{}", one.service, one.instance))
                .collect();
            let (instances, next_page) = page(&names, &ask.page, script.page)?;
            Ok(ListResponse {
                stale: None,
                instances,
                next_page,
                cluster: script.cluster(),
            })
        })
    }

    async fn why(&self, ask: Request<WhyRequest>) -> Result<Response<WhyResponse>, Status> {
        let id = ask.into_inner().instance;
        self.answer(|script| {
            let named = |one: &&InstanceStatus| format!("{}.{}", one.service, one.instance) == id;
            let status = script.instances.iter().find(named).cloned();
            match status {
                Some(one) => Ok(WhyResponse {
                    status: Some(one),
                    events: Vec::new(),
                    now_ms: NOW_MS,
                }),
                None => Err(Status::not_found(format!("{id} is not known"))),
            }
        })
    }

    async fn events(
        &self,
        ask: Request<EventsRequest>,
    ) -> Result<Response<EventsResponse>, Status> {
        let ask = ask.into_inner();
        let limit = u64::from(ask.limit);
        let event = |index| paasta_proto::v1::Event {
            index,
            at_ms: NOW_MS,
            kind: paasta_proto::v1::EventKind::Bounce.into(),
            instance: "hello.main".to_owned(),
            text: format!("step {index}"),
            ..Default::default()
        };
        self.answer(|_| {
            Ok(EventsResponse {
                events: (1..=limit.min(3))
                    .map(event)
                    .filter(|_| NOW_MS >= ask.since_ms)
                    .collect(),
                last_index: 3,
                missed: false,
            })
        })
    }

    type FollowStream = Pin<Box<dyn Stream<Item = Result<EventsResponse, Status>> + Send>>;

    /// Two new events, one of them twice, and then this coordinator goes away.
    async fn follow(
        &self,
        ask: Request<FollowRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let after = ask.into_inner().after;
        let event = |index| paasta_proto::v1::Event {
            index,
            at_ms: NOW_MS,
            text: format!("step {index}"),
            ..Default::default()
        };
        self.answer(|_| {
            let news = |from, to| EventsResponse {
                events: (from..=to).map(event).collect(),
                last_index: to,
                missed: false,
            };
            let said: [Result<EventsResponse, Status>; 3] = [
                Ok(news(after + 1, after + 1)),
                Ok(news(after + 1, after + 2)),
                Err(Status::unavailable("this coordinator is stopping")),
            ];
            Ok(Box::pin(tokio_stream::iter(said)) as Self::FollowStream)
        })
    }

    async fn describe(
        &self,
        _: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        self.answer(|_| Err(Status::not_found("not known here")))
    }
}

#[tonic::async_trait]
impl Logs for Service {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<LogsPart, Status>> + Send>>;

    /// The last lines of the replica that is asked for.
    async fn read(&self, ask: Request<LogsRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let ask = ask.into_inner();
        self.answer(|script| {
            let of_it = script.logs.iter();
            let of_it = of_it.filter(|line| ask.replica.is_empty() || line.replica == ask.replica);
            let mut lines: Vec<LogLine> = of_it.cloned().collect();
            lines.drain(..lines.len().saturating_sub(ask.lines as usize));
            let part = LogsPart {
                lines,
                notices: Vec::new(),
            };
            Ok(Box::pin(tokio_stream::iter([Ok(part)])) as Self::ReadStream)
        })
    }
}

#[tonic::async_trait]
impl Cluster for Service {
    async fn init(&self, ask: Request<InitRequest>) -> Result<Response<InitResponse>, Status> {
        let ask = ask.into_inner();
        self.answer(|script| {
            if !ask.members.contains_key(&script.node.id) {
                return Err(Status::invalid_argument(
                    "members: this coordinator is not among them",
                ));
            }
            let created = !script.initialised;
            script.initialised = true;
            Ok(InitResponse {
                cluster_id: format!("id-of-{}", ask.cluster),
                created,
            })
        })
    }

    async fn node(&self, _: Request<NodeRequest>) -> Result<Response<NodeResponse>, Status> {
        // Also a coordinator that can do nothing else knows what it is.
        let script = self
            .script
            .lock()
            .expect("no test panics while it holds the script");
        Ok(Response::new(script.node.clone()))
    }
}
