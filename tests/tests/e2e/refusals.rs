//! What programs without a certificate refuse: to listen on and to dial every address but those of
//! loopback. Each refusal names the command that gets a certificate.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use paasta_tests::cluster::binaries::binaries;
use paasta_tests::run::{bounded, eventually};

const LIMIT: Duration = Duration::from_secs(20);
/// An address of no network.
const AWAY: &str = "198.51.100.1:7401";
/// The environment variable of version 0.1 that named a network for plain text.
const FORMER: &str = "PAASTA_INSECURE_TEST_NETWORK";

/// A process that is killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Dead already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn has(text: &str, words: &[&str]) -> Result<()> {
    for wanted in words {
        ensure!(text.contains(wanted), "no {wanted:?} in {text}");
    }
    Ok(())
}

/// What a program says that must end with this code.
fn ends(name: &str, dir: &Path, code: i32, words: &[&str]) -> Result<String> {
    let output = bounded(LIMIT, binaries()?.join(name))
        .args(words)
        .env("XDG_CONFIG_HOME", dir)
        .env(FORMER, "198.51.100.0/24")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(code), "{words:?}: {output:?}");
    Ok(said)
}

/// A configuration directory, a data directory, a state directory.
fn places(dir: &Path) -> Result<(String, String, String)> {
    let place = |name: &str| dir.join(name).display().to_string();
    fs::create_dir_all(dir.join("config"))?;
    let text = format!("cluster: demo\nsoa_dir: {}\n", dir.display());
    fs::write(dir.join("config/paasta.yaml"), text)?;
    Ok((place("config"), place("data"), place("state")))
}

#[test]
fn a_coordinator_without_a_certificate_listens_on_loopback_only() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (config, data, _) = places(dir.path())?;
    for verb in ["run", "check-config"] {
        let common = [verb, "--config-dir", &config, "--data-dir", &data];
        let with = |code, more: &[&str]| {
            let words = [&common[..], &["--node-id", "1"], more].concat();
            ends("paasta-coordinator", dir.path(), code, &words)
        };
        let commands = ["`paasta-coordinator init`", "join`", "docs/operate"];
        for address in [AWAY, "0.0.0.0:7401", "[::]:7401"] {
            let said = with(1, &["--listen", address])?;
            has(&said, &["coordinator.listen", address])?;
            has(&said, &commands)?;
            let said = with(1, &["--listen", "127.0.0.1:0", "--http-listen", address])?;
            has(&said, &["coordinator.http_listen", address])?;
            has(&said, &commands)?;
        }
        with(2, &["--insecure-test-network", "198.51.100.0/24"])?;
    }
    Ok(())
}

#[test]
fn an_agent_without_a_certificate_stays_on_loopback() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (config, _, state) = places(dir.path())?;
    let common = ["run", "--config-dir", &config, "--state-dir", &state];
    let common = [&common[..], &["--docker-socket", "/nonexistent/socket"]].concat();
    let with = |code, more: &[&str]| {
        let words = [&common[..], more].concat();
        ends("paasta-agent", dir.path(), code, &words)
    };
    let said = with(1, &["--http-listen", "0.0.0.0:7403"])?;
    has(&said, &["agent.http_listen", "`paasta-agent join`"])?;
    with(2, &["--insecure-test-network", "198.51.100.0/24"])?;
    // It runs what it has without coordinators; what it would not dial is in its log.
    let log = dir.path().join("log");
    let child = Command::new(binaries()?.join("paasta-agent"))
        .args(&common)
        .args(["--http-listen", "off", "--coordinators", AWAY])
        .args(["--address", "127.0.0.1"])
        .env(FORMER, "198.51.100.0/24")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .spawn()?;
    let _running = Running(child);
    let refused = format!("refusing to speak to {AWAY}");
    eventually(LIMIT, "it refuses to dial", || {
        has(
            &fs::read_to_string(&log)?,
            &[&refused, "`paasta-agent join`"],
        )
    })
}

#[test]
fn a_command_without_a_certificate_asks_loopback_only() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (config, _, _) = places(dir.path())?;
    let words = ["--config-dir", &config, "--coordinators", AWAY];
    let words = [&words[..], &["--timeout", "2s", "metastatus"]].concat();
    let said = ends("paasta", dir.path(), 3, &words)?;
    let refused = format!("refusing to speak to {AWAY} without TLS");
    has(&said, &[&refused, "`paasta login`"])
}
