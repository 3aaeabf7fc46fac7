//! Persons and programs as principals: what they may see and change, what is recorded of it, and
//! root of a coordinator's host.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::Output,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use paasta_proto::v1::{FollowRequest, admin_client::AdminClient};
use paasta_tests::run::{bounded, eventually};
use serde_json::Value;
use tokio::runtime::Runtime;
use tonic::Code;

use crate::{cluster::Secure, impostors::channel};

const LIMIT: Duration = Duration::from_secs(60);
/// A user and a group of every Debian.
const NOBODY: u32 = 65_534;

/// Makes the persons of the other tests principals of all services.
pub(crate) fn grant_all(cluster: &Secure, at: usize) -> Result<()> {
    for (name, role) in [("ci", "deployer"), ("bob", "reader")] {
        let words = ["auth", "grant", name, "--role", role, "--scope", "*"];
        cluster.succeed("admin/alice", at, &words)?;
    }
    Ok(())
}

/// Runs `paasta`, which must be refused with these words.
pub(crate) fn refused(
    cluster: &Secure,
    role: &str,
    id: usize,
    words: &[&str],
    expected: &str,
) -> Result<()> {
    let said = cluster.paasta(role, Some(id), words)?;
    let all = format!("{}{}", said.stdout, said.stderr);
    ensure!(
        said.code != Some(0) && all.contains(expected),
        "{role} at coordinator {id}: paasta {words:?}: {said:?} instead of {expected:?}"
    );
    Ok(())
}

fn json(cluster: &Secure, role: &str, id: usize, words: &[&str]) -> Result<Value> {
    let mut all = words.to_vec();
    all.push("--json");
    Ok(serde_json::from_str(&cluster.succeed(role, id, &all)?)?)
}

fn texts<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|one| one[key].as_str()).collect()
}

/// Persons with scopes, at the leader and by way of another coordinator.
pub(crate) fn scopes(cluster: &Secure, leader: usize, follower: usize) -> Result<()> {
    for id in 1..=3 {
        let expected = "it is no principal of this cluster";
        refused(cluster, "deployer/ci", id, &["list", "-i"], expected)?;
        refused(cluster, "reader/bob", id, &["cluster", "node"], expected)?;
    }
    let grant = [
        "auth", "grant", "ci", "--role", "deployer", "--scope", "web",
    ];
    cluster.succeed("admin/alice", follower, &grant)?;
    let bob = [
        "auth", "grant", "bob", "--role", "reader", "--scope", "w*b.main",
    ];
    cluster.succeed("admin/alice", leader, &bob)?;
    let known = json(cluster, "admin/alice", follower, &["auth", "list"])?;
    let names = texts(&known["principals"], "name");
    ensure!(names == ["alice", "bob", "ci"], "{known}");
    eventually(LIMIT, "both instances are known", || {
        let all = cluster.succeed("admin/alice", leader, &["list", "-i"])?;
        ensure!(
            all.contains("web.main") && all.contains("api.main"),
            "{all}"
        );
        Ok(())
    })?;
    for id in 1..=3 {
        for role in ["deployer/ci", "reader/bob"] {
            let seen = cluster.succeed(role, id, &["list", "-i"])?;
            ensure!(
                seen.contains("web.main") && !seen.contains("api"),
                "{role}: {seen}"
            );
            let status = cluster
                .paasta(role, Some(id), &["status", "--json"])?
                .stdout;
            ensure!(
                status.contains("web") && !status.contains("\"api\""),
                "{status}"
            );
            let events = json(cluster, role, id, &["events"])?.to_string();
            ensure!(
                events.contains("web.main")
                    && !events.contains("api")
                    && !events.contains("principal ci"),
                "{events}"
            );
            for words in [
                &["why", "api.main"][..],
                &["history", "api.main"],
                &["logs", "-s", "api", "-i", "main"],
                &["status", "-s", "api"],
            ] {
                refused(cluster, role, id, words, "is not in its scope")?;
            }
        }
        let stop = |service| ["emergency-stop", "-s", service, "-i", "main"];
        let words = "deployer/ci may not call paasta.v1.Deploys/Override: \"api.main\" is not in its scope (web)";
        refused(cluster, "deployer/ci", id, &stop("api"), words)?;
        refused(
            cluster,
            "reader/bob",
            id,
            &stop("web"),
            "takes the role admin or deployer",
        )?;
        refused(
            cluster,
            "deployer/ci",
            id,
            &["audit"],
            "takes the role admin",
        )?;
        refused(
            cluster,
            "deployer/ci",
            id,
            &["auth", "list"],
            "takes the role admin",
        )?;
    }
    // Another certificate of the name, with more than its principal has.
    cluster.issue_at("admin/ci", std::time::SystemTime::now())?;
    refused(
        cluster,
        "admin/ci",
        follower,
        &["list"],
        "the principal ci has the role deployer",
    )
}

