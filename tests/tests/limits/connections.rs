//! Thousands of connections that say nothing, or as little as they can, against a coordinator with
//! few file descriptors.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use paasta_process::accept::raise_limit;
use paasta_tests::{
    http,
    loopback::{Loopback, LoopbackOptions},
    run::{bounded, eventually, text},
};
use tokio::{net::TcpSocket, runtime::Runtime};

const SOON: Duration = Duration::from_secs(60);
/// How long an operator may wait for an answer meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);
/// Descriptors of the coordinator, of which 384 are for gRPC and 128 for HTTP.
const FILES: u64 = 1024;
const ATTACKERS: usize = 5_000;
/// The preface of HTTP/2 and an empty frame of settings: then pings are never answered.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// Connects from one of ten addresses that are not the operator's.
fn attack(runtime: &Runtime, to: SocketAddr, number: usize) -> Result<TcpStream> {
    let from = SocketAddr::from(([127, 0, 0, 2 + (number % 10) as u8], 0));
    let stream = runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(from)?;
        let connecting = tokio::time::timeout(Duration::from_secs(5), socket.connect(to));
        anyhow::Ok(connecting.await??)
    })?;
    let stream = stream.into_std()?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn is_closed(mut stream: &TcpStream) -> bool {
    let mut buffer = [0; 256];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

fn count(cluster: &Loopback, name: &str, reason: &str) -> Result<f64> {
    cluster.metric(
        1,
        &format!("paasta_connections_{name}_total{{endpoint=\"grpc\",reason=\"{reason}\"}}"),
    )
}

fn open(cluster: &Loopback) -> Result<f64> {
    cluster.metric(1, "paasta_connections_open{endpoint=\"grpc\"}")
}

/// A repository with one commit and a tag that deploys it.
fn repository(dir: &Path) -> Result<String> {
    let git = |words: &[&str]| {
        let author = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        text(
            bounded(SOON, "git")
                .arg("-C")
                .arg(dir)
                .args(author)
                .args(words),
        )
    };
    git(&["init", "-q"])?;
    git(&["commit", "-q", "--allow-empty", "-m", "one"])?;
    git(&["tag", "paasta-demo.everything-20260101T000000-deploy"])?;
    git(&["rev-parse", "HEAD"])
}

fn cluster(name: &'static str, git: bool) -> Loopback {
    raise_limit();
    let up = Loopback::up(LoopbackOptions {
        settings: "snapshot_every: 100\nconnections_per_address: 200",
        files: Some(FILES),
        git,
        ..LoopbackOptions::new(name, &[0])
    });
    up.unwrap()
}

/// What an operator and the coordinator itself do, is done all the same.
fn goes_on(cluster: &Loopback, attackers: &[TcpStream]) -> Result<()> {
    let before = cluster.metric(1, "paasta_raft_snapshot_index")?;
    let remote = tempfile::tempdir()?;
    let sha = repository(remote.path())?;
    cluster.follow("two", remote.path())?;
    cluster.declare("one", 150, 'a')?;
    for round in 0..3 {
        // Some of them drip.
        for mut stream in attackers.iter().skip(1).step_by(10) {
            let _ = stream.write(&GREETING[round..=round]);
        }
        let asked = Instant::now();
        cluster.operator.metastatus()?;
        ensure!(asked.elapsed() < PATIENCE, "{:?}", asked.elapsed());
        eventually(PATIENCE, "HTTP answers", || {
            http::get(cluster.http(1), "/healthz")
        })?;
        let pid = cluster.pid(1)?;
        let files = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        ensure!(files < 700, "{files} of {FILES} descriptors are used");
        thread::sleep(Duration::from_millis(500));
    }
    eventually(SOON, "git is asked", || {
        let status = cluster.operator.status("two.main")?;
        ensure!(status.git_sha == sha, "{}", status.git_sha);
        Ok(())
    })?;
    eventually(SOON, "a snapshot is written", || {
        let index = cluster.metric(1, "paasta_raft_snapshot_index")?;
        ensure!(index > before, "it ends at {index}");
        Ok(())
    })
}

#[test]
fn thousands_of_silent_connections_cost_a_client_nothing_and_end() {
    let cluster = cluster("connections", true);
    let runtime = runtime();
    let target = cluster.address(1);
    let began = Instant::now();
    let mut attackers = Vec::new();
    for number in 0..ATTACKERS {
        let mut stream = attack(&runtime, target, number).unwrap();
        if number % 50 == 0 {
            // It may be closed already, as there are too many.
            let _ = stream.write(GREETING);
        }
        attackers.push(stream);
    }
    let taken = began.elapsed();
    let silent = (0..200).map(|number| attack(&runtime, cluster.http(1), number).unwrap());
    let silent: Vec<TcpStream> = silent.collect();
    goes_on(&cluster, &attackers).unwrap();

    eventually(SOON, "they are closed", || {
        let left = attackers.iter().filter(|stream| !is_closed(stream)).count();
        ensure!(left == 0, "{left} are open");
        let left = silent.iter().filter(|stream| !is_closed(stream)).count();
        ensure!(left == 0, "{left} of HTTP are open");
        let left = open(&cluster)?;
        ensure!(left < 20.0, "{left} are counted as open");
        Ok(())
    })
    .unwrap();
    let ends = [
        ("refused", "total"),
        ("refused", "address"),
        ("closed", "handshake"),
        ("closed", "evicted"),
    ];
    let ends = ends.map(|(name, reason)| (reason, count(&cluster, name, reason).unwrap()));
    let sum: f64 = ends.iter().map(|(_, count)| count).sum();
    println!(
        "{ATTACKERS} connected in {taken:?}, the last closed after {:?}: {ends:?}",
        began.elapsed()
    );
    // Those that greeted end by a ping without an answer.
    assert!(sum >= (ATTACKERS - ATTACKERS / 50) as f64 * 0.9, "{ends:?}");
    assert_eq!(count(&cluster, "refused", "files").unwrap(), 0.0);
}

#[test]
fn what_a_process_may_open_bounds_its_connections() {
    let cluster = cluster("files", false);
    let runtime = runtime();
    let held: Vec<TcpStream> = (0..2_000)
        .map(|number| attack(&runtime, cluster.address(1), number).unwrap())
        .collect();
    let most = eventually(SOON, "they are counted", || {
        let open = open(&cluster)?;
        ensure!(open > 300.0, "{open}");
        Ok(open)
    });
    let most = most.unwrap();
    assert!(most <= 385.0, "{most}");
    drop(held);
}
