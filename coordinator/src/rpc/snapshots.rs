//! Saving the replicated state: the leader's copy, streamed while it is written, so that a state of
//! any size costs a bounded amount of memory here. Only one is made at a time.

use std::{
    io::{self, Write},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use paasta_process::{
    clock::Clock,
    saved::{Counts, Head, Writer},
};
use paasta_proto::{
    v1::{
        SaveSnapshotRequest, SnapshotPart, snapshots_client::SnapshotsClient,
        snapshots_server::Snapshots,
    },
    worker::off_worker,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, transport::Channel};

use super::{
    gate::{Gate, Route},
    peers::forwarded,
    status::RpcError,
};
use crate::{
    codec,
    machine::ClusterMachine,
    raft::{Consensus, RaftStatus},
};
use paasta_coordinator_core::state::ClusterState;

/// Bytes of the file in one message.
const PART_BYTES: usize = 256 << 10;
/// Messages that wait for a slow receiver, at most.
const PARTS_WAITING: usize = 8;
/// How long a receiver may take for the next message before it counts as gone.
const PART_WAIT: Duration = Duration::from_secs(30);

type Parts = mpsc::Sender<Result<SnapshotPart, Status>>;

/// The service.
pub struct SnapshotsService {
    gate: Gate,
    consensus: Consensus,
    machine: ClusterMachine,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
    turn: Arc<Semaphore>,
}

impl SnapshotsService {
    /// The service over this coordinator's state.
    pub fn new(
        gate: Gate,
        consensus: Consensus,
        machine: ClusterMachine,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            gate,
            consensus,
            machine,
            clock,
            shutdown,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    fn save_here(&self, out: Parts) -> Result<(), RpcError> {
        let turn = Arc::clone(&self.turn).try_acquire_owned();
        let turn = turn.map_err(|_| RpcError::Busy {
            what: "another snapshot is being saved",
        })?;
        let state = off_worker(|| self.machine.read().clone());
        let head = self.head(&state, &self.consensus.status())?;
        let (parts, written) = mpsc::channel(PARTS_WAITING);
        let writing = tokio::task::spawn_blocking(move || write(&head, &state, parts, turn));
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            let pumped = tokio::select! {
                biased;
                () = shutdown.cancelled() => Err(RpcError::Stopping),
                pumped = pump(written, &out) => pumped,
            };
            // The writer ends when its parts are taken, or when nobody takes them any more.
            let ended = writing
                .await
                .map_err(io::Error::other)
                .and_then(|done| done);
            let failed = match (pumped, ended) {
                (Err(error), _) => error,
                (Ok(()), Err(source)) => RpcError::Save { source },
                (Ok(()), Ok(())) => return,
            };
            // A receiver that is gone needs no reason.
            let _ = out.try_send(Err(failed.into()));
        });
        Ok(())
    }

    fn head(&self, state: &ClusterState, status: &RaftStatus) -> Result<Head, RpcError> {
        let cluster = state.cluster().ok_or(RpcError::Uninitialized)?;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Ok(Head {
            cluster_id: cluster.id.clone(),
            cluster: cluster.name.to_string(),
            epoch: cluster.epoch,
            index: state.last_index(),
            term: status.term,
            saved_at_ms: self.clock.now().0,
            saved_by: status.node_id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            coordinators: status.voters.clone(),
            counts: Counts {
                instances: count(state.instances().len()),
                apps: count(state.apps().len()),
                hosts: count(state.hosts().len()),
                replicas: count(state.replica_count()),
            },
        })
    }

    /// Passes the leader's parts on.
    async fn relay(&self, leader: Channel, out: Parts) -> Result<(), Status> {
        let request = forwarded(Request::new(SaveSnapshotRequest {}));
        let mut parts = SnapshotsClient::new(leader)
            .save(request)
            .await?
            .into_inner();
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    biased;
                    () = shutdown.cancelled() => Some(Err(RpcError::Stopping.into())),
                    next = timeout(PART_WAIT, parts.next()) => match next {
                        Ok(next) => next,
                        Err(_) => Some(Err(RpcError::NoLeader.into())),
                    },
                };
                let Some(next) = next else { return };
                let last = next.is_err();
                let sent = timeout(PART_WAIT, out.send(next)).await;
                if last || !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
        });
        Ok(())
    }
}

#[tonic::async_trait]
impl Snapshots for SnapshotsService {
    type SaveStream = Pin<Box<dyn Stream<Item = Result<SnapshotPart, Status>> + Send>>;

    async fn save(
        &self,
        request: Request<SaveSnapshotRequest>,
    ) -> Result<Response<Self::SaveStream>, Status> {
        let (out, parts) = mpsc::channel(PARTS_WAITING);
        match self.gate.route(&request, false).await? {
            Route::Here => self.save_here(out)?,
            Route::Leader(leader) => self.relay(leader, out).await?,
        }
        Ok(Response::new(Box::pin(ReceiverStream::new(parts))))
    }
}

/// Hands parts on, as fast as they are taken.
async fn pump(mut written: mpsc::Receiver<Vec<u8>>, out: &Parts) -> Result<(), RpcError> {
    while let Some(data) = written.recv().await {
        let sent = timeout(PART_WAIT, out.send(Ok(SnapshotPart { data }))).await;
        if !matches!(sent, Ok(Ok(()))) {
            return Err(RpcError::Busy {
                what: "the receiver of the snapshot is too slow",
            });
        }
    }
    Ok(())
}

/// Writes the file into parts. Blocks.
fn write(
    head: &Head,
    state: &ClusterState,
    parts: mpsc::Sender<Vec<u8>>,
    _turn: OwnedSemaphorePermit,
) -> io::Result<()> {
    let to = InParts {
        parts,
        part: Vec::with_capacity(PART_BYTES),
    };
    let mut writer = Writer::begin(to, head)?;
    codec::encode_to(&mut writer, state)?;
    writer.end().map(drop)
}

/// Cuts what is written into messages.
struct InParts {
    parts: mpsc::Sender<Vec<u8>>,
    part: Vec<u8>,
}

impl Write for InParts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PART_BYTES - self.part.len();
        let taken = &bytes[..bytes.len().min(room)];
        self.part.extend_from_slice(taken);
        if self.part.len() == PART_BYTES {
            self.flush()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.part.is_empty() {
            return Ok(());
        }
        let part = std::mem::replace(&mut self.part, Vec::with_capacity(PART_BYTES));
        let gone = |_| {
            io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the client does not read the snapshot",
            )
        };
        self.parts.blocking_send(part).map_err(gone)
    }
}
