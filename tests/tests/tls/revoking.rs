//! Certificates that are valid and have no rights: of coordinators that are no members, and of
//! identities that are revoked, while their connections are open.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use paasta_proto::v1::{
    AddMemberRequest, Asker, FollowRequest, IntroduceRequest, ListMembersRequest,
    UndrainHostRequest, admin_client::AdminClient, members_client::MembersClient,
    operate_client::OperateClient, raft_service_client::RaftServiceClient,
};
use paasta_tests::run::eventually;
use tokio::{runtime::Runtime, time::timeout};
use tonic::{Request, Status};

use crate::{
    cluster::Secure,
    impostors::{LIMIT, channel, denied},
};

/// A revocation takes effect on open connections within this time.
const ENDS: Duration = Duration::from_secs(30);

/// What a coordinator passes on in the name of an admin.
async fn passed_on(cluster: &Secure, certificate: &str, at: usize) -> Result<Result<(), Status>> {
    let mut request = Request::new(UndrainHostRequest {
        asker: Some(Asker {
            request_id: "passed on".to_owned(),
            by: "alice@test".to_owned(),
        }),
        host: "h1".to_owned(),
    });
    let metadata = request.metadata_mut();
    metadata.insert("paasta-forwarded", "1".parse()?);
    metadata.insert("paasta-principal", "paasta://demo/admin/alice".parse()?);
    let mut operate = OperateClient::new(channel(cluster, certificate, at).await?);
    Ok(operate.undrain_host(request).await.map(drop))
}

/// A coordinator's certificate has its rights by membership: one that never joined may only join.
pub(crate) fn no_member(cluster: &Secure, leader: usize) -> Result<()> {
    let runtime = Runtime::new()?;
    let words = "coordinator 9 is no member of this cluster";
    runtime.block_on(async {
        denied(passed_on(cluster, "coordinator/9", leader).await?, words)?;
        let open = channel(cluster, "coordinator/9", leader).await?;
        let listed = MembersClient::new(open.clone())
            .list(ListMembersRequest::default())
            .await;
        denied(listed, words)?;
        let added = MembersClient::new(open.clone())
            .add(AddMemberRequest::default())
            .await;
        denied(added, words)?;
        let introduced = RaftServiceClient::new(open)
            .introduce(IntroduceRequest {})
            .await;
        ensure!(introduced.is_ok(), "joining takes this: {introduced:?}");
        Ok(())
    })?;
    ensure!(cluster.metric(leader, "paasta_calls_refused_total{cause=\"not-member\"}")? >= 3.0);
    Ok(())
}

/// A removed coordinator keeps its certificate, and nothing of what it allowed.
pub(crate) fn removed(cluster: &mut Secure, gone: usize, leader: usize) -> Result<()> {
    let certificate = format!("coordinator/{gone}");
    let runtime = Runtime::new()?;
    let before = runtime.block_on(passed_on(cluster, &certificate, leader))?;
    ensure!(before.is_ok(), "a member passes calls on: {before:?}");
    let id = gone.to_string();
    cluster.succeed(
        "admin/alice",
        leader,
        &["coordinator", "remove", &id, "--yes"],
    )?;
    let revoked = cluster.succeed("admin/alice", leader, &["auth", "revoked"])?;
    ensure!(revoked.contains(&certificate), "{revoked}");
    for at in (1..=3).filter(|at| *at != gone) {
        eventually(LIMIT, "the certificate has no rights", || {
            let answer = runtime.block_on(passed_on(cluster, &certificate, at))?;
            denied(answer, &format!("{certificate} is revoked"))
        })?;
        let introduced = runtime.block_on(async {
            let open = channel(cluster, &certificate, at).await?;
            anyhow::Ok(
                RaftServiceClient::new(open)
                    .introduce(IntroduceRequest {})
                    .await,
            )
        })?;
        denied(introduced, "is revoked")?;
    }
    cluster.stop(gone)
}

