//! `intruder`: a program in a container that tries what only members of a cluster may do, and prints
//! what came of it: a line of JSON for each attempt.

use std::{
    fs,
    io::{self, Write as _},
    net::Ipv4Addr,
    path::Path,
    sync::Arc,
    task::{Context as Task, Poll},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use futures_util::future::BoxFuture;
use hyper_util::rt::TokioIo;
use paasta_agent::session::{Dial, DialError, endpoint};
use paasta_common::app::Resources;
use paasta_identity::{connect::join, pin::Pin};
use paasta_proto::v1::{
    Asker, DescribeRequest, DrainHostRequest, IntroduceRequest, Introduction, RaftPayload,
    admin_client::AdminClient, operate_client::OperateClient,
    raft_service_client::RaftServiceClient,
};
use paasta_tests::{
    hostile::hosts::HollowHost,
    intruder::{Attack, Attempt},
};
use serde::Serialize;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tonic::transport::Channel;

const PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits as a host for work.
const WORK: Duration = Duration::from_secs(15);
/// For how long it goes on as a host that has work: until it is reported healthy, and shown so.
const LINGER: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// The form of a message of consensus.
const FORMAT: u8 = 1;
/// What the default route is called in an address.
const GATEWAY: &str = "gateway";

/// Tries to get into a cluster.
#[derive(Parser)]
struct Args {
    /// HOST:PORT of coordinators' gRPC; the host `gateway` is that of the default route
    #[arg(long, value_delimiter = ',')]
    grpc: Vec<String>,
    /// HOST:PORT of HTTP, of coordinators and agents
    #[arg(long, value_delimiter = ',')]
    http: Vec<String>,
    /// The pin of the authority, in hexadecimal: TLS is tried as well, as a stranger
    #[arg(long)]
    pin: Option<String>,
}

/// How coordinators are dialled.
#[derive(Clone, Copy)]
enum Way {
    Plain,
    Stranger(Pin),
}

#[derive(Serialize)]
struct LeaderId {
    term: u64,
    voted_for: Option<u64>,
}

#[derive(Serialize)]
struct Vote {
    leader_id: LeaderId,
    committed: bool,
}

#[derive(Serialize)]
struct VoteRequest {
    vote: Vote,
    last_log_id: Option<()>,
    leadership_transfer: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(run(&args))
}

async fn run(args: &Args) -> Result<()> {
    let resolve = |list: &[String]| {
        list.iter()
            .map(|one| resolved(one))
            .collect::<Result<Vec<_>>>()
    };
    let (grpc, http) = (resolve(&args.grpc)?, resolve(&args.http)?);
    let mut ways = vec![Way::Plain];
    if let Some(pin) = &args.pin {
        ways.push(Way::Stranger(read_pin(pin)?));
    }
    for address in &http {
        for path in [
            "/healthz",
            "/metrics",
            "/v1/services",
            "/v1/services/web/i0/marathon_app",
        ] {
            say(
                Attack::Http,
                &format!("{address}{path}"),
                read(address, path).await,
            )?;
        }
    }
    for way in ways {
        for (at, address) in grpc.iter().enumerate() {
            say(Attack::Describe, address, describe(way, address).await)?;
            say(Attack::Drain, address, drain(way, address).await)?;
            let other = &grpc[(at + 1) % grpc.len()];
            say(Attack::Vote, address, vote(way, address, other).await)?;
        }
        for (attack, id, pool, linger) in [
            (Attack::Register, "evil", "evil", LINGER),
            (Attack::Impersonate, "h1", "default", Duration::ZERO),
        ] {
            let got = host(way, &grpc, (id, pool), linger).await;
            say(attack, &grpc.join(","), got)?;
        }
    }
    Ok(())
}

/// Prints an attempt: what it gained, or why it gained nothing.
fn say(attack: Attack, address: &str, result: Result<String>) -> Result<()> {
    let (gained, words) = match result {
        Ok(words) => (true, words),
        Err(error) => (false, format!("{error:#}")),
    };
    let attempt = Attempt {
        attack,
        address: address.to_owned(),
        gained,
        words,
    };
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &attempt)?;
    Ok(out.write_all(b"\n")?)
}

/// The address with the default route's in the place of its name.
fn resolved(address: &str) -> Result<String> {
    match address.strip_prefix(GATEWAY) {
        Some(port) => Ok(format!("{}{port}", gateway()?)),
        None => Ok(address.to_owned()),
    }
}

fn gateway() -> Result<Ipv4Addr> {
    let routes = fs::read_to_string("/proc/net/route")?;
    let default = routes.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        (fields.get(1) == Some(&"00000000")).then(|| fields.get(2).copied())?
    });
    let hex = default.context("there is no default route")?;
    let number = u32::from_str_radix(hex, 16)?;
    Ok(Ipv4Addr::from(number.to_le_bytes()))
}

fn read_pin(hex: &str) -> Result<Pin> {
    let digits = hex.as_bytes().chunks(2);
    let bytes = digits.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
    let bytes: Vec<u8> = bytes.collect::<Result<_>>()?;
    let bytes = bytes.try_into();
    Ok(Pin::from_bytes(bytes.map_err(|_| {
        anyhow::anyhow!("a pin has another length")
    })?))
}

