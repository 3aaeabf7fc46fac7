//! Certificates that live for a minute: they are renewed while everything runs, and by a host that
//! slept past the end of its own.

use std::{fs, thread::sleep, time::Duration};

use anyhow::{Result, ensure};
use paasta_tests::run::eventually;

use super::{LIMIT, cluster::Young, joined, token};

/// The life of a certificate here.
const LIFE: Duration = Duration::from_secs(60);

#[test]
fn certificates_renew_themselves_also_after_their_end() -> Result<()> {
    let mut young = Young::new()?.with_lives(LIFE);
    let made = young.init()?;
    joined(&made)?;
    let agents = token(&made, "a")?;
    young.start(1)?;
    young.leader(LIMIT)?;
    joined(&young.join_agent("h1", &agents, &young.addresses())?)?;
    let certificate = young.path("state-h1/identity/certificate.pem");
    let first = fs::read(&certificate)?;
    young.start_agent("h1")?;
    young.connected("h1", LIMIT)?;
    let renewed = |times: usize| {
        eventually(3 * LIFE, "the agent renews its certificate", || {
            let log = fs::read_to_string(young.log("agent-h1"))?;
            let found = log.matches("the certificate was renewed").count();
            ensure!(found >= times, "{found} of {times}");
            Ok(())
        })
    };
    renewed(2)?;
    ensure!(fs::read(&certificate)? != first, "the file is the old one");
    young.connected("h1", LIMIT)?;
    // The host sleeps past the end of its certificate.
    young.stop_agents()?;
    sleep(LIFE + LIFE / 5);
    let before = fs::read(&certificate)?;
    young.start_agent("h1")?;
    young.connected("h1", LIMIT)?;
    ensure!(fs::read(&certificate)? != before, "no late renewal");
    // One that is revoked does not come back so.
    young.stop_agents()?;
    young.succeed(&["auth", "revoke", "agent/h1", "--reason", "sold"])?;
    sleep(LIFE + LIFE / 5);
    young.start_agent("h1")?;
    eventually(LIMIT, "the agent learns that it is revoked", || {
        let log = fs::read_to_string(young.log("agent-h1"))?;
        ensure!(log.contains("agent/h1 is revoked: sold"), "not yet");
        Ok(())
    })
}
