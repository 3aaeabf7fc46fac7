//! What is shipped beside the programs: units as hard as they are meant to be, by systemd's own
//! judgement, and the daily backup on a real coordinator.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use paasta_tests::{
    cluster::{
        binaries::binaries,
        daemon::{Daemon, tail},
    },
    run::{bounded, eventually, text},
    tidy::root,
};

const LIMIT: Duration = Duration::from_secs(60);
/// The processes of this test, for the end of the test.
const GROUP: &str = "packages-test";

/// The exposure of each unit by `systemd-analyze security`, in tenths: at most so much. The agent
/// shares dockerd's mount namespace and mounts volumes itself, which costs it 1.7.
const EXPOSURE: [(&str, u32); 3] = [
    ("paasta-coordinator.service", 15),
    ("paasta-agent.service", 45),
    ("paasta-snapshot.service", 30),
];

fn install() -> Result<()> {
    text(&mut bounded(
        Duration::from_secs(600),
        root().join("deploy/demo/install.sh"),
    ))?;
    Ok(())
}

fn exposure(unit: &Path, threshold: u32) -> Result<Output> {
    let output = bounded(LIMIT, "systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(format!("--threshold={threshold}"))
        .arg(unit)
        .output()?;
    Ok(output)
}

#[test]
fn units_are_no_more_exposed_than_they_must_be() -> Result<()> {
    install()?;
    for (name, threshold) in EXPOSURE {
        let unit = root().join("deploy/systemd").join(name);
        let output = exposure(&unit, threshold)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{name}: {said}");
        ensure!(said.contains("Overall exposure level"), "{name}: {said}");
    }
    // The threshold is real: the coordinator without its sandbox is above it.
    let dir = tempfile::tempdir()?;
    let shipped = root().join("deploy/systemd/paasta-coordinator.service");
    let open: String = fs::read_to_string(shipped)?
        .lines()
        .filter(|line| !line.starts_with("Protect") && !line.starts_with("SystemCall"))
        .map(|line| format!("{line}\n"))
        .collect();
    let unit = dir.path().join("paasta-coordinator.service");
    fs::write(&unit, open)?;
    ensure!(!exposure(&unit, 15)?.status.success());
    Ok(())
}

#[test]
fn backups_rotate_and_stay_when_no_coordinator_answers() -> Result<()> {
    install()?;
    let dir = tempfile::tempdir()?;
    let held = TcpListener::bind(("127.0.0.1", 0))?;
    let address = held.local_addr()?;
    drop(held);
    let daemon = up(dir.path(), address)?;
    let backups = dir.path().join("backups");
    let backup = |keep: &str| backup(dir.path(), &backups, keep);
    for (round, files) in [(1, 1), (2, 2), (3, 2)] {
        let output = backup("2")?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "round {round}: {words}");
        ensure!(saved(&backups)?.len() == files, "{:?}", saved(&backups)?);
    }
    let whole = saved(&backups)?;
    // Something else in the directory is not its own.
    fs::write(backups.join("notes.txt"), "mine")?;
    let refused = backup("none")?;
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        refused.status.code() == Some(2) && words.contains("PAASTA_BACKUP_KEEP is \"none\""),
        "{words}"
    );
    daemon.stop(LIMIT)?;
    let failed = backup("1")?;
    ensure!(!failed.status.success());
    ensure!(saved(&backups)? == whole, "{:?}", saved(&backups)?);
    ensure!(fs::read_to_string(backups.join("notes.txt"))? == "mine");
    Ok(())
}

/// The snapshots in the directory, the oldest first.
fn saved(backups: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(backups)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == "snapshot") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Runs the shipped script once.
fn backup(dir: &Path, backups: &Path, keep: &str) -> Result<Output> {
    let path = std::env::var("PATH").context("PATH is set")?;
    let output = bounded(LIMIT, root().join("deploy/packages/backup.sh"))
        .env("PATH", format!("{}:{path}", binaries()?.display()))
        .env("PAASTA_SYSTEM_CONFIG_DIR", dir.join("config"))
        .env("PAASTA_BACKUP_DIR", backups)
        .env("PAASTA_BACKUP_KEEP", keep)
        // What the script allows a coordinator is for a large cluster.
        .env("PAASTA_BACKUP_TIMEOUT", "5s")
        .output()?;
    Ok(output)
}

/// A cluster of one coordinator.
fn up(dir: &Path, address: SocketAddr) -> Result<Daemon> {
    let (config, soa) = (dir.join("config"), dir.join("soa"));
    fs::create_dir(&config)?;
    fs::create_dir(&soa)?;
    let settings = serde_json::json!({
        "cluster": "demo",
        "docker_registry": "127.0.0.1:5000",
        "soa_dir": soa,
        "cli": {"coordinators": [address.to_string()]},
    });
    fs::write(config.join("paasta.json"), settings.to_string())?;
    let log = dir.join("coordinator.log");
    let words = [
        binaries()?.join("paasta-coordinator").display().to_string(),
        "run".to_owned(),
        format!("--config-dir={}", config.display()),
        "--node-id=1".to_owned(),
        format!("--listen={address}"),
        "--http-listen=off".to_owned(),
        format!("--data-dir={}", dir.join("data").display()),
    ];
    let daemon = Daemon::start("coordinator", GROUP, &words, &log)?;
    eventually(LIMIT, "the cluster is made", || {
        text(
            bounded(LIMIT, binaries()?.join("paasta"))
                .args(["cluster", "init", "--cluster", "demo"])
                .arg(format!("--member=1={address}")),
        )
    })
    .with_context(|| tail(&log))?;
    Ok(daemon)
}
