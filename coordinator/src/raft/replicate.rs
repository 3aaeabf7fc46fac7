//! Appends on their way out: all those for one follower on one stream, each sent without waiting
//! for the answer to the one before. Here every request gets its deadline; openraft matches the
//! answers, which come in order.

use std::{collections::VecDeque, future, pin::Pin, sync::Arc, time::Duration};

use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use openraft::{
    RPCTypes,
    errors::{RPCError, Unreachable},
    raft::{AppendEntriesRequest, StreamAppendResult},
};
use paasta_proto::v1::RaftPayload;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tonic::{Status, Streaming};

use super::{
    codec,
    peer::{PeerClient, no_answer, within},
    types::TypeConfig,
};

/// What comes of one request.
pub(super) type Answer = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// What was sent and not answered yet, the oldest first, as answers come in order. Bounded by what
/// the connection takes without being read.
#[derive(Default)]
struct InFlight {
    deadlines: Mutex<VecDeque<Instant>>,
    /// Why no more requests are sent, when that is not the end of them.
    broken: Mutex<Option<RPCError<TypeConfig>>>,
    sent: Notify,
}

impl InFlight {
    fn add(&self, limit: Duration) {
        self.deadlines.lock().push_back(Instant::now() + limit);
        self.sent.notify_one();
    }

    fn answered(&self) {
        self.deadlines.lock().pop_front();
    }

    /// Returns once the oldest request is unanswered at its deadline.
    async fn overdue(&self) {
        loop {
            let oldest = self.deadlines.lock().front().copied();
            match oldest {
                None => self.sent.notified().await,
                Some(at) if at <= Instant::now() => return,
                Some(at) => sleep_until(at).await,
            }
        }
    }
}

/// Opens a stream to the peer, sends the requests as they come, and returns the answers. Opening it
/// may take `limit`, and each answer as well: a follower writes to its disk first. A heartbeat is a
/// stream of one request.
///
/// # Errors
/// If the stream cannot be opened. An answer that is an error is the last one.
pub(super) async fn replicate<S>(
    peer: PeerClient,
    requests: S,
    limit: Duration,
) -> Result<BoxStream<'static, Answer>, RPCError<TypeConfig>>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    let mut client = peer.client()?;
    // openraft holds the first request back for as long as it wants to wait after a failure, so
    // nothing is dialled before there is one.
    let mut requests = requests.peekable();
    if Pin::new(&mut requests).peek().await.is_none() {
        return Ok(stream::empty().boxed());
    }
    let in_flight = Arc::new(InFlight::default());
    let outgoing = outgoing(peer.clone(), requests, limit, Arc::clone(&in_flight));
    let answers = within(limit, client.append_stream(outgoing))
        .await
        .map_err(|status| peer.failed(RPCTypes::AppendEntries, limit, &status))?
        .into_inner();
    let answers = stream::unfold(Some(answers), move |answers| {
        let (peer, in_flight) = (peer.clone(), Arc::clone(&in_flight));
        async move {
            let mut answers = answers?;
            let answer = next(&peer, &mut answers, &in_flight, limit).await?;
            let more = answer.is_ok().then_some(answers);
            Some((answer, more))
        }
    });
    Ok(answers.boxed())
}

fn outgoing<S>(
    peer: PeerClient,
    requests: S,
    limit: Duration,
    in_flight: Arc<InFlight>,
) -> impl Stream<Item = RaftPayload> + Send + 'static
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static,
{
    requests.scan((), move |(), request| {
        let message = codec::encode(&request).map_err(|error| Unreachable::new(&error));
        let message = message.and_then(|data| peer.addressed(data));
        future::ready(match message {
            Ok(message) => {
                in_flight.add(limit);
                Some(message)
            }
            Err(error) => {
                *in_flight.broken.lock() = Some(error.into());
                None
            }
        })
    })
}

/// The next answer; `None` when all were given.
async fn next(
    peer: &PeerClient,
    answers: &mut Streaming<RaftPayload>,
    in_flight: &InFlight,
    limit: Duration,
) -> Option<Answer> {
    let failed = |status: &Status| peer.failed(RPCTypes::AppendEntries, limit, status);
    let answer = tokio::select! {
        biased;
        answer = answers.message() => answer,
        () = in_flight.overdue() => Err(no_answer()),
    };
    match answer {
        Err(status) => Some(Err(failed(&status))),
        Ok(None) => in_flight.broken.lock().take().map(Err),
        Ok(Some(answer)) => {
            in_flight.answered();
            Some(peer.taken(&answer).map_err(Into::into))
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_request_has_its_time_from_when_it_was_sent() {
        const LIMIT: Duration = Duration::from_secs(2);
        let in_flight = InFlight::default();
        let began = Instant::now();
        let none = timeout(LIMIT, in_flight.overdue()).await;
        assert!(none.is_err(), "nothing was sent");
        in_flight.add(LIMIT);
        tokio::time::advance(LIMIT / 2).await;
        in_flight.add(LIMIT);
        in_flight.answered();
        in_flight.overdue().await;
        assert_eq!(began.elapsed(), LIMIT * 5 / 2, "the second one's");
        in_flight.answered();
        let sent_meanwhile = async {
            sleep_until(Instant::now() + LIMIT).await;
            in_flight.add(LIMIT);
            future::pending::<()>().await;
        };
        tokio::select! {
            () = in_flight.overdue() => {}
            () = sent_meanwhile => {}
        }
        assert_eq!(began.elapsed(), LIMIT * 9 / 2);
    }
}
