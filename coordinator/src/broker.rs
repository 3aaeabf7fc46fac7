//! Requests to hosts and what comes back, over the sessions that there are. A request never waits
//! for a host that is away, and what comes back never for its reader: hosts send only what they were
//! given room for. Its users are the logs ([`crate::logs::broker`]) and commands in containers
//! ([`crate::exec::broker`]).

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::id::HostId;
use paasta_proto::v1::coordinator_message::Kind;
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// The sessions and the requests, which are answered by messages `M`. Clones are the same.
pub struct Broker<M> {
    inner: Arc<Mutex<Inner<M>>>,
}

struct Inner<M> {
    last: u64,
    sessions: BTreeMap<HostId, Session>,
    requests: BTreeMap<u64, Waiting<M>>,
}

struct Session {
    number: u64,
    to_agent: mpsc::Sender<Kind>,
}

struct Waiting<M> {
    host: HostId,
    session: u64,
    messages: mpsc::Sender<M>,
}

/// The writing half of a request.
pub struct Remote<M> {
    broker: Broker<M>,
    id: u64,
    /// Weak, so that a session that has ended is seen to have ended.
    to_agent: mpsc::WeakSender<Kind>,
}

impl<M> Clone for Broker<M> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<M> Default for Broker<M> {
    fn default() -> Self {
        let inner = Inner {
            last: 0,
            sessions: BTreeMap::new(),
            requests: BTreeMap::new(),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }
}

impl<M> Broker<M> {
    /// A session begins: what is to be sent to its agent comes out here. At most `waiting` messages
    /// wait for it.
    pub fn connect(&self, host: &HostId, number: u64, waiting: usize) -> mpsc::Receiver<Kind> {
        let (to_agent, messages) = mpsc::channel(waiting);
        let mut inner = self.inner.lock();
        let session = Session { number, to_agent };
        if let Some(old) = inner.sessions.insert(host.clone(), session) {
            inner.end(host, old.number);
        }
        messages
    }

    /// A session has ended, and with it its requests.
    pub fn disconnect(&self, host: &HostId, number: u64) {
        let mut inner = self.inner.lock();
        let current = inner.sessions.get(host);
        if current.is_some_and(|session| session.number == number) {
            inner.sessions.remove(host);
        }
        inner.end(host, number);
    }

    /// The hosts that have a session.
    pub fn hosts(&self) -> Vec<HostId> {
        self.inner.lock().sessions.keys().cloned().collect()
    }

    /// Begins a request with the message that `first` makes of its id; none when the host is away,
    /// or takes no messages. At most `room` messages wait for the reader.
    pub fn begin(
        &self,
        host: &HostId,
        room: usize,
        first: impl FnOnce(u64) -> Kind,
    ) -> Option<(Remote<M>, mpsc::Receiver<M>)> {
        let mut inner = self.inner.lock();
        let session = inner.sessions.get(host)?;
        let (number, to_agent) = (session.number, session.to_agent.clone());
        inner.last += 1;
        let id = inner.last;
        to_agent.try_send(first(id)).ok()?;
        let (messages, received) = mpsc::channel(room);
        let waiting = Waiting {
            host: host.clone(),
            session: number,
            messages,
        };
        inner.requests.insert(id, waiting);
        drop(inner);
        let remote = Remote {
            broker: self.clone(),
            id,
            to_agent: to_agent.downgrade(),
        };
        Some((remote, received))
    }

    /// A message of the request `id` came in over a session, perhaps its last one. One that is not
    /// awaited is dropped.
    pub fn take(&self, (host, session): (&HostId, u64), id: u64, message: M, last: bool) {
        let mut inner = self.inner.lock();
        let Some(waiting) = inner.requests.get(&id) else {
            return;
        };
        if waiting.host != *host || waiting.session != session {
            return;
        }
        // More than it had room for: what a host loses so is its own fault, and ends it.
        let taken = waiting.messages.try_send(message).is_ok();
        if last || !taken {
            inner.requests.remove(&id);
        }
    }
}

impl<M> Inner<M> {
    fn end(&mut self, host: &HostId, number: u64) {
        self.requests
            .retain(|_, waiting| waiting.host != *host || waiting.session != number);
    }
}

impl<M> Remote<M> {
    /// The request's id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Sends a message for the request. False when no session takes it any more.
    pub fn send(&self, message: Kind) -> bool {
        let to_agent = self.to_agent.upgrade();
        to_agent.is_some_and(|to_agent| to_agent.try_send(message).is_ok())
    }

    /// Ends the request here. True when its host has not ended it: it is to be sent a cancellation.
    pub fn end(&self) -> bool {
        self.broker.inner.lock().requests.remove(&self.id).is_some()
    }
}