/// An open stream of a person ends within 30 s after its principal was removed or lost scopes.
pub(crate) fn open_streams(cluster: &Secure, follower: usize) -> Result<()> {
    let runtime = Runtime::new()?;
    let revoke = ["auth", "revoke", "bob"];
    let narrow = [
        "auth", "grant", "ci", "--role", "deployer", "--scope", "api",
    ];
    for (role, words, code) in [
        ("reader/bob", &revoke[..], Code::PermissionDenied),
        ("deployer/ci", &narrow[..], Code::Unavailable),
    ] {
        let mut stream = runtime.block_on(async {
            let mut admin = AdminClient::new(channel(cluster, role, follower).await?);
            let stream = admin.follow(FollowRequest::default()).await?.into_inner();
            anyhow::Ok(stream)
        })?;
        runtime
            .block_on(stream.message())?
            .context("the first message")?;
        cluster.succeed("admin/alice", follower, words)?;
        let end = async {
            loop {
                match stream.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => bail!("it ended without a reason"),
                    Err(status) => return Ok(status),
                }
            }
        };
        let end =
            runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), end).await });
        let status = end.with_context(|| format!("the stream of {role} goes on"))??;
        ensure!(status.code() == code, "{role}: {status:?}");
    }
    Ok(())
}

/// The audit log has every change and refusal, on the coordinator where the caller connects and on
/// the leader.
pub(crate) fn recorded(cluster: &Secure, leader: usize, follower: usize) -> Result<()> {
    let all = cluster.paasta("admin/alice", None, &["audit", "-n", "1000", "--json"])?;
    ensure!(all.code == Some(0), "{all:?}");
    let all: Value = serde_json::from_str(&all.stdout)?;
    let records = all.as_array().context("a list")?;
    let find = |wanted: &dyn Fn(&Value) -> bool| records.iter().find(|one| wanted(one)).cloned();
    let grant = find(&|one| one["method"] == "Principals.Set" && one["outcome"] == "done");
    let grant = grant.with_context(|| format!("no grant in {all}"))?;
    ensure!(
        grant["principal"] == "admin/alice" && grant["by"] == "admin/alice",
        "{grant}"
    );
    ensure!(
        grant["claimed"]
            .as_str()
            .is_some_and(|name| name.contains('@')),
        "{grant}"
    );
    ensure!(
        grant["objects"][0] == "principal ci" && grant["via"] == "",
        "{grant}"
    );
    let denied = find(&|one| {
        one["outcome"] == "denied"
            && one["principal"] == "deployer/ci"
            && one["objects"][0] == "api.main"
    });
    denied.with_context(|| format!("no refusal in {all}"))?;
    // The leader's own log has what another coordinator passed on, too.
    let log = fs::read_to_string(cluster.audit_log(leader))?;
    let via = format!("\"via\":\"coordinator/{follower}\"");
    let passed_on = log
        .lines()
        .find(|line| line.contains(&via) && line.contains("Principals.Set"));
    let passed_on = passed_on.with_context(|| format!("nothing with {via} in {log}"))?;
    for words in [
        "\"principal\":\"admin/alice\"",
        "\"outcome\":\"done\"",
        "\"cluster\":\"demo\"",
        "\"service\":\"N/A\"",
        "\"peer\":\"127.0.0.1\"",
    ] {
        ensure!(passed_on.contains(words), "{words} in {passed_on}");
    }
    for id in 1..=3 {
        let mode = fs::metadata(cluster.audit_log(id))?.permissions().mode();
        ensure!(mode & 0o777 == 0o600, "{mode:o}");
    }
    // Many refusals are few lines.
    let before = fs::read_to_string(cluster.audit_log(follower))?
        .lines()
        .count();
    let runtime = Runtime::new()?;
    runtime.block_on(async {
        let mut admin = AdminClient::new(channel(cluster, "metrics/m", follower).await?);
        for _ in 0..300 {
            let refused = admin.follow(FollowRequest::default()).await;
            ensure!(refused.is_err_and(|status| status.code() == Code::PermissionDenied));
        }
        Ok(())
    })?;
    let log = fs::read_to_string(cluster.audit_log(follower))?;
    let after = log.lines().count();
    ensure!(
        after <= before + 30,
        "{before} lines before, {after} after 300 refusals"
    );
    let left_out = cluster.metric(follower, "paasta_audit_refusals_left_out_total")?;
    ensure!(left_out >= 250.0, "{left_out}");
    ensure!(cluster.metric(follower, "paasta_audit_records_lost_total")? == 0.0);
    // Events have the proven name, too.
    let events = json(cluster, "admin/alice", leader, &["events"])?;
    let events = events["events"].as_array().cloned().unwrap_or_default();
    let made = events
        .iter()
        .find(|one| one["kind"] == "admin")
        .context("an event")?;
    ensure!(
        made["by"] == "admin/alice" && made["principal"] == "admin/alice",
        "{made}"
    );
    Ok(())
}

