//! A leader with more than a thousand instances, of which one has hundreds of replicas, and hosts
//! that run them. No host is in the pool of the others: each has its reasons to wait.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bytes::{Bytes, BytesMut};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use paasta_common::app::Resources;
use paasta_proto::v1::{
    Asker, DrainHostRequest, UndrainHostRequest, operate_client::OperateClient,
};
use paasta_tests::{
    hostile::hosts::{HollowHost, Names},
    loopback::{Loopback, LoopbackOptions},
    run::eventually,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::block_in_place,
    time::timeout,
};
use tonic::{Status, transport::Channel};

use super::{
    super::requests::{channel, stream},
    pages::Page,
};

/// Services, each with so many instances of one replica.
const SERVICES: [&str; 2] = ["one", "two"];
const INSTANCES: usize = 600;
/// An instance with so many replicas.
pub(super) const INSTANCE: &str = "large.i0";
const REPLICAS: usize = 300;
/// Hosts that run them, their pool, and what they are called before their number.
const HOSTS: usize = 4;
const POOL: &str = "large";
pub(super) const HOST: &str = "hollow-";
/// A host that runs none.
const EMPTY: &str = "empty";
const SOON: Duration = Duration::from_secs(300);
/// How long an answer may take: it is not what is measured.
const PATIENCE: Duration = Duration::from_secs(60);

/// All of it.
pub(super) struct Scene {
    cluster: Loopback,
    channel: Channel,
    _hosts: Vec<HollowHost>,
    _dir: TempDir,
}

impl Scene {
    /// The cluster, with every replica placed and reported.
    pub(super) async fn set() -> Result<Self> {
        let cluster = block_in_place(|| {
            Loopback::up(LoopbackOptions {
                workers: Some(1),
                ..LoopbackOptions::new("executor", &[0])
            })
        })?;
        let dir = tempfile::tempdir()?;
        let address = cluster.address(1);
        let names = Names(vec![(address.to_string(), address)]);
        let names_of_hosts = (0..HOSTS).map(|at| format!("{HOST}{at}"));
        let mut hosts = Vec::new();
        for name in names_of_hosts {
            hosts.push(HollowHost::start_with(
                &name,
                POOL,
                dir.path(),
                &names,
                capacity(),
            )?);
        }
        hosts.push(HollowHost::start(EMPTY, "empty", dir.path(), &names)?);
        block_in_place(|| load(&cluster))?;
        let channel = channel([127, 0, 0, 1], address).await;
        Ok(Self {
            cluster,
            channel,
            _hosts: hosts,
            _dir: dir,
        })
    }

    /// Makes a call and returns the first message of its answer; of an answer that ends by itself
    /// all are read.
    pub(super) async fn call(&self, path: &'static str, request: Vec<u8>) -> Result<Bytes, Status> {
        let follows = path.ends_with("/Follow");
        let reading = async {
            let mut answers = stream(&self.channel, path, request).await?;
            let first = answers.message().await?.unwrap_or_default();
            while !follows && answers.message().await?.is_some() {}
            Ok(first)
        };
        let late = |_| Status::deadline_exceeded("no answer");
        timeout(PATIENCE, reading).await.map_err(late)?
    }

    /// A change of the replicated state, which is applied on the leader's executor.
    pub(super) async fn write(&self) {
        let mut client = OperateClient::new(self.channel.clone());
        let asker = || {
            Some(Asker {
                request_id: format!("{:x}", rand::random::<u128>()),
                by: "limits@test".to_owned(),
            })
        };
        let drain = DrainHostRequest {
            asker: asker(),
            host: EMPTY.to_owned(),
            reason: "a change".to_owned(),
            for_ms: 0,
        };
        client.drain_host(drain).await.unwrap();
        let undrain = UndrainHostRequest {
            asker: asker(),
            host: EMPTY.to_owned(),
        };
        client.undrain_host(undrain).await.unwrap();
    }

    /// Sends a signal to the leader.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = self.cluster.pid(1).unwrap();
        let pid = Pid::from_raw(i32::try_from(pid).unwrap());
        signal::kill(pid, signal).unwrap();
    }

    /// The code and the body of a page.
    pub(super) async fn get(&self, page: &Page) -> Result<(u16, String)> {
        get(self.cluster.http(1), &page.path).await
    }

    /// How late the latest beat was while `work` was done, in seconds: the bound of the last
    /// bucket of the histogram that has more than before.
    pub(super) async fn latest(&self, work: impl AsyncFnOnce()) -> f64 {
        let before = self.beats().await.unwrap();
        work().await;
        let after = self.beats().await.unwrap();
        let grown = before.iter().zip(&after).rev();
        let grown = grown.filter(|((_, before), (_, after))| after > before);
        // Each bucket holds those before it, so the last one that grew more than its neighbour.
        let counts: Vec<(f64, u64)> = grown
            .map(|((bound, before), (_, after))| (*bound, after - before))
            .collect();
        let mut latest = 0.0;
        for (at, (bound, count)) in counts.iter().enumerate() {
            let below = counts.get(at + 1).map_or(0, |(_, below)| *below);
            if *count > below {
                latest = *bound;
                break;
            }
        }
        latest
    }

    /// How many beats were no later than each bound.
    async fn beats(&self) -> Result<Vec<(f64, u64)>> {
        let (code, text) = get(self.cluster.http(1), "/metrics").await?;
        ensure!(code == 200, "{code}: {text}");
        let lines = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("paasta_executor_late_seconds_bucket{le=\"")?;
            rest.split_once("\"} ")
        });
        let beats: Vec<(f64, u64)> = lines
            .map(|(bound, count)| Ok((bound.parse()?, count.trim().parse()?)))
            .collect::<Result<_>>()?;
        ensure!(beats.len() > 5, "{text}");
        Ok(beats)
    }
}

fn capacity() -> Resources {
    Resources {
        cpus_milli: 100_000,
        mem_mb: 100_000,
        disk_mb: 10_000_000,
        gpus: 0,
    }
}

fn load(cluster: &Loopback) -> Result<()> {
    for service in SERVICES {
        cluster.declare(service, INSTANCES, 'a')?;
    }
    let (large, _) = INSTANCE
        .split_once('.')
        .context("a service and an instance")?;
    let fields = format!("instances: {REPLICAS}, cpus: 0.1, mem: 64, pool: {POOL}");
    cluster.declare_with(large, 1, &fields, 'a')?;
    let waiting = SERVICES.len() * INSTANCES;
    eventually(SOON, "all is placed that can be", || {
        let count = |name| cluster.metric(1, name).map(|count| count as usize);
        let happy = count("paasta_replicas{class=\"happy\"}")?;
        let wanted = count("paasta_replicas_wanted")?;
        ensure!(happy == REPLICAS, "{happy} of {REPLICAS} are happy");
        ensure!(wanted == waiting + REPLICAS, "{wanted} are wanted");
        Ok(())
    })
}

async fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let reading = async {
        let mut stream = TcpStream::connect(address).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = BytesMut::new();
        while stream.read_buf(&mut answer).await? > 0 {}
        let text = String::from_utf8_lossy(&answer).into_owned();
        let code = text.get(9..12).and_then(|code| code.parse().ok());
        let code = code.with_context(|| format!("{path} answered {text:?}"))?;
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok((code, body.to_owned()))
    };
    timeout(PATIENCE, reading).await?
}
