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
    raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult},
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

/// One request on its way.
#[derive(Clone, Copy)]
struct Sent {
    deadline: Instant,
    /// The term of the leader that sent it.
    term: u64,
    /// The last index that the follower had acknowledged in that term before.
    held: Option<u64>,
}

/// What was sent and not answered yet, the oldest first, as answers come in order. Bounded by what
/// the connection takes without being read.
#[derive(Default)]
struct InFlight {
    requests: Mutex<VecDeque<Sent>>,
    /// Why no more requests are sent, when that is not the end of them.
    broken: Mutex<Option<RPCError<TypeConfig>>>,
    sent: Notify,
}

impl InFlight {
    fn add(&self, limit: Duration, term: u64, held: Option<u64>) {
        let deadline = Instant::now() + limit;
        self.requests.lock().push_back(Sent {
            deadline,
            term,
            held,
        });
        self.sent.notify_one();
    }

    fn answered(&self) -> Option<Sent> {
        self.requests.lock().pop_front()
    }

    /// Returns once the oldest request is unanswered at its deadline.
    async fn overdue(&self) {
        loop {
            let oldest = self.requests.lock().front().map(|sent| sent.deadline);
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
                let term = request.vote.leader_id.term;
                in_flight.add(limit, term, peer.identity.roster.held(peer.peer, term));
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
            let sent = in_flight.answered();
            Some(accepted(peer, sent, &answer).map_err(Into::into))
        }
    }
}

/// An answer that can be true: a follower that lacks what it acknowledged to this very leader has
/// an older copy of its data directory. It must not count, and consensus does not expect it.
fn accepted(
    peer: &PeerClient,
    sent: Option<Sent>,
    answer: &RaftPayload,
) -> Result<StreamAppendResult<TypeConfig>, Unreachable<TypeConfig>> {
    let answer: StreamAppendResult<TypeConfig> = peer.taken(answer)?;
    let roster = &peer.identity.roster;
    match (&answer, sent) {
        (Ok(Some(last)), Some(sent)) => roster.holds(peer.peer, sent.term, last.index()),
        (
            Err(StreamAppendError::Conflict(at)),
            Some(Sent {
                held: Some(held), ..
            }),
        ) if at.index() <= held => {
            let words = format!(
                "coordinator {0} acknowledged its log up to {held} and lacks {1} now: its data \
                 directory was replaced by an older copy. It takes no part in the cluster. Remove \
                 it (`paasta coordinator remove {0}`), give the machine a new id \
                 (`paasta-coordinator rejoin`) and add that (`paasta coordinator add`)",
                peer.peer,
                at.index()
            );
            roster.refused(peer.peer, &words);
            return Err(Unreachable::from_string(words));
        }
        _ => {}
    }
    roster.accepted(peer.peer);
    Ok(answer)
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
        in_flight.add(LIMIT, 1, None);
        tokio::time::advance(LIMIT / 2).await;
        in_flight.add(LIMIT, 1, None);
        in_flight.answered();
        in_flight.overdue().await;
        assert_eq!(began.elapsed(), LIMIT * 5 / 2, "the second one's");
        in_flight.answered();
        let sent_meanwhile = async {
            sleep_until(Instant::now() + LIMIT).await;
            in_flight.add(LIMIT, 1, None);
            future::pending::<()>().await;
        };
        tokio::select! {
            () = in_flight.overdue() => {}
            () = sent_meanwhile => {}
        }
        assert_eq!(began.elapsed(), LIMIT * 9 / 2);
    }
}
