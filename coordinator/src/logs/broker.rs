//! Questions to hosts and their answers, over the sessions that there are. A question never waits
//! for a host that is away, and an answer never for its reader: hosts send only what they were
//! given room for.

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::id::HostId;
use paasta_proto::v1::{self, coordinator_message::Kind};
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// Answers of one host that may be under way to one reader.
pub const WINDOW: u32 = 4;
/// Messages that wait for a session, at most.
const OUTBOX_MAX: usize = 512;

/// The sessions and the questions. Clones are the same.
#[derive(Clone, Default)]
pub struct LogBroker {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    sessions: BTreeMap<HostId, Session>,
    questions: BTreeMap<u64, Waiting>,
}

struct Session {
    number: u64,
    to_agent: mpsc::Sender<Kind>,
}

struct Waiting {
    host: HostId,
    session: u64,
    answers: mpsc::Sender<v1::LogAnswer>,
}

/// One question to one host. Dropped, it is called off.
pub struct Question {
    broker: LogBroker,
    id: u64,
    /// Weak, so that a session that has ended is seen to have ended.
    to_agent: mpsc::WeakSender<Kind>,
    answers: mpsc::Receiver<v1::LogAnswer>,
    /// Room that the host was not told of yet.
    owed: u32,
}

impl LogBroker {
    /// A session begins whose agent answers questions: what is to be sent to it comes out here.
    pub fn connect(&self, host: &HostId, number: u64) -> mpsc::Receiver<Kind> {
        let (to_agent, messages) = mpsc::channel(OUTBOX_MAX);
        let mut inner = self.inner.lock();
        let session = Session { number, to_agent };
        if let Some(old) = inner.sessions.insert(host.clone(), session) {
            inner.end(host, old.number);
        }
        messages
    }

    /// A session has ended, and with it what it was asked.
    pub fn disconnect(&self, host: &HostId, number: u64) {
        let mut inner = self.inner.lock();
        let current = inner.sessions.get(host);
        if current.is_some_and(|session| session.number == number) {
            inner.sessions.remove(host);
        }
        inner.end(host, number);
    }

    /// The hosts that can be asked now.
    pub fn hosts(&self) -> Vec<HostId> {
        self.inner.lock().sessions.keys().cloned().collect()
    }

    /// Asks a host; none when it is away.
    pub fn ask(&self, host: &HostId, query: v1::LogQuery) -> Option<Question> {
        let mut inner = self.inner.lock();
        let session = inner.sessions.get(host)?;
        let (number, to_agent) = (session.number, session.to_agent.clone());
        inner.last += 1;
        let id = inner.last;
        let query = v1::LogQuery {
            id,
            answers: WINDOW,
            ..query
        };
        // A session that does not take its messages is as good as away.
        to_agent.try_send(Kind::LogQuery(query)).ok()?;
        // One more than there is room for: the last answer needs none.
        let room = usize::try_from(WINDOW).unwrap_or(1) + 1;
        let (answers, received) = mpsc::channel(room);
        let waiting = Waiting {
            host: host.clone(),
            session: number,
            answers,
        };
        inner.questions.insert(id, waiting);
        drop(inner);
        Some(Question {
            broker: self.clone(),
            id,
            to_agent: to_agent.downgrade(),
            answers: received,
            owed: 0,
        })
    }

    /// An answer came in over a session. One that nobody waits for any more is dropped.
    pub fn answer(&self, host: &HostId, session: u64, answer: v1::LogAnswer) {
        let mut inner = self.inner.lock();
        let id = answer.id;
        let Some(waiting) = inner.questions.get(&id) else {
            return;
        };
        if waiting.host != *host || waiting.session != session {
            return;
        }
        let ended = answer.ended;
        // More than it had room for: what a host loses so is its own fault, and ends it.
        let taken = waiting.answers.try_send(answer).is_ok();
        if ended || !taken {
            inner.questions.remove(&id);
        }
    }
}

