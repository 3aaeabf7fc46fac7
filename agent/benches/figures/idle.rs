//! The program itself with a hundred containers that it manages and nothing to do, beside dockerd
//! in the same time.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::time::timeout;

use crate::{
    coordinator,
    host::{Host, SOCKET},
    verdict,
};

const CONTAINERS: u64 = 100;
const SPAN: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(900);
/// Of `/proc/PID/stat`: the unit in which Linux tells times to programs.
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) async fn run() {
    println!(
        "{CONTAINERS} containers managed and idle, checked over http every 10 s, for {SPAN:?}"
    );
    let mut host = Host::new("idle");
    let assignment = host.assignment(0, CONTAINERS, host.app(true));
    let (address, mut healthy) = coordinator::serve(&assignment).await;
    let agent = Running(
        Command::new(env!("CARGO_BIN_EXE_paasta-agent"))
            .args(["run", "--address", "127.0.0.1", "--docker-socket", SOCKET])
            .args(["--port-range", "23000-29999"])
            .arg(format!("--host-id={}", host.name))
            .arg(format!("--coordinators={address}"))
            .arg(format!("--state-dir={}", host.dir.path().display()))
            .env("PAASTA_SYSTEM_CONFIG_DIR", host.dir.path().join("none"))
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let all = |count: &usize| *count as u64 == CONTAINERS;
    let all_well = timeout(LIMIT, healthy.wait_for(all)).await.is_ok();
    assert!(all_well, "{} of {CONTAINERS} healthy", *healthy.borrow());
    let dockerd: u32 = fs::read_to_string("/var/run/docker.pid")
        .expect("dockerd's pid")
        .trim()
        .parse()
        .unwrap();
    let pids = [("paasta-agent", agent.0.id()), ("dockerd", dockerd)];
    let before = pids.map(|(_, pid)| cpu_seconds(pid));
    let began = Instant::now();
    tokio::time::sleep(SPAN).await;
    let span = began.elapsed().as_secs_f64();
    let mut figures = Vec::new();
    for ((name, pid), before) in pids.into_iter().zip(before) {
        let cpu = (cpu_seconds(pid) - before) / span * 100.0;
        let memory = resident_mib(pid);
        println!("  {name:<12} {memory:>7.1} MiB resident, {cpu:>6.2} % of a core");
        figures.push((memory, cpu));
    }
    let (memory, cpu) = figures[0];
    verdict("agent, resident", memory, "MiB", 30.0);
    verdict("agent, of a core", cpu, "%", 1.0);
}

/// Ends with the benchmark, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Dead already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // Its name, which may hold anything, ends with the last parenthesis.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / TICKS_PER_SECOND
}

fn resident_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().split_whitespace().next().unwrap();
    kib.parse::<f64>().unwrap() / 1024.0
}
