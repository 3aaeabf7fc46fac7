//! kill -9, again and again: every acknowledged write is there afterwards.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use paasta_coordinator::raft::{Consensus, Machine, RaftOptions};

use super::harness::{PATIENCE, Pairs, eventually, set};

/// Tells the re-executed test binary to be the victim, and where.
const CHILD: &str = "PAASTA_STORE_TEST_CHILD";

const ROUNDS: usize = 10;
const WRITES_PER_ROUND: usize = 150;

async fn start(dir: &Path) -> (Consensus, Arc<Pairs>) {
    let pairs = Arc::new(Pairs::default());
    let mut options = RaftOptions::new(1, "127.0.0.1:1", dir);
    options.snapshot_every = 200;
    options.keep_log = 50;
    let machine: Arc<dyn Machine> = pairs.clone();
    let consensus = Consensus::start(options, machine)
        .await
        .expect("nothing is damaged");
    let members = BTreeMap::from([(1, "127.0.0.1:1".to_owned())]);
    consensus
        .init("c", members)
        .await
        .expect("a cluster of one");
    let leads = || async { consensus.linearize(Duration::from_secs(1)).await.ok() };
    eventually("leadership", leads).await;
    (consensus, pairs)
}

/// The victim: writes for ever, and prints what was acknowledged. Does nothing in an ordinary run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim() {
    let Ok(dir) = env::var(CHILD) else { return };
    let (consensus, pairs) = start(Path::new(&dir)).await;
    let mut next = pairs.all().len();
    loop {
        let keys: Vec<_> = (next..next + 5)
            .map(|key| format!("key-{key:06}"))
            .collect();
        next += 5;
        let commands = keys.iter().map(|key| set(key, &[7; 300])).collect();
        let outcomes = consensus.propose_many(commands, PATIENCE).await;
        let mut out = std::io::stdout().lock();
        for (key, outcome) in keys.iter().zip(outcomes) {
            if outcome.is_ok() {
                writeln!(out, "acknowledged {key}").expect("the parent reads");
            }
        }
        out.flush().expect("the parent reads");
    }
}

fn spawn(dir: &Path) -> Child {
    Command::new(env::current_exe().expect("this binary"))
        .args([
            "store::kill::victim",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child")
}

/// Lets a child write until enough is acknowledged, and kills it in the middle of the next write.
fn write_and_kill(dir: &Path) -> Vec<String> {
    let mut child = spawn(dir);
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut acknowledged = Vec::new();
    let mut take = |line: std::io::Result<String>| {
        let line = line.expect("readable");
        let key = line
            .split_once("acknowledged ")
            .map(|(_, key)| key.to_owned());
        // A line may have been cut by the kill.
        acknowledged.extend(key.filter(|key| key.len() == "key-000000".len()));
        acknowledged.len()
    };
    for line in lines.by_ref() {
        if take(line) >= WRITES_PER_ROUND {
            break;
        }
    }
    child.kill().expect("killed");
    child.wait().expect("reaped");
    for line in lines {
        take(line);
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_survives_kill_9() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let path = dir.path().to_owned();
        let written = tokio::task::spawn_blocking(move || write_and_kill(&path));
        let written = written.await.expect("no panic");
        assert!(
            written.len() >= WRITES_PER_ROUND,
            "the child ended by itself"
        );
        acknowledged.extend(written);
        let (consensus, pairs) = start(dir.path()).await;
        let lost: Vec<_> = acknowledged.iter().filter(|key| !pairs.has(key)).collect();
        assert!(lost.is_empty(), "round {round} lost {lost:?}");
        consensus.shutdown().await;
    }
}
