//! The load balancer's part of a session: endpoints come as a set and changes, and what became of
//! them goes back, only what is not as wanted.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use paasta_agent_core::proxy::{
    config::ProblemKind,
    report::{Backend, BackendState},
    stream::{Collecting, EndpointPart, Held, NamespacePart, Part, StreamError, Version},
    wanted::{Service, Wanted},
};
use paasta_common::{
    id::{IdError, ReplicaId},
    smartstack::{Namespace, NamespaceOptions, OptionsError},
};
use paasta_proto::v1;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::COALESCE;
use crate::proxy::{Order, ProxyView};

/// What sessions share of the load balancer. Clones are the same.
#[derive(Clone)]
pub struct ProxyLink {
    orders: watch::Sender<Option<Order>>,
    view: watch::Receiver<Arc<ProxyView>>,
    held: Arc<Mutex<Held>>,
}

/// Why a message about endpoints is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum EndpointsError {
    /// It does not fit.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A name.
    #[error(transparent)]
    Name(#[from] IdError),
    /// Options that are no JSON of options.
    #[error("the options of {namespace} cannot be read")]
    Options {
        /// Whose.
        namespace: Namespace,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Options beyond their bounds.
    #[error("the options of {namespace} are refused")]
    Bounds {
        /// Whose.
        namespace: Namespace,
        /// Why.
        #[source]
        source: OptionsError,
    },
}

impl ProxyLink {
    /// Connects sessions to the load balancer. `last` is the set of the agent before.
    pub fn new(
        orders: watch::Sender<Option<Order>>,
        view: watch::Receiver<Arc<ProxyView>>,
        last: Option<Arc<Wanted>>,
    ) -> Self {
        let last = last.map(|last| (*last).clone());
        Self {
            orders,
            view,
            held: Arc::new(Mutex::new(Held::new(last))),
        }
    }
}

/// One session's part.
pub(super) struct Endpoints {
    link: Option<ProxyLink>,
    collecting: Collecting,
    sent: Option<Sent>,
    reported_at: Option<Instant>,
}

/// What the coordinator has of the load balancer.
#[derive(Debug, Clone, PartialEq)]
struct Sent {
    version: Version,
    backends: BTreeMap<ReplicaId, Backend>,
    problems: Vec<v1::ProxyProblem>,
    degraded: String,
}

impl Endpoints {
    pub(super) fn new(link: Option<ProxyLink>) -> Self {
        Self {
            link,
            collecting: Collecting::default(),
            sent: None,
            reported_at: None,
        }
    }

    /// Takes a message. Whatever is wrong with it, the last whole set stays in use.
    ///
    /// # Errors
    /// [`EndpointsError`] when it does not fit; the next session begins with a complete set.
    pub(super) fn take(&mut self, message: v1::Endpoints) -> Result<(), EndpointsError> {
        let Some(link) = &self.link else {
            // It was not asked for.
            return Ok(());
        };
        let part = part(message)?;
        let mut held = link.held.lock();
        if let Some(number) = held.take(&mut self.collecting, &part)? {
            let wanted = Arc::new(held.wanted().clone());
            link.orders.send_replace(Some(Order { number, wanted }));
        }
        Ok(())
    }

    /// Waits until there is something to report. The first goes at once, and later changes within
    /// [`COALESCE`] of the one before go in one message. Being dropped while it waits loses nothing.
    pub(super) async fn next(&mut self) -> v1::ProxyReport {
        let Some(link) = self.link.clone() else {
            return std::future::pending().await;
        };
        let mut view = link.view.clone();
        loop {
            let now = Arc::clone(&view.borrow_and_update());
            if let Some(state) = state(&link, &now)
                && self.sent.as_ref() != Some(&state)
            {
                let not_before = self.reported_at.map(|at| at + COALESCE);
                if let Some(at) = not_before.filter(|at| Instant::now() < *at) {
                    sleep_until(at).await;
                    continue;
                }
                let report = difference(self.sent.as_ref(), &state);
                self.sent = Some(state);
                self.reported_at = Some(Instant::now());
                return report;
            }
            if view.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

/// What there is to report; nothing before a set of this agent's time is in effect.
fn state(link: &ProxyLink, view: &ProxyView) -> Option<Sent> {
    let version = link.held.lock().version_of(view.number?)?;
    let problems = view.problems.iter();
    Some(Sent {
        version,
        backends: view.backends.clone(),
        problems: problems
            .map(|(name, problem)| v1::ProxyProblem {
                name: name.to_string(),
                kind: kind(&problem.kind).into(),
                detail: problem.detail.clone(),
            })
            .collect(),
        degraded: view.degraded.clone().unwrap_or_default(),
    })
}

fn difference(sent: Option<&Sent>, now: &Sent) -> v1::ProxyReport {
    let before = sent.map(|sent| &sent.backends);
    let changed = now
        .backends
        .iter()
        .filter(|(id, backend)| before.and_then(|before| before.get(id)) != Some(*backend));
    let gone = before.into_iter().flat_map(|before| before.keys());
    let gone = gone.filter(|id| !now.backends.contains_key(id));
    v1::ProxyReport {
        version: Some(v1::EndpointVersion {
            epoch: now.version.epoch,
            term: now.version.term,
            number: now.version.number,
        }),
        complete: sent.is_none(),
        backends: changed
            .map(|(id, backend)| v1::BackendReport {
                replica: id.0,
                state: backend_state(backend.state).into(),
                sessions: backend.sessions,
            })
            .collect(),
        as_wanted: gone.map(|id| id.0).collect(),
        problems: now.problems.clone(),
        degraded: now.degraded.clone(),
    }
}

fn part(message: v1::Endpoints) -> Result<Part, EndpointsError> {
    let version = message.version.unwrap_or_default();
    let namespaces = message.namespaces.into_iter().map(namespace);
    let removed = message.removed.iter().map(|name| Namespace::new(name));
    Ok(Part {
        version: Version {
            epoch: version.epoch,
            term: version.term,
            number: version.number,
        },
        complete: message.complete,
        part: message.part,
        more: message.more,
        namespaces: namespaces.collect::<Result<_, _>>()?,
        removed: removed.collect::<Result<_, _>>()?,
    })
}

fn namespace(wire: v1::NamespaceEndpoints) -> Result<NamespacePart, EndpointsError> {
    let name = Namespace::new(&wire.name)?;
    let options = match wire.options.is_empty() {
        true => None,
        false => Some(options(&name, &wire.options)?),
    };
    Ok(NamespacePart {
        options,
        endpoints: wire.endpoints.iter().map(endpoint).collect(),
        removed: wire.removed.into_iter().map(ReplicaId).collect(),
        name,
    })
}

fn options(name: &Namespace, json: &str) -> Result<NamespaceOptions, EndpointsError> {
    let read: Result<NamespaceOptions, _> = serde_json::from_str(json);
    let options = read.map_err(|source| EndpointsError::Options {
        namespace: name.clone(),
        source,
    })?;
    match options.check() {
        Ok(()) => Ok(options),
        Err(source) => Err(EndpointsError::Bounds {
            namespace: name.clone(),
            source,
        }),
    }
}

fn endpoint(wire: &v1::Endpoint) -> EndpointPart {
    let port = u16::try_from(wire.port).ok().filter(|port| *port > 0);
    let ip: Option<IpAddr> = wire.address.parse().ok();
    if let (Some(_), None) = (port, ip) {
        tracing::error!(
            replica = wire.replica,
            host = wire.host,
            address = wire.address,
            "the address of a host is no IP address, and its replicas are not served: set \
             agent.address there"
        );
    }
    let service = match v1::EndpointState::try_from(wire.state) {
        Ok(v1::EndpointState::Up) => Some(Service::Up),
        Ok(v1::EndpointState::Drain) => Some(Service::Drain),
        Ok(v1::EndpointState::Down) => Some(Service::Down),
        // One that only a newer coordinator knows changes nothing.
        Ok(v1::EndpointState::Keep | v1::EndpointState::Unspecified) | Err(_) => None,
    };
    EndpointPart {
        replica: ReplicaId(wire.replica),
        at: ip.zip(port).map(|(ip, port)| SocketAddr::new(ip, port)),
        service,
        weight: wire.weight.try_into().unwrap_or(u16::MAX),
        backup: wire.backup,
    }
}

fn kind(kind: &ProblemKind) -> v1::ProxyProblemKind {
    match kind {
        ProblemKind::PortTaken => v1::ProxyProblemKind::ProxyProblemPortTaken,
        ProblemKind::OptionRefused => v1::ProxyProblemKind::ProxyProblemOptionRefused,
        ProblemKind::PortShared => v1::ProxyProblemKind::ProxyProblemPortShared,
        ProblemKind::Refused => v1::ProxyProblemKind::ProxyProblemRefused,
    }
}

fn backend_state(state: BackendState) -> v1::BackendState {
    match state {
        BackendState::Up => v1::BackendState::Up,
        BackendState::Maint => v1::BackendState::Maint,
        BackendState::Down => v1::BackendState::Down,
        BackendState::Absent => v1::BackendState::Absent,
    }
}
