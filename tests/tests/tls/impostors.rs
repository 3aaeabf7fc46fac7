//! Callers without a certificate, and callers that claim another identity than they have.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use paasta_identity::connect::Expected;
use paasta_proto::v1::{
    AgentMessage, Asker, DrainHostRequest, Hello, Host, RaftPayload, Resources, agent_message,
    agents_client::AgentsClient, operate_client::OperateClient,
    raft_service_client::RaftServiceClient,
};
use paasta_tests::run::eventually;
use tokio::runtime::Runtime;
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};

use crate::cluster::Secure;

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A channel with the certificate of `ROLE/NAME`.
pub(crate) async fn channel(cluster: &Secure, identity: &str, id: usize) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", cluster.address(id)))?;
    let connector = cluster.tls(identity)?.connector(Expected::Any);
    Ok(endpoint
        .timeout(LIMIT)
        .connect_with_connector(connector)
        .await?)
}

pub(crate) fn denied<T: std::fmt::Debug>(answer: Result<T, Status>, words: &str) -> Result<()> {
    match answer {
        Err(status)
            if status.code() == Code::PermissionDenied && status.message().contains(words) =>
        {
            Ok(())
        }
        other => bail!("{other:?} instead of {words:?}"),
    }
}

/// Plain text, and TLS without a certificate.
pub(crate) fn no_certificate(cluster: &Secure) -> Result<()> {
    for id in 1..=3 {
        let counted = |reason: &str| {
            cluster.metric(
                id,
                &format!("paasta_tls_handshakes_failed_total{{reason=\"{reason}\"}}"),
            )
        };
        let (plain, without) = (counted("not-tls")?, counted("no-certificate")?);
        let said = cluster.operator(Some(id)).paasta(&["cluster", "node"])?;
        ensure!(said.code != Some(0), "{said:?}");
        ensure!(counted("not-tls")? > plain, "plain text is not counted");
        cluster.served(id)?;
        eventually(LIMIT, "a stranger is counted", || {
            ensure!(counted("no-certificate")? > without);
            Ok(())
        })?;
    }
    Ok(())
}

/// The certificate of h1 in the name of h2, at the leader and by way of another coordinator.
pub(crate) fn lying_agent(cluster: &Secure, leader: usize, follower: usize) -> Result<()> {
    let hello = |host: &str| AgentMessage {
        kind: Some(agent_message::Kind::Hello(Hello {
            host: Some(Host {
                id: host.to_owned(),
                address: "10.0.0.9".to_owned(),
                pool: "default".to_owned(),
                capacity: Some(Resources::default()),
                ..Host::default()
            }),
            boot_id: "boot".to_owned(),
            ..Hello::default()
        })),
    };
    let say = |id: usize, identity: &'static str| async move {
        let mut agents = AgentsClient::new(channel(cluster, identity, id).await?);
        let stream = futures_util::stream::iter([hello("h2")]);
        let answer = match agents.session(stream).await {
            Ok(answers) => answers.into_inner().message().await,
            Err(status) => Err(status),
        };
        anyhow::Ok(answer)
    };
    let runtime = Runtime::new()?;
    for id in [leader, follower] {
        let answer = runtime.block_on(say(id, "agent/h1"))?;
        denied(
            answer,
            "session of host h2: its certificate is that of agent/h1",
        )
        .with_context(|| format!("at {id}"))?;
        for role in ["admin/alice", "coordinator/2"] {
            let answer = runtime.block_on(say(id, role))?;
            denied(
                answer,
                "may not call paasta.v1.Agents/Session: that takes the role agent",
            )
            .with_context(|| format!("{role} at {id}"))?;
        }
    }
    Ok(())
}

/// A reader that says that a coordinator passes on the call of an admin.
pub(crate) fn forged_principal(cluster: &Secure) -> Result<()> {
    let drain = || {
        let mut request = Request::new(DrainHostRequest {
            asker: Some(Asker::default()),
            host: "h1".to_owned(),
            ..DrainHostRequest::default()
        });
        let metadata = request.metadata_mut();
        metadata.insert("paasta-forwarded", "1".parse()?);
        metadata.insert("paasta-principal", "paasta://demo/admin/alice".parse()?);
        anyhow::Ok(request)
    };
    let runtime = Runtime::new()?;
    for id in 1..=3 {
        for role in ["reader/bob", "agent/h1"] {
            let answer = runtime.block_on(async {
                let mut operate = OperateClient::new(channel(cluster, role, id).await?);
                anyhow::Ok(operate.drain_host(drain()?).await)
            })?;
            denied(
                answer,
                &format!("{role} may not call paasta.v1.Operate/DrainHost"),
            )?;
        }
    }
    Ok(())
}

/// Messages of consensus by those that are no coordinator, and in the name of another one.
pub(crate) fn forged_sender(cluster: &Secure) -> Result<()> {
    let message = |from: u64| RaftPayload {
        from_node: from,
        to_node: 1,
        cluster_id: "any".to_owned(),
        ..RaftPayload::default()
    };
    let runtime = Runtime::new()?;
    let vote = |role: &'static str, from: u64| async move {
        let mut peer = RaftServiceClient::new(channel(cluster, role, 1).await?);
        anyhow::Ok(peer.vote(message(from)).await)
    };
    for role in [
        "admin/alice",
        "agent/h1",
        "deployer/ci",
        "reader/bob",
        "metrics/m",
    ] {
        let answer = runtime.block_on(vote(role, 2))?;
        denied(
            answer,
            "may not call paasta.v1.RaftService/Vote: that takes the role coordinator",
        )?;
    }
    let words = "comes from coordinator 3, and the certificate is that of coordinator/2";
    denied(runtime.block_on(vote("coordinator/2", 3))?, words)?;
    let append = runtime.block_on(async {
        let mut peer = RaftServiceClient::new(channel(cluster, "coordinator/2", 1).await?);
        let messages = futures_util::stream::iter([message(3)]);
        let answers = peer.append_stream(messages).await?;
        anyhow::Ok(answers.into_inner().message().await)
    })?;
    denied(append, words)?;
    // In its own name it is refused for what it says only: another cluster.
    match runtime.block_on(vote("coordinator/2", 2))? {
        Err(status) if status.code() != Code::PermissionDenied => Ok(()),
        other => bail!("{other:?}"),
    }
}
