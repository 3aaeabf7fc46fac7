//! Questions to hosts and their answers, over the sessions that there are. A question never waits
//! for a host that is away, and an answer never for its reader: hosts send only what they were
//! given room for.

use paasta_common::id::HostId;
use paasta_proto::v1::{self, coordinator_message::Kind};
use tokio::sync::mpsc;

use crate::broker::{Broker, Remote};

/// Answers of one host that may be under way to one reader.
pub const WINDOW: u32 = 4;
/// Messages that wait for a session, at most.
const OUTBOX_MAX: usize = 512;

/// The sessions and the questions. Clones are the same.
#[derive(Clone, Default)]
pub struct LogBroker(Broker<v1::LogAnswer>);

/// One question to one host. Dropped, it is called off.
pub struct Question {
    remote: Remote<v1::LogAnswer>,
    answers: mpsc::Receiver<v1::LogAnswer>,
    /// Room that the host was not told of yet.
    owed: u32,
}

impl LogBroker {
    /// A session begins whose agent answers questions: what is to be sent to it comes out here.
    pub fn connect(&self, host: &HostId, number: u64) -> mpsc::Receiver<Kind> {
        self.0.connect(host, number, OUTBOX_MAX)
    }

    /// A session has ended, and with it what it was asked.
    pub fn disconnect(&self, host: &HostId, number: u64) {
        self.0.disconnect(host, number);
    }

    /// The hosts that can be asked now.
    pub fn hosts(&self) -> Vec<HostId> {
        self.0.hosts()
    }

    /// Asks a host; none when it is away, or takes no messages.
    pub fn ask(&self, host: &HostId, query: v1::LogQuery) -> Option<Question> {
        // One more than there is room for: the last answer needs none.
        let room = usize::try_from(WINDOW).unwrap_or(1) + 1;
        let begun = self.0.begin(host, room, |id| {
            Kind::LogQuery(v1::LogQuery {
                id,
                answers: WINDOW,
                ..query
            })
        });
        let (remote, answers) = begun?;
        Some(Question {
            remote,
            answers,
            owed: 0,
        })
    }

    /// An answer came in over a session. One that nobody waits for any more is dropped.
    pub fn answer(&self, host: &HostId, session: u64, answer: v1::LogAnswer) {
        let ended = answer.ended;
        self.0.take((host, session), answer.id, answer, ended);
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
                id: self.remote.id(),
                answers: self.owed,
            };
            // A full outbox is tried again with the next answer.
            if self.remote.send(Kind::LogMore(more)) {
                self.owed = 0;
            }
        }
        Some(answer)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if self.remote.end() {
            let id = self.remote.id();
            // A full outbox: the answers that come are dropped.
            self.remote.send(Kind::LogCancel(v1::LogCancel { id }));
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
