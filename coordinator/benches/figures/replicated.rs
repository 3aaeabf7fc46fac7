//! Writes through three coordinator processes with every acknowledgement on two disks, beside etcd
//! under the same load; and placements, as the leader proposes them.

use std::{
    collections::BTreeMap,
    env,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use paasta_common::time::Timestamp;
use paasta_coordinator::codec;
use paasta_coordinator_core::{
    plan::plan,
    state::{
        actor::Actor,
        command::{Command, Envelope, Init, RegisterHost},
        outcome::Outcome,
    },
};
use paasta_proto::v1::{RaftPayload, raft_service_client::RaftServiceClient};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::{
    disk::{Fsync, Slower, directory},
    etcd::{self, Etcd},
    load::{self, Served},
    machine::{figure, ms, us, verdict},
    member::{self, MESSAGE_BYTES_MAX, Place, Standing},
    processes::{Client, Process, Trio, channel, eventually, free_addresses},
    world::{Cluster, Shape, all_well, host, instance, placements, set, wanted},
};

/// How long each load lasts.
const SPAN: Duration = Duration::from_secs(3);
/// How often each load is put on each cluster.
const ROUNDS: usize = 2;
/// Clients at once.
const CLIENTS: [usize; 4] = [1, 16, 64, 256];
/// By how much a disk is slower on which the rest weighs little.
const SLOWER: Duration = Duration::from_millis(5);
/// Commands proposed together, as the leader does at most.
const BATCH: usize = 256;

/// Three coordinators.
pub(crate) struct Coordinators {
    _dir: TempDir,
    disk: Slower,
    places: Vec<Place>,
    running: Vec<Option<Process>>,
}

/// One client of one coordinator.
#[derive(Clone)]
pub(crate) struct Door(RaftServiceClient<Channel>);

/// Runs and prints.
pub(crate) fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let dir = directory()?;
        let fsync = Slower::NOT.fsync(dir.path())?;
        println!("three processes on loopback, every acknowledgement on two disks:");
        let (appended, prepared) = (us(fsync.appended), us(fsync.prepared));
        figure("fdatasync of 512 bytes appended to a file", appended, "us");
        figure(
            "fdatasync of 512 bytes within a prepared file",
            prepared,
            "us",
        );
        writes(fsync).await?;
        slower(dir.path()).await?;
        placed().await
    })
}

async fn writes(fsync: Fsync) -> anyhow::Result<()> {
    let ours = Coordinators::start(Slower::NOT).await?;
    let theirs = match etcd::is_installed() {
        true => Some(Etcd::start(Slower::NOT).await?),
        false => {
            println!("  etcd is not installed (Debian: etcd-server): nothing to compare with");
            None
        }
    };
    let mut rows = Vec::new();
    for clients in CLIENTS {
        // In turn, so that whatever else this machine does disturbs both alike; the better counts.
        let mut best: (Option<Served>, Option<Served>) = (None, None);
        for _ in 0..ROUNDS {
            best.0 = better(best.0, under_load(&ours, clients).await?);
            if let Some(etcd) = &theirs {
                best.1 = better(best.1, under_load(etcd, clients).await?);
            }
        }
        rows.push((clients, best));
    }
    if let Some((_, (Some(alone), _))) = rows.first() {
        let name = "one client's write, median, over one fsync (appended)";
        let times = |one: Duration| alone.median.as_secs_f64() / one.as_secs_f64();
        figure(name, times(fsync.appended), "times");
        figure(
            "  over one fsync (prepared)",
            times(fsync.prepared),
            "times",
        );
    }
    println!(
        "  clients  ours: writes/s     median       p99  etcd: writes/s     median       p99  ratio"
    );
    for (clients, best) in rows {
        let cells = [&best.0, &best.1].map(|served| {
            served.as_ref().map_or_else(String::new, |served| {
                let (median, p99) = (ms(served.median), ms(served.p99));
                format!("{:>14.0} {median:>8.2}ms {p99:>7.2}ms", served.per_second)
            })
        });
        let ratio = match &best {
            (Some(ours), Some(etcd)) => format!("{:>6.2}", ours.per_second / etcd.per_second),
            _ => String::new(),
        };
        println!("  {clients:>7}  {}  {} {ratio}", cells[0], cells[1]);
    }
    Ok(())
}

/// One client, where the disk is what takes the time. An acknowledgement costs ours two fsyncs,
/// one after the other.
async fn slower(dir: &Path) -> anyhow::Result<()> {
    if !Slower::is_possible() {
        println!("  strace is not installed: no figures for a slower disk");
        return Ok(());
    }
    let disk = Slower(SLOWER);
    let fsync = disk.fsync(dir)?.appended;
    let more = format!(
        "fdatasync (appended), with {:.0} ms more by strace",
        ms(SLOWER)
    );
    figure(&more, us(fsync), "us");
    let times = |served: Served| served.median.as_secs_f64() / fsync.as_secs_f64();
    let ours = Coordinators::start(disk).await?;
    let name = "  one client's write, median, over that";
    let alone = times(under_load(&ours, 1).await?);
    verdict(name, alone, "times", 3.0, false);
    drop(ours);
    if etcd::is_installed() {
        let etcd = Etcd::start(disk).await?;
        figure(
            "  the same of etcd",
            times(under_load(&etcd, 1).await?),
            "times",
        );
    }
    Ok(())
}

fn better(before: Option<Served>, now: Served) -> Option<Served> {
    match before {
        Some(before) if before.per_second >= now.per_second => Some(before),
        _ => Some(now),
    }
}

async fn under_load<T: Trio>(trio: &T, clients: usize) -> anyhow::Result<Served> {
    let leader = trio.leader().await?;
    let clients: Result<Vec<T::Client>, _> = (0..clients).map(|_| trio.client(leader)).collect();
    let clients = clients?;
    for client in &clients {
        client.write(0).await?;
    }
    load::run(clients, SPAN).await
}

