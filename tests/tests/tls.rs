//! Real coordinators, a real agent and the real command line by mutual TLS, with files that an
//! operator brings; and callers that must be refused, each with its words.

#[path = "tls/cluster.rs"]
mod cluster;
#[path = "tls/http.rs"]
mod http;
#[path = "tls/impostors.rs"]
mod impostors;
#[path = "tls/people.rs"]
mod people;
#[path = "tls/revoking.rs"]
mod revoking;

use std::{
    fs,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use paasta_tests::run::eventually;

use cluster::Secure;

const EXPIRES: &str = "paasta_tls_certificate_expires_timestamp_seconds";
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Runs `paasta` as `ROLE/NAME`, which must be refused with these words.
fn refused(cluster: &Secure, role: &str, words: &[&str], expected: &str) -> Result<()> {
    for id in 1..=3 {
        let said = cluster.paasta(role, Some(id), words)?;
        ensure!(
            said.code != Some(0) && said.stderr.contains(expected),
            "{role} at coordinator {id}: paasta {words:?}: {said:?} instead of {expected:?}"
        );
    }
    Ok(())
}

#[test]
fn a_cluster_speaks_tls_and_knows_its_own() -> Result<()> {
    let mut cluster = Secure::up()?;
    let leader = cluster.leader(LIMIT)?;
    let follower = leader % 3 + 1;

    // People, at the leader and by way of the others.
    people::grant_all(&cluster, follower)?;
    for role in ["admin/alice", "deployer/ci", "reader/bob"] {
        for id in 1..=3 {
            cluster.succeed(role, id, &["cluster", "node"])?;
            cluster.succeed(role, id, &["coordinator", "list"])?;
        }
    }

    // An agent, which first reaches a coordinator that does not lead.
    cluster.agent("h1", "h1", &[follower, leader])?;
    cluster.logged("agent-h1", "session with coordinator", LIMIT)?;
    cluster.connected("h1", LIMIT)?;

    // What the roles may not. It is refused where the caller connects.
    let drain = ["maintenance", "drain", "h1"];
    let takes = "may not call paasta.v1.Operate/DrainHost: that takes the role admin";
    for role in ["reader/bob", "deployer/ci", "agent/h1", "metrics/m"] {
        let expected = match role {
            // It may not even look.
            "agent/h1" | "metrics/m" => format!("{role} may not call paasta.v1."),
            _ => format!("{role} {takes}"),
        };
        refused(&cluster, role, &drain, &expected)?;
    }
    refused(
        &cluster,
        "agent/h1",
        &["metastatus"],
        "agent/h1 may not call paasta.v1.",
    )?;
    cluster.succeed("admin/alice", follower, &drain)?;
    cluster.succeed("admin/alice", leader, &["maintenance", "undrain", "h1"])?;

    impostors::no_certificate(&cluster)?;
    impostors::lying_agent(&cluster, leader, follower)?;
    impostors::forged_principal(&cluster)?;
    impostors::forged_sender(&cluster)?;
    own_certificates(&cluster)?;

    // A leader that dies: the others elect one by TLS, and the agent goes on there.
    cluster.stop(leader)?;
    let next = cluster.leader(LIMIT)?;
    ensure!(next != leader, "{leader} leads still");
    cluster.connected("h1", LIMIT)?;
    cluster.start(leader)?;

    // Certificates are replaced while everything runs.
    let before = cluster.served(next)?;
    let ends = cluster.metric(next, EXPIRES)?;
    cluster.renew(next)?;
    cluster.logged(
        &format!("coordinator-{next}"),
        "TLS files have changed and are in use",
        2 * LIMIT,
    )?;
    let after = cluster.served(next)?;
    ensure!(before != after, "the old certificate is served");
    eventually(LIMIT, "the metric has the new end", || {
        let now = cluster.metric(next, EXPIRES)?;
        ensure!(now > ends, "{now}, before {ends}");
        Ok(())
    })?;
    cluster.succeed("reader/bob", next, &["cluster", "node"])?;
    ensure!(cluster.leader(LIMIT)? == next, "nothing else has changed");
    Ok(())
}

#[test]
fn a_certificate_without_rights_is_refused_while_its_connections_are_open() -> Result<()> {
    let mut cluster = Secure::up()?;
    let leader = cluster.leader(LIMIT)?;
    people::grant_all(&cluster, leader)?;
    cluster.agent("h1", "h1", &[leader])?;
    cluster.connected("h1", LIMIT)?;
    revoking::words(&cluster, leader)?;
    revoking::no_member(&cluster, leader)?;
    revoking::open_stream(&cluster, leader)?;
    revoking::agent(&cluster, leader)?;
    revoking::removed(&mut cluster, leader % 3 + 1, leader)
}

/// What is wrong with a caller's own certificate is said before anything is dialled.
fn own_certificates(cluster: &Secure) -> Result<()> {
    let (now, node) = (SystemTime::now(), ["cluster", "node"]);
    cluster.issue_at("admin/late", now - 2 * DAY)?;
    cluster.issue_at("admin/early", now + DAY)?;
    let stranger = cluster.other_authority("admin/eve")?;
    for (name, expected) in [
        ("admin/late", "expired at"),
        ("admin/early", "this clock is behind"),
    ] {
        refused(cluster, name, &node, expected)?;
        refused(cluster, name, &node, "by this machine's clock")?;
    }
    let said = cluster.paasta_with(&stranger, &cluster.ca(), Some(1), &node)?;
    ensure!(
        said.stderr.contains("not signed by an authority in"),
        "{said:?}"
    );
    let said = cluster.paasta_with(&stranger, &stranger.join("ca.pem"), Some(1), &node)?;
    let all = format!("{}{}", said.stdout, said.stderr);
    ensure!(
        said.code != Some(0) && all.contains("is not signed by an authority in this side's bundle"),
        "{said:?}"
    );
    Ok(())
}

#[test]
fn files_that_are_not_its_own_stop_a_program_with_words() -> Result<()> {
    let cluster = Secure::prepared()?;
    for (node, certificate, expected) in [
        (
            1,
            "coordinator/2",
            "is that of paasta://demo/coordinator/2, and this is paasta://demo/coordinator/1",
        ),
        (
            1,
            "agent/h1",
            "is that of paasta://demo/agent/h1, and this is",
        ),
    ] {
        let said = cluster.try_coordinator(node, certificate)?;
        ensure!(said.contains(expected), "{said}");
    }
    cluster.issue_at("coordinator/3", SystemTime::now() - 100 * DAY)?;
    let said = cluster.try_coordinator(3, "coordinator/3")?;
    ensure!(
        said.contains("coordinator.tls cannot be used") && said.contains("expired at"),
        "{said}"
    );
    let key = cluster.files("coordinator/1").join("key.pem");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    let said = cluster.try_coordinator(1, "coordinator/1")?;
    ensure!(said.contains("other users can read (mode 0644)"), "{said}");
    let said = cluster.try_agent("h2", "h1")?;
    ensure!(
        said.contains("is that of paasta://demo/agent/h1, and this is paasta://demo/agent/h2"),
        "{said}"
    );
    Ok(())
}

/// The procedure of docs/operate/tls.md.
#[test]
fn certificates_made_by_openssl_as_documented_are_accepted() -> Result<()> {
    let page = paasta_tests::tidy::root().join("docs/operate/tls.md");
    let page = fs::read_to_string(page)?;
    let script = page
        .split("```sh\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .context("docs/operate/tls.md has no ```sh block")?;
    let cluster = Secure::documented(script)?;
    cluster.succeed("admin/alice", 1, &["cluster", "node"])?;
    let one_leads = || {
        let leader = cluster.leader(LIMIT)?;
        ensure!(leader == 1);
        Ok(())
    };
    eventually(LIMIT, "the one coordinator leads", one_leads)
}

#[test]
fn principals_have_scopes_and_all_that_they_do_is_recorded() -> Result<()> {
    let cluster = Secure::prepared()?;
    for service in ["web", "api"] {
        cluster.declare(service)?;
    }
    let mut cluster = cluster.begun()?;
    let leader = cluster.leader(LIMIT)?;
    let follower = leader % 3 + 1;
    people::scopes(&cluster, leader, follower)?;
    people::open_streams(&cluster, follower)?;
    people::recorded(&cluster, leader, follower)?;
    people::root_of_the_host(&cluster, leader, follower)?;
    // Another leader knows the same principals.
    cluster.stop(leader)?;
    cluster.leader_by("admin/zoe", LIMIT)?;
    let expected = "it is no principal of this cluster";
    people::refused(&cluster, "reader/bob", follower, &["list"], expected)
}

#[test]
fn without_tls_every_name_is_a_claim() -> Result<()> {
    people::claims(&Secure::plain()?)
}
