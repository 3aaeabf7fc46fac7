//! Appends on their way in: a stream of them, taken in order, each answered when it is on disk.
//! What is wrong with one ends the stream, and the caller is told why.

use std::sync::Arc;

use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use openraft::raft::{AppendEntriesRequest, StreamAppendError};
use paasta_proto::v1::RaftPayload;
use parking_lot::Mutex;
use tonic::{Status, Streaming};

use super::{
    codec,
    service::{RaftRpc, stopped, unreadable},
    types::TypeConfig,
};
use crate::caller::Caller;

/// The answers of a follower.
pub(super) type Answers = BoxStream<'static, Result<RaftPayload, Status>>;

/// Why the stream ends before the caller ends it.
type End = Arc<Mutex<Option<Status>>>;

/// Answers the messages until they end or this node hangs up.
pub(super) fn follow(
    rpc: RaftRpc,
    caller: Option<Caller>,
    messages: Streaming<RaftPayload>,
) -> Answers {
    let own = rpc.identity.store().to_string();
    let (end, closing) = (End::default(), rpc.closing.clone());
    let requests = requests(rpc.clone(), caller, messages, Arc::clone(&end));
    let answers = rpc.raft.stream_append(requests);
    let answers = answers.map(move |answer| {
        let answer = answer.map_err(|fatal| stopped(&fatal))?;
        // A leader that hears of a later one is none.
        if !matches!(answer, Err(StreamAppendError::HigherVote(_))) {
            rpc.lease.heard.note();
        }
        let data = codec::encode(&answer).map_err(|error| unreadable(&error))?;
        // Whose stream it is tells whom it is for.
        Ok(RaftPayload {
            data: data.into(),
            from_store: own.clone(),
            ..RaftPayload::default()
        })
    });
    let why = stream::once(async move { end.lock().take() });
    let why = why.filter_map(|why| async move { why.map(Err) });
    answers
        .chain(why)
        .take_until(closing.cancelled_owned())
        .boxed()
}

/// The messages, read and admitted.
fn requests(
    rpc: RaftRpc,
    caller: Option<Caller>,
    messages: Streaming<RaftPayload>,
    end: End,
) -> impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static {
    stream::unfold(
        (rpc, caller, messages, end),
        |(rpc, caller, mut messages, end)| async move {
            let request = async {
                let Some(message) = messages.message().await? else {
                    return Ok(None);
                };
                rpc.admit(caller.as_ref(), &message).await?;
                let request: AppendEntriesRequest<TypeConfig> =
                    codec::decode(&message.data).map_err(|error| unreadable(&error))?;
                rpc.identity.check_claims(message.from_node, &request)?;
                rpc.identity.roster.accepted(message.from_node);
                Ok::<_, Status>(Some(request))
            };
            match request.await {
                Ok(request) => request.map(|request| (request, (rpc, caller, messages, end))),
                Err(status) => {
                    *end.lock() = Some(status);
                    None
                }
            }
        },
    )
}