/// Plans for a cluster of 1,000 hosts and has every placement replicated and applied.
async fn placed() -> anyhow::Result<()> {
    let shape = Shape {
        hosts: 1_000,
        instances: 1_000,
        replicas_each: 100,
        constrained: false,
    };
    let ours = Coordinators::start(Slower::NOT).await?;
    let leader = ours.client(ours.leader().await?)?;
    // The same commands, here and there: what is planned here fits there.
    let mut here = Cluster::new(0);
    let mut commands: Vec<Command> = vec![founding(&here)?];
    commands
        .extend((0..shape.hosts).map(|n| Command::RegisterHost(RegisterHost { info: host(n) })));
    commands.extend((0..shape.instances).map(|n| set(&instance(n), wanted(shape, n, 1))));
    leader.propose_all(&commands, here.now).await?;
    for command in commands.into_iter().skip(1) {
        here.must(command);
    }
    let observed = all_well(&here);
    let began = Instant::now();
    let planned = plan(&here.state, &observed, here.now);
    let planning = began.elapsed();
    let count = placements(&planned) as f64;
    let began = Instant::now();
    leader.propose_all(&planned.commands, here.now).await?;
    let committing = began.elapsed();
    let name = "placements committed (1,000 hosts, 100,000 replicas)";
    verdict(
        name,
        count / committing.as_secs_f64(),
        "placements/s",
        5_000.0,
        true,
    );
    let both = (planning + committing).as_secs_f64();
    figure("  planned and committed", count / both, "placements/s");
    Ok(())
}

fn founding(cluster: &Cluster) -> anyhow::Result<Command> {
    let made = cluster.state.cluster().context("it was made")?;
    Ok(Command::Init(Init {
        cluster_id: made.id.clone(),
        name: made.name.clone(),
    }))
}

fn encoded(command: Command, at: Timestamp) -> anyhow::Result<Vec<u8>> {
    let envelope = Envelope {
        request_id: None,
        at,
        by: Actor::claimed("figures"),
        command,
    };
    Ok(codec::encode(&envelope)?)
}

fn payload(data: Vec<u8>) -> RaftPayload {
    RaftPayload {
        data: data.into(),
        ..RaftPayload::default()
    }
}

impl Door {
    async fn propose_all(&self, commands: &[Command], at: Timestamp) -> anyhow::Result<()> {
        for batch in commands.chunks(BATCH) {
            let batch: Result<Vec<Vec<u8>>, _> = batch
                .iter()
                .map(|command| encoded(command.clone(), at))
                .collect();
            let batch = codec::encode(&batch?)?;
            let answer = self.0.clone().vote(payload(batch)).await?.into_inner();
            let outcomes: Vec<Vec<u8>> = codec::decode(&answer.data)?;
            for outcome in outcomes {
                let outcome: Outcome = codec::decode(&outcome)?;
                ensure!(outcome.is_ok(), "a command was refused: {outcome:?}");
            }
        }
        Ok(())
    }

    async fn standing(&self) -> Option<Standing> {
        let answer = self.0.clone().pre_vote(RaftPayload::default()).await.ok()?;
        codec::decode(&answer.into_inner().data).ok()
    }
}

impl Client for Door {
    async fn write(&self, number: u64) -> anyhow::Result<()> {
        let mut info = host((number % 1000) as usize);
        info.agent_version = format!("{number:064}");
        let command = Command::RegisterHost(RegisterHost { info });
        let data = encoded(command, Timestamp(number))?;
        self.0.clone().transfer_leader(payload(data)).await?;
        Ok(())
    }
}

impl Coordinators {
    fn spawn(&self, member: usize) -> anyhow::Result<Process> {
        let place = serde_json::to_string(&self.places[member])?;
        let mut program = self.disk.program(env::current_exe()?);
        Process::start(program.arg(member::ARGUMENT).arg(place))
    }
}

impl Trio for Coordinators {
    type Client = Door;
    const NAME: &'static str = "paasta";

    async fn start(disk: Slower) -> anyhow::Result<Self> {
        let dir = directory()?;
        let addresses: Vec<SocketAddr> = free_addresses(6)?;
        let peers: BTreeMap<u64, SocketAddr> = (1..).zip(addresses[..3].iter().copied()).collect();
        let places = (1..=3_u64).map(|id| Place {
            id,
            data_dir: dir.path().join(id.to_string()),
            door: addresses[2 + id as usize],
            peers: peers.clone(),
        });
        let mut cluster = Self {
            places: places.collect(),
            _dir: dir,
            disk,
            running: Vec::new(),
        };
        for member in 0..3 {
            let process = cluster.spawn(member)?;
            cluster.running.push(Some(process));
        }
        let leader = cluster.client(cluster.leader().await?)?;
        let init = founding(&Cluster::new(0))?;
        leader.propose_all(&[init], Timestamp(1)).await?;
        Ok(cluster)
    }

    fn client(&self, member: usize) -> anyhow::Result<Door> {
        let channel = channel(self.places[member].door)?;
        let client = RaftServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Door(client))
    }

    async fn leader(&self) -> anyhow::Result<usize> {
        eventually("our leader", || async {
            for member in (0..3).filter(|member| self.running[*member].is_some()) {
                let standing = self.client(member).ok()?.standing().await;
                if standing.is_some_and(|standing| standing.leads) {
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
        let leader = self.client(self.leader().await?)?;
        let back = self.client(member)?;
        eventually("our member", || async {
            let (own, leaders) = (back.standing().await?, leader.standing().await?);
            (own.leader.is_some() && own.applied >= leaders.applied).then_some(())
        })
        .await
    }
}
