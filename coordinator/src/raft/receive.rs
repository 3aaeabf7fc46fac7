//! A snapshot on its way in: one at a time, bounded, written aside until it is whole.

use std::{io, sync::Arc, time::Duration};

use paasta_proto::v1::{RaftPayload, SnapshotChunk};
use tokio::{sync::Semaphore, time::timeout};
use tonic::{Status, Streaming};

use crate::store::{Incoming, IoMode, SnapshotFile, Snapshots};

/// The largest snapshot file that is taken.
const MAX_SNAPSHOT_BYTES: u64 = 4 << 30;

/// How long the sender may take for the next piece.
const CHUNK_WAIT: Duration = Duration::from_secs(10);

/// Takes snapshots in.
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    snapshots: Snapshots,
    io: IoMode,
    turn: Arc<Semaphore>,
}

impl Receiver {
    pub(super) fn new(snapshots: Snapshots, io: IoMode) -> Self {
        Self {
            snapshots,
            io,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Receives a whole file, after `admit` agreed to its head. Returns both.
    pub(super) async fn receive<F>(
        &self,
        mut chunks: Streaming<SnapshotChunk>,
        admit: impl FnOnce(RaftPayload) -> F,
    ) -> Result<(RaftPayload, SnapshotFile), Status>
    where
        F: Future<Output = Result<RaftPayload, Status>>,
    {
        let Ok(_turn) = self.turn.try_acquire() else {
            return Err(Status::resource_exhausted(
                "another snapshot is being received",
            ));
        };
        let first = next(&mut chunks).await?;
        let first = first.ok_or_else(|| Status::invalid_argument("an empty snapshot stream"))?;
        let head = first
            .head
            .ok_or_else(|| Status::invalid_argument("a snapshot has no head"))?;
        let head = admit(head).await?;
        if first.total_bytes > MAX_SNAPSHOT_BYTES {
            return Err(Status::out_of_range(format!(
                "a snapshot of {} bytes is larger than the {MAX_SNAPSHOT_BYTES} this node takes",
                first.total_bytes
            )));
        }
        let (snapshots, bytes) = (self.snapshots.clone(), first.total_bytes);
        let opened = self.io.run(move || snapshots.receive(bytes)).await;
        let mut incoming = opened.map_err(|error| disk(&error))?;
        let mut missing = first.total_bytes;
        while missing > 0 {
            let Some(chunk) = next(&mut chunks).await? else {
                return Err(Status::aborted(format!(
                    "the snapshot ended {missing} bytes early"
                )));
            };
            missing = missing
                .checked_sub(chunk.data.len() as u64)
                .ok_or_else(|| Status::invalid_argument("more bytes than were announced"))?;
            incoming = self.write(incoming, chunk.data).await?;
        }
        let file = self
            .io
            .run(move || incoming.finish())
            .await
            .map_err(|error| disk(&error))?;
        Ok((head, file))
    }

    async fn write(&self, mut incoming: Incoming, data: Vec<u8>) -> Result<Incoming, Status> {
        let write = move || {
            incoming.write(&data)?;
            Ok(incoming)
        };
        self.io.run(write).await.map_err(|error| disk(&error))
    }
}

async fn next(chunks: &mut Streaming<SnapshotChunk>) -> Result<Option<SnapshotChunk>, Status> {
    timeout(CHUNK_WAIT, chunks.message())
        .await
        .unwrap_or_else(|_| {
            Err(Status::deadline_exceeded(
                "the sender of the snapshot is silent",
            ))
        })
}

fn disk(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::InvalidData => Status::data_loss(format!("the snapshot {error}")),
        _ => Status::internal(format!("cannot store the snapshot: {error}")),
    }
}