/// Runs `paasta` by the local socket of a coordinator as a user of this host.
fn locally(
    cluster: &Secure,
    program: &Path,
    id: usize,
    uid: u32,
    words: &[&str],
) -> Result<Output> {
    let mut command = bounded(LIMIT, program.display().to_string());
    command
        .env("PAASTA_SYSTEM_CONFIG_DIR", cluster.dir().join("etc"))
        .arg("--socket")
        .arg(cluster.socket(id))
        .args(words);
    command.uid(uid).gid(uid);
    Ok(command.output()?)
}

/// Root of a coordinator's host is an admin by the local socket, whatever becomes of principals; so
/// are the members of a group, and no one else.
pub(crate) fn root_of_the_host(cluster: &Secure, leader: usize, follower: usize) -> Result<()> {
    let programs = tempfile::Builder::new()
        .prefix("paasta-programs-")
        .tempdir()?;
    let open = || fs::Permissions::from_mode(0o755);
    fs::set_permissions(programs.path(), open())?;
    fs::set_permissions(cluster.dir(), open())?;
    let program = programs.path().join("paasta");
    fs::copy(
        paasta_tests::cluster::binaries::binaries()?.join("paasta"),
        &program,
    )?;
    fs::set_permissions(&program, open())?;
    for id in [leader, follower] {
        let said = locally(cluster, &program, id, 0, &["auth", "list"])?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        ensure!(said.status.success() && text.contains("alice"), "{said:?}");
    }
    let grant = ["auth", "grant", "zoe", "--role", "admin"];
    let said = locally(cluster, &program, follower, 0, &grant)?;
    ensure!(said.status.success(), "{said:?}");
    let said = locally(cluster, &program, follower, 0, &["auth", "revoke", "alice"])?;
    ensure!(said.status.success(), "{said:?}");
    refused(
        cluster,
        "admin/alice",
        leader,
        &["list"],
        "it is no principal",
    )?;
    // A member of the group, by its name.
    let back = ["auth", "grant", "alice", "--role", "admin"];
    let said = locally(cluster, &program, follower, NOBODY, &back)?;
    ensure!(said.status.success(), "{said:?}");
    let known = json(cluster, "admin/alice", leader, &["auth", "show", "alice"])?;
    ensure!(known["created_by"] == "local/nobody", "{known}");
    let known = json(cluster, "admin/alice", leader, &["auth", "show", "zoe"])?;
    ensure!(known["created_by"] == "local/root", "{known}");
    // Any other user: the kernel refuses.
    let said = locally(cluster, &program, follower, 12_345, &["auth", "list"])?;
    ensure!(!said.status.success(), "{said:?}");
    // The last admin stays, also for root.
    for (name, code) in [("alice", Some(0)), ("zoe", Some(1))] {
        let said = locally(cluster, &program, leader, 0, &["auth", "revoke", name])?;
        ensure!(said.status.code() == code, "{name}: {said:?}");
    }
    Ok(())
}

/// Without TLS a name proves nothing, whatever it says.
pub(crate) fn claims(cluster: &Secure) -> Result<()> {
    let leader = cluster.leader(LIMIT)?;
    let follower = leader % 3 + 1;
    let grant = ["auth", "grant", "admin.ci", "--role", "admin"];
    for id in [leader, follower] {
        let user = "admin/alice";
        let operator = cluster.operator(Some(id)).named(user);
        let said = operator.paasta(&grant)?;
        ensure!(said.code == Some(0), "{said:?}");
    }
    let events = json(cluster, "", leader, &["events"])?;
    let events = events["events"].as_array().cloned().unwrap_or_default();
    let made = events
        .iter()
        .find(|one| one["kind"] == "admin")
        .context("an event")?;
    let by = made["by"].as_str().unwrap_or_default();
    ensure!(
        by.starts_with("\"admin/alice@") && by.ends_with("\" (claimed)"),
        "{made}"
    );
    ensure!(made["principal"] == "", "{made}");
    let log = fs::read_to_string(cluster.audit_log(follower))?;
    let line = log.lines().find(|line| line.contains("Principals.Set"));
    let line: Value = serde_json::from_str(line.context("a record")?)?;
    ensure!(line["principal"] == "" && line["role"] == "", "{line}");
    ensure!(
        line["user"]
            .as_str()
            .is_some_and(|user| user.ends_with("(claimed)")),
        "{line}"
    );
    Ok(())
}
