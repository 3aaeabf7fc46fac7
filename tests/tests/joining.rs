//! Real coordinators, agents and the real command line, with identities that the cluster makes
//! itself: by `paasta-coordinator init`, join tokens and nothing else. And tokens that must be
//! refused, each with its words; and what is killed in the middle.

#[path = "joining/cluster.rs"]
mod cluster;
#[path = "joining/renewing.rs"]
mod renewing;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use paasta_identity::{connect, token::Token};
use paasta_proto::v1::TokenState;
use paasta_tests::{
    cluster::operator::Said,
    run::{bounded, eventually},
};

use tokio::{io::AsyncReadExt as _, net::TcpStream};

use cluster::Young;

const LIMIT: Duration = Duration::from_secs(60);

fn joined(said: &Said) -> Result<()> {
    ensure!(said.code == Some(0), "{said:?}");
    Ok(())
}

fn refused(said: &Said, words: &str) -> Result<()> {
    ensure!(
        said.code == Some(1) && said.stderr.contains(words),
        "{said:?} instead of {words:?}"
    );
    Ok(())
}

/// The first token of this kind in what `init` printed.
fn token(said: &Said, kind: &str) -> Result<String> {
    let begin = format!("PAASTA1-{kind}-");
    let words = said.stdout.split_whitespace();
    let found = words.into_iter().find(|word| word.starts_with(&begin));
    Ok(found.with_context(|| format!("{said:?}"))?.to_owned())
}

#[test]
fn a_cluster_is_brought_up_by_init_and_join_alone() -> Result<()> {
    let mut young = Young::new()?;
    let made = young.init()?;
    joined(&made)?;
    let (coordinators, agents) = (token(&made, "c")?, token(&made, "a")?);
    let again = young.init()?;
    joined(&again)?;
    ensure!(
        again
            .stdout
            .contains("is there already, and was not changed"),
        "{again:?}"
    );
    ensure!(!again.stdout.contains("PAASTA1-"), "{again:?}");
    young.start(1)?;
    young.leader(LIMIT)?;
    for id in [2, 3] {
        joined(&young.join_coordinator(id, &coordinators)?)?;
        young.start(id)?;
        young.vote(id)?;
    }
    joined(&young.join_agent("h1", &agents, &young.addresses())?)?;
    // A token that configuration management lays is as good, and is gone then.
    let laid = young.path("join-token");
    fs::write(&laid, format!("{agents}\n"))?;
    young.configure_agent(
        "h2",
        &format!(
            "  coordinators: [{}]\n  join_token_file: {}\n",
            young.addresses().join(", "),
            laid.display()
        ),
    )?;
    for host in ["h1", "h2"] {
        young.start_agent(host)?;
        young.connected(host, LIMIT)?;
    }
    ensure!(!laid.exists(), "the token was used");
    check_modes(&young)?;
    refuse_tokens(&young, &agents)?;
    keep_the_key(&young)?;
    lose_the_leader(&mut young, &agents)
}

/// Keys are their owner's only.
fn check_modes(young: &Young) -> Result<()> {
    for file in [
        "data-1.identity/authority.key",
        "data-1.identity/key.pem",
        "data-2.identity/key.pem",
        "state-h1/identity/key.pem",
        "admin/key.pem",
    ] {
        let mode = fs::metadata(young.path(file))?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{file} has mode {mode:o}");
    }
    Ok(())
}

fn refuse_tokens(young: &Young, agents: &str) -> Result<()> {
    let by = young.addresses();
    // A name that belongs to another key, and a token that replaces it.
    let h1 = young.path("state-h1/identity");
    let aside = young.path("state-h1/identity-before");
    fs::rename(&h1, &aside)?;
    refused(
        &young.join_agent("h1", agents, &by)?,
        "agent/h1 belongs to another key",
    )?;
    let replace = young.succeed(&["token", "create", "agent", "--replace"])?;
    joined(&young.join_agent("h1", &replace, &by)?)?;
    refused(
        &young.join_agent("h1", &replace, &by)?,
        "holds an identity already",
    )?;

    // Used twice, revoked, expired, of the other kind.
    let once = young.succeed(&["token", "create", "agent", "--note", "rack 7"])?;
    joined(&young.join_agent("h3", &once, &by)?)?;
    refused(&young.join_agent("h4", &once, &by)?, "is used up")?;
    let revoked = young.succeed(&["token", "create", "agent"])?;
    let id = revoked.split('-').nth(3).context("a token has parts")?;
    young.succeed(&["token", "revoke", id])?;
    refused(&young.join_agent("h4", &revoked, &by)?, "was revoked")?;
    refused(
        &young.join_coordinator(3, agents)?,
        "the join token is for agents, and not for coordinators",
    )?;

    // Typing errors, and a token of another cluster.
    let mut typed = agents.to_owned();
    typed.pop();
    refused(
        &young.join_agent("h4", &typed, &by)?,
        "not a whole join token",
    )?;
    let last = if agents.ends_with('a') { 'b' } else { 'a' };
    typed.push(last);
    refused(&young.join_agent("h4", &typed, &by)?, "has a typing error")?;
    let other = Young::new()?;
    let elsewhere = token(&other.init()?, "a")?;
    refused(
        &young.join_agent("h4", &elsewhere, &by)?,
        "is not of the token's cluster",
    )?;
    let nowhere = vec!["127.0.0.1:1".to_owned()];
    refused(
        &young.join_agent("h4", agents, &nowhere)?,
        "no coordinator answers",
    )?;
    ensure!(!young.path("state-h4/identity/certificate.pem").exists());

    let list = young.tokens()?;
    let state = |token: &str| {
        let id = token.split('-').nth(3).unwrap_or_default();
        list.tokens
            .iter()
            .find(|one| one.id == id)
            .map(|one| one.state())
    };
    ensure!(state(&once) == Some(TokenState::UsedUp), "{list:?}");
    ensure!(state(&revoked) == Some(TokenState::Revoked), "{list:?}");
    ensure!(state(agents) == Some(TokenState::Usable), "{list:?}");
    Ok(())
}

