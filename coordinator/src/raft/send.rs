//! A snapshot on its way out: the file as it is, in pieces that fit any message limit, read only
//! as fast as the other side takes them.

use std::io;

use futures_util::{Stream, StreamExt, stream};
use paasta_proto::v1::{RaftPayload, SnapshotChunk, raft_service_client::RaftServiceClient};
use tokio::sync::oneshot;
use tonic::{Status, transport::Channel};

use crate::store::{IoMode, SnapshotFile};

/// Bytes of the file in one message.
pub(super) const CHUNK_BYTES: usize = 256 << 10;

/// Sends the file and returns the answer.
pub(super) async fn snapshot(
    mut client: RaftServiceClient<Channel>,
    head: RaftPayload,
    file: SnapshotFile,
    io: IoMode,
) -> Result<RaftPayload, Status> {
    let (broken, reading) = oneshot::channel();
    let chunks = chunks(head, file, io, broken);
    let mut sending = std::pin::pin!(client.install_snapshot(chunks));
    let answer = tokio::select! {
        biased;
        Ok(error) = reading => {
            return Err(Status::data_loss(format!("cannot read the snapshot: {error}")));
        }
        answer = &mut sending => answer,
    };
    Ok(answer?.into_inner())
}

/// The messages. If the file cannot be read, the stream never ends by itself, so that a part is
/// not taken for the whole; `broken` tells the caller to give up.
fn chunks(
    head: RaftPayload,
    file: SnapshotFile,
    io: IoMode,
    broken: oneshot::Sender<io::Error>,
) -> impl Stream<Item = SnapshotChunk> + Send + 'static {
    let total_bytes = file.total_bytes();
    let first = SnapshotChunk {
        head: Some(head),
        data: Vec::new(),
        total_bytes,
    };
    let rest = stream::unfold(
        (file, 0, broken),
        move |(file, offset, broken)| async move {
            if offset >= total_bytes {
                return None;
            }
            let reader = file.clone();
            match io.run(move || read_chunk(&reader, offset)).await {
                Ok(data) => {
                    let next = offset + data.len() as u64;
                    let chunk = SnapshotChunk {
                        head: None,
                        data,
                        total_bytes: 0,
                    };
                    Some((chunk, (file, next, broken)))
                }
                Err(error) => {
                    // The receiver is gone only when the caller gave up already.
                    let _ = broken.send(error);
                    std::future::pending().await
                }
            }
        },
    );
    stream::once(async move { first }).chain(rest)
}

fn read_chunk(file: &SnapshotFile, offset: u64) -> io::Result<Vec<u8>> {
    let mut data = vec![0; CHUNK_BYTES];
    match file.read_at(&mut data, offset)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        bytes => {
            data.truncate(bytes);
            Ok(data)
        }
    }
}
