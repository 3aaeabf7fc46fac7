//! Reading logs: checked here, read by [`crate::logs`] on the leader, passed on by every other
//! coordinator.

use std::{pin::Pin, sync::Arc};

use paasta_common::id::{HostId, ReplicaId};
use paasta_proto::{
    v1::{
        LogComponent, LogQuery, LogStream, LogsPart, LogsRequest, logs_client::LogsClient,
        logs_server::Logs,
    },
    words,
};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, transport::Channel};

use super::{
    admin::AdminService,
    gate::Route,
    peers::forwarded,
    relay::relay,
    status::{RpcError, bad, leader_lost},
};
use crate::{
    leader::Leadership,
    logs::{
        broker::LogBroker,
        events::Wanted,
        reading::{Reading, moved},
    },
};

/// Readers at a time.
pub const READERS_MAX: usize = 64;
/// Lines that may be asked for by their number.
pub const LINES_MAX: u32 = 10_000;
/// Messages that wait for a slow reader, at most.
const PARTS_WAITING: usize = 4;
const COMPONENTS: [LogComponent; 4] = [
    LogComponent::Stdout,
    LogComponent::Stderr,
    LogComponent::Deploy,
    LogComponent::Monitoring,
];
const NS_PER_MS: u64 = 1_000_000;

/// The service.
pub struct LogsService {
    /// What is known of instances, and where calls are answered.
    pub admin: AdminService,
    /// The hosts' sessions.
    pub broker: LogBroker,
    /// Whether this coordinator leads.
    pub leadership: watch::Receiver<Option<Leadership>>,
    /// Cancelled when the coordinator stops.
    pub shutdown: CancellationToken,
    /// A place for each reader.
    pub places: Arc<Semaphore>,
}

type Parts = mpsc::Sender<Result<LogsPart, Status>>;

impl LogsService {
    fn read_here(&self, asked: &LogsRequest, out: Parts) -> Result<(), RpcError> {
        let Some(leadership) = self.leadership.borrow().clone() else {
            return Err(RpcError::NoLeader);
        };
        let reading = self.reading(asked, out.clone())?;
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| RpcError::Busy {
            what: "64 others are reading logs through this coordinator",
        })?;
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => moved(&out),
                () = leadership.ended.cancelled() => moved(&out),
                () = reading.run() => {}
            }
        });
        Ok(())
    }

    fn reading(&self, asked: &LogsRequest, out: Parts) -> Result<Reading, RpcError> {
        let (instances, cluster) = self.admin.view(|view| {
            let chosen = view.select(&asked.service, &asked.instances);
            (chosen, view.cluster_name())
        });
        let instances = instances?;
        let components = components(asked)?;
        check(asked, &cluster)?;
        let wants = |component| components.contains(&component);
        let streams = [
            (LogComponent::Stdout, LogStream::Stdout),
            (LogComponent::Stderr, LogStream::Stderr),
        ];
        let streams: Vec<i32> = streams
            .into_iter()
            .filter(|(component, _)| wants(*component))
            .map(|(_, stream)| stream.into())
            .collect();
        let query = LogQuery {
            instances: instances.iter().map(ToString::to_string).collect(),
            streams: streams.clone(),
            until_ns: asked.until_ns,
            replica: asked.replica.clone(),
            ..LogQuery::default()
        };
        // What one replica or one host wrote is asked for: the cluster's events are neither's.
        let all = asked.replica.is_empty() && asked.host.is_empty();
        Ok(Reading {
            broker: self.broker.clone(),
            machine: self.admin.machine.clone(),
            query: (!streams.is_empty()).then_some(query),
            events: Wanted {
                instances: instances.into_iter().collect(),
                deploy: all && wants(LogComponent::Deploy),
                monitoring: all && wants(LogComponent::Monitoring),
                since_ns: asked.since_ns,
                until_ns: asked.until_ns,
            },
            lines: usize::try_from(asked.lines).unwrap_or(usize::MAX),
            follow: asked.follow,
            host: self.host(asked)?,
            began_ns: self.admin.clock.now().0.saturating_mul(NS_PER_MS),
            cluster,
            out,
        })
    }

    fn host(&self, asked: &LogsRequest) -> Result<Option<HostId>, RpcError> {
        let host = named_host(asked)?;
        if let Some(host) = &host
            && self.admin.machine.read().host(host).is_none()
        {
            return Err(RpcError::NotFound {
                what: format!("host \"{host}\""),
                hint: "; `paasta metastatus -v` names the hosts".to_owned(),
            });
        }
        Ok(host)
    }

    /// Passes the leader's parts on, as fast as they are taken.
    async fn relay(&self, leader: Channel, asked: LogsRequest, out: Parts) -> Result<(), Status> {
        let request = forwarded(Request::new(asked));
        let parts = LogsClient::new(leader).read(request).await?.into_inner();
        // A connection to the leader that broke is one that moved: ask again.
        relay(parts, out, self.shutdown.clone(), leader_lost);
        Ok(())
    }
}