/// Each coordinator with a vote gets the authority's key, in its file and nowhere else: not in the
/// log, a snapshot, a backup or a log line, nor any token's secret.
fn keep_the_key(young: &Young) -> Result<()> {
    let key = young.path("data-1.identity/authority.key");
    for id in [2, 3] {
        let own = young.path(&format!("data-{id}.identity/authority.key"));
        eventually(LIMIT, &format!("coordinator {id} has the key"), || {
            ensure!(fs::read(&own)? == fs::read(&key)?);
            Ok(())
        })?;
    }
    let backup = young.path("backup");
    young.succeed(&["snapshot", "save", &backup.display().to_string()])?;
    let pem = fs::read_to_string(&key)?;
    let body = pem.lines().nth(1).context("a key has lines")?.to_owned();
    let scalar = scalar(&key)?;
    for place in ["data-1", "data-2", "data-3", "logs", "backup"] {
        for file in files(&young.path(place))? {
            let bytes = fs::read(&file)?;
            for secret in [b"PRIVATE KEY".as_slice(), body.as_bytes(), &scalar] {
                let found = bytes.windows(secret.len()).any(|part| part == secret);
                ensure!(!found, "{} has the authority's key", file.display());
            }
        }
    }
    Ok(())
}

/// The private number of a key: 32 bytes.
fn scalar(key: &Path) -> Result<Vec<u8>> {
    let mut command = bounded(LIMIT, "openssl");
    let output = command
        .args(["pkey", "-outform", "DER", "-in"])
        .arg(key)
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    // ECPrivateKey: version 1, then an octet string of 32 bytes.
    let head = [2, 1, 1, 4, 32];
    let at = output
        .stdout
        .windows(head.len())
        .position(|part| part == head);
    let at = at.context("no P-256 key")? + head.len();
    Ok(output.stdout[at..at + 32].to_vec())
}