/// A stream that is open ends, and the next call is refused with the reason.
pub(crate) fn open_stream(cluster: &Secure, leader: usize) -> Result<()> {
    for at in 1..=3 {
        let runtime = Runtime::new()?;
        let mut events = runtime.block_on(async {
            let mut admin = AdminClient::new(channel(cluster, "reader/bob", at).await?);
            anyhow::Ok(admin.follow(FollowRequest::default()).await?.into_inner())
        })?;
        let words = [
            "auth",
            "revoke",
            "reader/bob",
            "--reason",
            "left the company",
        ];
        cluster.succeed("admin/alice", leader, &words)?;
        let began = Instant::now();
        runtime.block_on(async {
            let ended = async { while let Ok(Some(_)) = events.message().await {} };
            timeout(ENDS, ended).await.context("the stream goes on")
        })?;
        ensure!(began.elapsed() < ENDS);
        let said = cluster.paasta("reader/bob", Some(at), &["cluster", "node"])?;
        ensure!(
            said.code != Some(0) && said.stdout.contains("left the company")
                || said.stderr.contains("left the company"),
            "{said:?}"
        );
        // New certificates have rights again, this one has none; then it has.
        cluster.succeed("admin/alice", leader, &["auth", "restore", "reader/bob"])?;
        let said = cluster.paasta("reader/bob", Some(at), &["list"])?;
        ensure!(said.stderr.contains("reader/bob is revoked"), "{said:?}");
        let restore = ["auth", "restore", "reader/bob", "--also-before"];
        cluster.succeed("admin/alice", leader, &restore)?;
        eventually(LIMIT, "the reader reads", || {
            cluster.succeed("reader/bob", at, &["list"]).map(drop)
        })?;
    }
    let said = cluster.paasta(
        "admin/alice",
        Some(leader),
        &["auth", "revoke", "admin/alice"],
    )?;
    ensure!(said.stdout.contains("of this command itself"), "{said:?}");
    let id = format!("coordinator/{leader}");
    let said = cluster.paasta("admin/alice", Some(leader), &["auth", "revoke", &id])?;
    ensure!(
        said.stdout.contains("leads: hand leadership over first"),
        "{said:?}"
    );
    Ok(())
}

/// The agent of a host that is revoked says so and comes back when it is restored.
pub(crate) fn agent(cluster: &Secure, leader: usize) -> Result<()> {
    cluster.succeed("admin/alice", leader, &["auth", "revoke", "agent/h1"])?;
    cluster.logged("agent-h1", "the identity of this host is revoked", ENDS)?;
    eventually(LIMIT, "it has no session", || {
        match cluster.connected("h1", Duration::from_millis(1)) {
            Ok(()) => bail!("it has one"),
            Err(_) => Ok(()),
        }
    })?;
    let restore = ["auth", "restore", "agent/h1", "--also-before"];
    cluster.succeed("admin/alice", leader, &restore)?;
    cluster.connected("h1", 2 * LIMIT)
}

/// What is wrong with the way to a coordinator is said in words, by `paasta` and by coordinators.
pub(crate) fn words(cluster: &Secure, leader: usize) -> Result<()> {
    let plain = cluster.operator(Some(leader)).paasta(&["list"])?;
    ensure!(
        plain.code != Some(0) && plain.stderr.contains("speaks TLS"),
        "{plain:?}"
    );
    let http = format!("9=127.0.0.1:{}", cluster.http_port(leader));
    let said = cluster.paasta("admin/alice", Some(leader), &["coordinator", "add", &http])?;
    let all = format!("{}{}", said.stdout, said.stderr);
    ensure!(
        said.code != Some(0) && all.contains("does not speak TLS"),
        "{said:?}"
    );
    let own = cluster.succeed("admin/alice", leader, &["auth", "certificate"])?;
    for part in [
        "paasta://demo/admin/alice",
        "paasta demo CA",
        "certificate.pem",
    ] {
        ensure!(own.contains(part), "{own}");
    }
    Ok(())
}