#[tonic::async_trait]
impl Logs for LogsService {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<LogsPart, Status>> + Send>>;

    async fn read(
        &self,
        request: Request<LogsRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let (out, parts) = mpsc::channel(PARTS_WAITING);
        match self.admin.gate.route(&request, false).await? {
            Route::Here => self.read_here(request.get_ref(), out)?,
            Route::Leader(leader) => self.relay(leader, request.into_inner(), out).await?,
        }
        Ok(Response::new(Box::pin(ReceiverStream::new(parts))))
    }
}

fn components(asked: &LogsRequest) -> Result<Vec<LogComponent>, RpcError> {
    let refused = |name: &str| bad("components", words::refusal::<LogComponent>(name));
    if let Some(name) = asked.components_word.first() {
        return Err(refused(name));
    }
    if asked.components.is_empty() {
        return Ok(COMPONENTS.to_vec());
    }
    let known = asked.components.iter().map(|number| {
        let known = COMPONENTS
            .into_iter()
            .find(|one| i32::from(*one) == *number);
        known.ok_or_else(|| refused(&number.to_string()))
    });
    known.collect()
}

fn check(asked: &LogsRequest, cluster: &str) -> Result<(), RpcError> {
    if !asked.cluster.is_empty() && asked.cluster != cluster {
        let message = format!("{:?} is requested, this is {cluster:?}", asked.cluster);
        return Err(bad("cluster", message));
    }
    if asked.lines > LINES_MAX {
        return Err(bad(
            "lines",
            format!("at most {LINES_MAX} can be asked for"),
        ));
    }
    if asked.lines == 0 && asked.since_ns == 0 {
        return Err(bad(
            "lines",
            "all lines can be asked for only since a moment",
        ));
    }
    if asked.until_ns > 0 && asked.until_ns < asked.since_ns {
        return Err(bad("until_ns", "it is before since_ns"));
    }
    if asked.follow && asked.until_ns > 0 {
        return Err(bad("until_ns", "what is followed has no end"));
    }
    if !asked.replica.is_empty()
        && let Err(error) = asked.replica.parse::<ReplicaId>()
    {
        return Err(bad("replica", error.to_string()));
    }
    Ok(())
}

fn named_host(asked: &LogsRequest) -> Result<Option<HostId>, RpcError> {
    match asked.host.as_str() {
        "" => Ok(None),
        name => match name.parse() {
            Ok(host) => Ok(Some(host)),
            Err(error) => Err(bad("host", format!("{error}"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_read_is_refused_by_field() {
        let good = LogsRequest {
            lines: 100,
            ..LogsRequest::default()
        };
        assert!(check(&good, "demo").is_ok());
        assert_eq!(components(&good).unwrap(), COMPONENTS);
        type Spoil = fn(&mut LogsRequest);
        let cases: [(&str, Spoil); 6] = [
            ("cluster", |asked| asked.cluster = "other".to_owned()),
            ("lines", |asked| asked.lines = LINES_MAX + 1),
            ("lines", |asked| asked.lines = 0),
            ("until_ns", |asked| {
                (asked.since_ns, asked.until_ns) = (2, 1)
            }),
            ("until_ns", |asked| {
                (asked.follow, asked.until_ns) = (true, 1)
            }),
            ("replica", |asked| asked.replica = "17".to_owned()),
        ];
        for (field, change) in cases {
            let mut asked = good.clone();
            change(&mut asked);
            let error = check(&asked, "demo").unwrap_err();
            assert!(error.to_string().starts_with(field), "{error}");
        }
        let mut asked = good.clone();
        asked.components = vec![LogComponent::Stdout.into(), 17];
        let error = components(&asked).unwrap_err().to_string();
        assert!(
            error.contains("\"17\" is not one of stdout, stderr"),
            "{error}"
        );
        asked.components_word = vec!["oom".to_owned()];
        let error = components(&asked).unwrap_err().to_string();
        assert!(
            error.contains("\"oom\" is not one of stdout, stderr"),
            "{error}"
        );
        asked.host = "no host".to_owned();
        assert!(
            named_host(&asked)
                .unwrap_err()
                .to_string()
                .starts_with("host")
        );
    }
}
