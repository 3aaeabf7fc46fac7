//! `paasta snapshot save`: the leader's state to a file, which is whole or not there.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use paasta_process::{help::examples, saved::Incoming};
use paasta_proto::v1::{SaveSnapshotRequest, SnapshotPart, snapshots_client::SnapshotsClient};
use tokio::time::timeout;
use tonic::Streaming;

use crate::{
    client::{Coordinators, request},
    cmd::Context,
    exit::Exit,
};

/// How long the next part may take: a state of any size is sent in parts of 256 KiB.
const PART_WAIT: Duration = Duration::from_secs(30);
/// How long all of it may take.
const WHOLE_WAIT: Duration = Duration::from_secs(3600);

/// Save the cluster's state to a file
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta snapshot save /var/backups/paasta.snapshot", "paasta snapshot save /var/backups/paasta.snapshot --timeout 5m"], ""))]
pub struct Args {
    /// Where to; a file that is there is replaced when the new one is whole
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Saves, checks what was written, and prints what it is.
///
/// # Errors
/// No coordinator could send it, the stream broke, or the file cannot be written; whatever was at
/// the path is then as it was.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let parts = open(&mut coordinators).await?;
    let saved = timeout(WHOLE_WAIT, receive(parts, args)).await;
    let saved = saved.context("the state did not arrive within an hour")??;
    super::show(&saved, context)?;
    Ok(Exit::Ok)
}

async fn open(coordinators: &mut Coordinators) -> anyhow::Result<Streaming<SnapshotPart>> {
    let answer = coordinators.call(|channel| {
        let ask = request(SaveSnapshotRequest {}, WHOLE_WAIT);
        async move { SnapshotsClient::new(channel).save(ask).await }
    });
    Ok(answer.await?)
}

async fn receive(
    mut parts: Streaming<SnapshotPart>,
    args: &Args,
) -> anyhow::Result<paasta_process::saved::Saved> {
    let mut incoming = Incoming::begin(&args.file)?;
    loop {
        match timeout(PART_WAIT, parts.message()).await {
            Err(_) => bail!("the coordinator fell silent while it sent the state; try again"),
            Ok(Err(status)) => bail!("the state was not sent whole: {}", status.message()),
            Ok(Ok(None)) => break,
            Ok(Ok(Some(part))) => incoming.write(&part.data)?,
        }
    }
    Ok(incoming.finish()?)
}