impl Inner {
    fn end(&mut self, host: &HostId, number: u64) {
        self.questions
            .retain(|_, waiting| waiting.host != *host || waiting.session != number);
    }
}

impl Question {
    /// The next answer; none when the session has ended before its time. Taking one makes room for
    /// the next.
    pub async fn next(&mut self) -> Option<v1::LogAnswer> {
        let answer = self.answers.recv().await?;
        if !answer.ended {
            self.owed += 1;
            let more = v1::LogMore {
                id: self.id,
                answers: self.owed,
            };
            // A full outbox is tried again with the next answer.
            if self.tell(Kind::LogMore(more)) {
                self.owed = 0;
            }
        }
        Some(answer)
    }

    /// Whether there is still a session that takes the message.
    fn tell(&self, message: Kind) -> bool {
        let to_agent = self.to_agent.upgrade();
        to_agent.is_some_and(|to_agent| to_agent.try_send(message).is_ok())
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let known = self.broker.inner.lock().questions.remove(&self.id);
        if known.is_some() {
            let cancel = v1::LogCancel { id: self.id };
            // A full outbox: the answers that come will have nobody to go to.
            self.tell(Kind::LogCancel(cancel));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: u64, ended: bool) -> v1::LogAnswer {
        v1::LogAnswer {
            id,
            ended,
            ..v1::LogAnswer::default()
        }
    }

    fn asked(messages: &mut mpsc::Receiver<Kind>) -> u64 {
        match messages.try_recv() {
            Ok(Kind::LogQuery(query)) => query.id,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_question_is_answered_once_per_room_and_called_off_when_dropped() {
        let broker = LogBroker::default();
        let host: HostId = "h1".parse().unwrap();
        assert!(broker.ask(&host, v1::LogQuery::default()).is_none());
        let mut messages = broker.connect(&host, 1);
        let mut question = broker.ask(&host, v1::LogQuery::default()).unwrap();
        let id = asked(&mut messages);
        broker.answer(&host, 1, answer(id, false));
        broker.answer(&host, 7, answer(id, false));
        broker.answer(&host, 1, answer(99, false));
        assert_eq!(question.next().await, Some(answer(id, false)));
        let more = messages.try_recv();
        assert!(matches!(more, Ok(Kind::LogMore(more)) if more.answers == 1));
        drop(question);
        assert!(matches!(messages.try_recv(), Ok(Kind::LogCancel(_))));
        broker.answer(&host, 1, answer(id, true));
    }

    #[tokio::test]
    async fn what_a_session_was_asked_ends_with_it() {
        let broker = LogBroker::default();
        let host: HostId = "h1".parse().unwrap();
        let mut first = broker.connect(&host, 1);
        let mut question = broker.ask(&host, v1::LogQuery::default()).unwrap();
        let _second = broker.connect(&host, 2);
        assert_eq!(question.next().await, None);
        assert!(first.recv().await.is_some() && first.recv().await.is_none());
        broker.disconnect(&host, 1);
        assert_eq!(broker.hosts().len(), 1, "a newer session is there");
        let mut again = broker.ask(&host, v1::LogQuery::default()).unwrap();
        broker.disconnect(&host, 2);
        assert_eq!(again.next().await, None);
        assert!(broker.hosts().is_empty());
    }

    #[tokio::test]
    async fn a_host_that_sends_more_than_it_may_is_cut_off() {
        let broker = LogBroker::default();
        let host: HostId = "h1".parse().unwrap();
        let mut messages = broker.connect(&host, 1);
        let mut question = broker.ask(&host, v1::LogQuery::default()).unwrap();
        let id = asked(&mut messages);
        for _ in 0..WINDOW + 5 {
            broker.answer(&host, 1, answer(id, false));
        }
        for _ in 0..=WINDOW {
            assert!(question.next().await.is_some());
        }
        assert_eq!(question.next().await, None);
    }
}
