//! Three etcd processes with etcd's own defaults, on the same disk, spoken to by gRPC as ours are.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tempfile::TempDir;
use tonic::{Request, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use crate::{
    disk::{Slower, directory},
    processes::{self, Client, Process, Trio, channel, eventually, free_addresses},
};

/// Bytes of a value: about those of our command.
const VALUE_BYTES: usize = 256;

/// The cluster.
pub(crate) struct Etcd {
    dir: TempDir,
    disk: Slower,
    clients: Vec<SocketAddr>,
    peers: Vec<SocketAddr>,
    running: Vec<Option<Process>>,
}

/// One client of one member.
#[derive(Clone)]
pub(crate) struct EtcdClient(Channel);

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct ResponseHeader {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    #[prost(uint64, tag = "4")]
    leader: u64,
    #[prost(uint64, tag = "5")]
    raft_index: u64,
}

/// Whether there is an etcd on this machine.
pub(crate) fn is_installed() -> bool {
    processes::is_installed("etcd")
}

impl EtcdClient {
    async fn call<Q, A>(&self, path: &'static str, message: Q) -> anyhow::Result<A>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await?;
        let path = http::uri::PathAndQuery::from_static(path);
        let codec: ProstCodec<Q, A> = ProstCodec::default();
        let answer = grpc.unary(Request::new(message), path, codec).await?;
        Ok(answer.into_inner())
    }

    async fn status(&self) -> Option<StatusResponse> {
        let path = "/etcdserverpb.Maintenance/Status";
        self.call(path, StatusRequest {}).await.ok()
    }
}

impl Client for EtcdClient {
    async fn write(&self, number: u64) -> anyhow::Result<()> {
        let put = PutRequest {
            key: format!("host-{:05}", number % 1000).into_bytes(),
            value: vec![b'a' + (number % 26) as u8; VALUE_BYTES],
        };
        let _: PutResponse = self.call("/etcdserverpb.KV/Put", put).await?;
        Ok(())
    }
}

impl Etcd {
    fn spawn(&self, member: usize) -> anyhow::Result<Process> {
        let url = |address: SocketAddr| format!("http://{address}");
        let (client, peer) = (url(self.clients[member]), url(self.peers[member]));
        let all: Vec<String> = (0..3)
            .map(|at| format!("m{at}={}", url(self.peers[at])))
            .collect();
        let mut command = self.disk.program("etcd");
        command
            .args(["--name", &format!("m{member}")])
            .arg("--data-dir")
            .arg(self.dir.path().join(format!("m{member}")))
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &all.join(",")])
            .env("ETCD_UNSUPPORTED_ARCH", "arm64");
        Process::start(&mut command).context("etcd cannot be started")
    }

    async fn index(&self, member: usize) -> Option<u64> {
        let status = self.client(member).ok()?.status().await?;
        (status.leader != 0).then_some(status.raft_index)
    }
}

impl Trio for Etcd {
    type Client = EtcdClient;
    const NAME: &'static str = "etcd";

    async fn start(disk: Slower) -> anyhow::Result<Self> {
        if !is_installed() {
            bail!("etcd is not installed; on Debian: apt-get install etcd-server");
        }
        let mut addresses = free_addresses(6)?;
        let mut etcd = Self {
            dir: directory()?,
            disk,
            peers: addresses.split_off(3),
            clients: addresses,
            running: Vec::new(),
        };
        for member in 0..3 {
            let process = etcd.spawn(member)?;
            etcd.running.push(Some(process));
        }
        etcd.leader().await?;
        Ok(etcd)
    }

    fn client(&self, member: usize) -> anyhow::Result<EtcdClient> {
        Ok(EtcdClient(channel(self.clients[member])?))
    }

    async fn leader(&self) -> anyhow::Result<usize> {
        eventually("etcd's leader", || async {
            for member in (0..3).filter(|member| self.running[*member].is_some()) {
                let Some(status) = self.client(member).ok()?.status().await else {
                    continue;
                };
                if status.leader != 0 && status.header.is_some_and(|h| h.member_id == status.leader)
                {
                    return Some(member);
                }
            }
            None
        })
        .await
    }

    fn kill(&mut self, member: usize) {
        self.running[member] = None;
    }

    async fn restart(&mut self, member: usize) -> anyhow::Result<()> {
        self.running[member] = Some(self.spawn(member)?);
        let leader = self.leader().await?;
        eventually("the member of etcd", || async {
            let (own, leaders) = (self.index(member).await?, self.index(leader).await?);
            (own >= leaders).then_some(())
        })
        .await
    }
}