fn files(place: &Path) -> Result<Vec<PathBuf>> {
    if place.is_file() {
        return Ok(vec![place.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(place)? {
        found.extend(files(&entry?.path())?);
    }
    Ok(found)
}

/// A join whose leader dies under it succeeds, and takes one use.
fn lose_the_leader(young: &mut Young, agents: &str) -> Result<()> {
    let uses = |young: &Young| -> Result<u32> {
        let id = agents.split('-').nth(3).unwrap_or_default().to_owned();
        let found = young.tokens()?.tokens.into_iter().find(|one| one.id == id);
        Ok(found.context("the token is listed")?.uses_left)
    };
    let (before, leader) = (uses(young)?, young.leader(LIMIT)?);
    let joining = young.begin_join("h5", agents)?;
    eventually(LIMIT, "the join has begun", || {
        ensure!(
            young.path("state-h5/identity/key.new.pem").exists()
                || young.path("state-h5/identity/certificate.pem").exists()
        );
        Ok(())
    })?;
    young.kill(leader)?;
    let ended = joining.wait_with_output()?;
    ensure!(ended.status.success(), "{ended:?}");
    let next = young.leader(LIMIT)?;
    ensure!(next != leader, "coordinator {leader} is dead");
    ensure!(uses(young)? + 1 == before, "{} of {before}", uses(young)?);
    // The next leader signs as well.
    joined(&young.join_agent("h6", agents, &young.addresses())?)
}

/// Connections without a certificate are few: the oldest ends when there are too many.
#[test]
fn strangers_do_not_add_up() -> Result<()> {
    let mut young = Young::new()?;
    let made = young.init()?;
    young.start(1)?;
    young.leader(LIMIT)?;
    let token: Token = token(&made, "a")?.parse()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let mut strangers = Vec::new();
        for _ in 0..80 {
            let tcp = TcpStream::connect(young.address(1)).await?;
            strangers.push(connect::join(tcp, token.pin).await?.0);
        }
        let first = strangers.first_mut().context("there are 80")?;
        let mut bytes = Vec::new();
        let ended = tokio::time::timeout(LIMIT, first.read_to_end(&mut bytes)).await;
        ensure!(ended.is_ok(), "the oldest stranger is still there");
        anyhow::Ok(())
    })?;
    joined(&young.join_agent("h1", &token.to_string(), &[young.address(1)])?)
}

#[test]
fn an_expired_token_is_refused_with_its_age() -> Result<()> {
    let mut young = Young::new()?;
    joined(&young.init()?)?;
    young.start(1)?;
    young.leader(LIMIT)?;
    let short = young.succeed(&["token", "create", "agent", "--ttl", "1m"])?;
    let by = vec![young.address(1)];
    eventually(LIMIT * 2, "the token has expired", || {
        let state = young
            .tokens()?
            .tokens
            .iter()
            .any(|one| short.contains(&one.id) && one.state() == TokenState::Expired);
        ensure!(state);
        Ok(())
    })?;
    refused(&young.join_agent("h1", &short, &by)?, "expired 0 min ago")
}

/// An init that is killed as soon as a file is there is completed by another one, which makes a
/// cluster that works.
#[test]
fn an_init_that_is_killed_anywhere_is_completed_by_another() -> Result<()> {
    for file in [
        "data-1.identity/authority.pem",
        "data-1.identity/authority.key",
        "data-1.identity/ca.pem",
        "data-1.identity/key.pem",
        "data-1.identity/certificate.pem",
        "admin/certificate.pem",
        "data-1.new",
        "data-1",
    ] {
        let mut young = Young::new()?;
        let mut child = young.begin_init()?;
        let path = young.path(file);
        while !path.exists() {
            if child.try_wait()?.is_some() && !path.exists() {
                bail!("init ended without {file}");
            }
        }
        child.kill()?;
        child.wait()?;
        joined(&young.init()?)?;
        young.start(1)?;
        young
            .leader(LIMIT)
            .with_context(|| format!("killed at {file}"))?;
        let agents = young.succeed(&["token", "create", "agent"])?;
        joined(&young.join_agent("h1", &agents, &[young.address(1)])?)?;
    }
    Ok(())
}

#[test]
fn a_person_who_is_invited_logs_in_and_has_its_scopes() -> Result<()> {
    let mut young = Young::new()?;
    joined(&young.init()?)?;
    young.start(1)?;
    young.leader(LIMIT)?;
    let known = young.succeed(&["auth", "list"])?;
    ensure!(
        known.contains("root") && known.contains("everything"),
        "{known}"
    );
    let invite = [
        "auth", "invite", "bob", "--role", "reader", "--scope", "web",
    ];
    let token = young.succeed(&invite)?;
    ensure!(token.starts_with("PAASTA1-p-"), "{token}");
    let dir = young.path("bob");
    let text = dir.display().to_string();
    let login = |token: &str| young.stranger(&["login", token, &young.address(1), "--dir", &text]);
    let mut wrong = token.clone();
    wrong.pop();
    wrong.push(if token.ends_with('a') { 'b' } else { 'a' });
    let said = login(&wrong)?;
    ensure!(
        said.code == Some(1) && !dir.join("certificate.pem").exists(),
        "{said:?}"
    );
    joined(&login(&token)?)?;
    let mode = fs::metadata(dir.join("key.pem"))?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    let said = login(&token)?;
    ensure!(said.code == Some(1), "a second certificate: {said:?}");
    let other = young.path("other").display().to_string();
    let said = young.stranger(&["login", &token, &young.address(1), "--dir", &other])?;
    ensure!(said.code == Some(1), "a token that was used: {said:?}");
    // It sees what its principal has, and no more.
    let said = young.paasta_by("bob", &["list", "-i"])?;
    joined(&said)?;
    let said = young.paasta_by("bob", &["why", "api.main"])?;
    ensure!(
        said.stderr.contains("is not in its scope (web)"),
        "{said:?}"
    );
    let said = young.paasta_by("bob", &["auth", "list"])?;
    ensure!(said.stderr.contains("reader/bob may not call"), "{said:?}");
    young.succeed(&["auth", "revoke", "bob"])?;
    let said = young.paasta_by("bob", &["list", "-i"])?;
    ensure!(said.stderr.contains("it is no principal"), "{said:?}");
    // A stranger can join, and nothing else.
    let said = young.stranger(&[
        "--tls-ca",
        &young.path("admin/ca.pem").display().to_string(),
        "list",
    ])?;
    ensure!(said.code != Some(0), "{said:?}");
    Ok(())
}