async fn channel(way: Way, address: &str) -> Result<Channel> {
    let endpoint = endpoint(address, PATIENCE)?.timeout(PATIENCE);
    let connecting = async {
        match way {
            Way::Plain => endpoint.connect().await,
            Way::Stranger(pin) => endpoint.connect_with_connector(Stranger(pin)).await,
        }
    };
    Ok(timeout(PATIENCE, connecting).await??)
}

/// TLS without a certificate.
#[derive(Clone, Copy)]
struct Stranger(Pin);

impl tower::Service<http::Uri> for Stranger {
    type Response = TokioIo<paasta_identity::connect::Stream>;
    type Error = anyhow::Error;
    type Future = BoxFuture<'static, Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let pin = self.0;
        Box::pin(async move {
            let address = uri.authority().context("an address")?.to_string();
            let (stream, _) = join(TcpStream::connect(address).await?, pin).await?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// The environment of a service, of a coordinator.
async fn describe(way: Way, address: &str) -> Result<String> {
    let ask = DescribeRequest {
        instance: "web.i0".to_owned(),
        stale: true,
    };
    let mut admin = AdminClient::new(channel(way, address).await?);
    let answer = admin.describe(ask).await?.into_inner();
    Ok(format!("{:?}", answer.spec.unwrap_or_default().env))
}

/// A verb of an admin.
async fn drain(way: Way, address: &str) -> Result<String> {
    let ask = DrainHostRequest {
        asker: Some(Asker {
            request_id: format!("intruder {address}"),
            by: "intruder".to_owned(),
        }),
        host: "h2".to_owned(),
        reason: "an intruder".to_owned(),
        ..DrainHostRequest::default()
    };
    let mut operate = OperateClient::new(channel(way, address).await?);
    Ok(format!("{:?}", operate.drain_host(ask).await?.into_inner()))
}

async fn introduction(way: Way, address: &str) -> Result<Introduction> {
    let mut peer = RaftServiceClient::new(channel(way, address).await?);
    Ok(peer.introduce(IntroduceRequest {}).await?.into_inner())
}

/// Requests a vote in the name of the coordinator at `other`.
async fn vote(way: Way, address: &str, other: &str) -> Result<String> {
    let to = introduction(way, address).await?;
    let from = introduction(way, other).await?;
    let request = VoteRequest {
        vote: Vote {
            leader_id: LeaderId {
                term: 1,
                voted_for: Some(from.node),
            },
            committed: false,
        },
        last_log_id: None,
        leadership_transfer: false,
    };
    let mut data = vec![FORMAT];
    data.extend(rmp_serde::to_vec_named(&request)?);
    let message = RaftPayload {
        data: data.into(),
        cluster_id: to.cluster_id,
        from_node: from.node,
        to_node: to.node,
        epoch: to.epoch,
        from_store: from.store,
        to_store: to.store,
    };
    let mut peer = RaftServiceClient::new(channel(way, address).await?);
    let answer = peer.vote(message).await?.into_inner();
    Ok(format!(
        "{} bytes of {}",
        answer.data.len(),
        answer.from_node
    ))
}

struct Dialler(Way);

impl Dial for Dialler {
    fn dial<'a>(
        &'a self,
        address: &'a str,
        _: Duration,
    ) -> BoxFuture<'a, Result<Channel, DialError>> {
        Box::pin(async move {
            channel(self.0, address)
                .await
                .map_err(|error| DialError::Connect {
                    address: address.to_owned(),
                    words: format!("{error:#}"),
                })
        })
    }
}

/// Speaks as a host, and runs in its imagination what it is sent: returns the environment of that.
async fn host(
    way: Way,
    coordinators: &[String],
    (id, pool): (&str, &str),
    linger: Duration,
) -> Result<String> {
    let dir = Path::new("/tmp").join(format!("{id}-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let dial: (Vec<String>, Arc<dyn Dial>) = (coordinators.to_vec(), Arc::new(Dialler(way)));
    let capacity = Resources {
        cpus_milli: 8_000,
        mem_mb: 16_384,
        disk_mb: 100_000,
        gpus: 0,
    };
    let host = HollowHost::start_dialling(id, pool, &dir, dial, capacity)?;
    let until = Instant::now() + WORK;
    while Instant::now() < until {
        let containers = host.engine.containers();
        if let Some(found) = containers.values().next() {
            let env = format!("{:?}", found.spec.env);
            sleep(linger).await;
            return Ok(env);
        }
        sleep(LOOK).await;
    }
    bail!("no work within {WORK:?}")
}

/// The code of an answer that is not a refusal.
async fn read(address: &str, path: &str) -> Result<String> {
    let (address, path) = (address.parse()?, path.to_owned());
    let asked = move || paasta_tests::http::answer(address, &path);
    let (code, body) = tokio::task::spawn_blocking(asked).await??;
    match code {
        200 => Ok(body.chars().take(10_000).collect()),
        code => bail!("{code}: {body}"),
    }
}
