//! Decides where a call is answered: here, or by the leader. Any coordinator accepts any call.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status, transport::Channel};

use super::{
    looks::{Client, Looks},
    peers::{Peers, client_of, forwarded_for, was_forwarded},
    status::RpcError,
};
use crate::{
    caller::{current, within},
    raft::{Consensus, ProposeError, RaftStatus},
};

/// How long a call waits for an election to end.
const LEADER_WAIT: Duration = Duration::from_secs(3);
/// How long the leader may take to make sure that it still leads.
const LINEARIZE: Duration = Duration::from_secs(3);

/// How long a call that is passed on may take, elections included.
const ANSWER: Duration = Duration::from_secs(8);
/// Before a leader that went away is looked for again.
const RETRY: Duration = Duration::from_millis(50);

/// Where a call is answered.
pub enum Route {
    /// Here: this coordinator leads and has everything acknowledged, or the caller takes stale
    /// answers.
    Here,
    /// By the leader, over this channel.
    Leader(Channel),
}

/// Sends calls where they can be answered.
#[derive(Clone)]
pub struct Gate {
    consensus: Consensus,
    peers: Peers,
    looks: Looks,
}

impl Gate {
    /// A gate over this coordinator's consensus.
    pub fn new(consensus: Consensus, peers: Peers, looks: Looks) -> Self {
        Self {
            consensus,
            peers,
            looks,
        }
    }

    /// Where long looks are taken.
    pub fn looks(&self) -> &Looks {
        &self.looks
    }

    /// Tells of every change of leader, as this coordinator sees it.
    pub fn watch(&self) -> watch::Receiver<RaftStatus> {
        self.consensus.watch()
    }

    /// Where `request` is to be answered; waits a little for an election to end.
    ///
    /// # Errors
    /// [`RpcError::NoLeader`] when none appears in time, [`RpcError::LeaderMoved`] when the call
    /// was passed on to here and this coordinator does not lead.
    pub async fn route<T>(&self, request: &Request<T>, stale: bool) -> Result<Route, RpcError> {
        if stale {
            return Ok(Route::Here);
        }
        let route = self.find(was_forwarded(request));
        match tokio::time::timeout(LEADER_WAIT, route).await {
            Ok(route) => route,
            Err(_) => Err(RpcError::NoLeader),
        }
    }

    /// Answers `request`: by `here` on the leader, or by `there`, passed on to it. A leader that
    /// goes away in the middle is no answer: the next one is asked. `here` must be quick; what
    /// looks at much is for [`Gate::look`].
    ///
    /// # Errors
    /// What the answer is, or that no leader gave one in time.
    pub async fn answer<Q, R, H, T>(
        &self,
        request: Request<Q>,
        stale: bool,
        here: H,
        there: T,
    ) -> Result<Response<R>, Status>
    where
        Q: Clone,
        H: Fn(&Q) -> Result<R, RpcError>,
        T: Fn(Channel, Request<Q>) -> BoxFuture<'static, Result<Response<R>, Status>>,
    {
        let here = |asked: Q, _| std::future::ready(here(&asked));
        self.answer_with(request, stale, here, there).await
    }

    /// As [`Gate::answer`], but `here` is called off the threads of the runtime, when it is the
    /// client's turn.
    ///
    /// # Errors
    /// What the answer is, that no leader gave one in time, or [`RpcError::Busy`].
    pub async fn look<Q, R, H, T>(
        &self,
        request: Request<Q>,
        stale: bool,
        here: H,
        there: T,
    ) -> Result<Response<R>, Status>
    where
        Q: Clone + Send + 'static,
        R: Send + 'static,
        H: Fn(&Q) -> Result<R, RpcError> + Clone + Send + 'static,
        T: Fn(Channel, Request<Q>) -> BoxFuture<'static, Result<Response<R>, Status>>,
    {
        let here = |asked: Q, client| {
            let (here, call) = (here.clone(), current());
            async move {
                let look = move || within(call, || here(&asked));
                self.looks.take(client, look).await?
            }
        };
        self.answer_with(request, stale, here, there).await
    }

    async fn answer_with<Q, R, H, F, T>(
        &self,
        request: Request<Q>,
        stale: bool,
        here: H,
        there: T,
    ) -> Result<Response<R>, Status>
    where
        Q: Clone,
        H: Fn(Q, Client) -> F,
        F: Future<Output = Result<R, RpcError>>,
        T: Fn(Channel, Request<Q>) -> BoxFuture<'static, Result<Response<R>, Status>>,
    {
        let deadline = tokio::time::Instant::now() + ANSWER;
        let client = client_of(&request);
        loop {
            let asked = request.get_ref().clone();
            let leader = match self.route(&request, stale).await? {
                Route::Here => return Ok(Response::new(here(asked, client).await?)),
                Route::Leader(leader) => leader,
            };
            let passed_on = forwarded_for(client, Request::new(asked));
            let answer = tokio::time::timeout_at(deadline, there(leader, passed_on)).await;
            match answer {
                Err(_) => return Err(RpcError::NoLeader.into()),
                Ok(Err(status)) if is_away(&status) => tokio::time::sleep(RETRY).await,
                Ok(answer) => return answer,
            }
        }
    }

    /// As [`Gate::answer`] for calls that change something or wait: `here` is a future.
    ///
    /// # Errors
    /// What the answer is, or that no leader gave one in time. A change may have been made all the
    /// same: a client must be able to repeat it without harm.
    pub async fn act<Q, R, H, F, T>(
        &self,
        request: Request<Q>,
        here: H,
        there: T,
    ) -> Result<Response<R>, Status>
    where
        Q: Clone,
        H: Fn(Q) -> F,
        F: Future<Output = Result<R, RpcError>>,
        T: Fn(Channel, Request<Q>) -> BoxFuture<'static, Result<Response<R>, Status>>,
    {
        let deadline = tokio::time::Instant::now() + ANSWER;
        let client = client_of(&request);
        loop {
            let asked = request.get_ref().clone();
            let answer = match self.route(&request, false).await? {
                Route::Here => tokio::time::timeout_at(deadline, here(asked))
                    .await
                    .map(|answer| answer.map(Response::new).map_err(Into::into)),
                Route::Leader(leader) => {
                    let passed_on = forwarded_for(client, Request::new(asked));
                    tokio::time::timeout_at(deadline, there(leader, passed_on)).await
                }
            };
            match answer {
                Err(_) => return Err(RpcError::NoLeader.into()),
                Ok(Err(status)) if is_away(&status) && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(RETRY).await;
                }
                Ok(answer) => return answer,
            }
        }
    }

    async fn find(&self, forwarded: bool) -> Result<Route, RpcError> {
        let mut status = self.consensus.watch();
        loop {
            let now = status.borrow_and_update().clone();
            if now.is_uninitialized() {
                return Err(RpcError::Uninitialized);
            }
            if now.is_leader() {
                match self.consensus.linearize(LINEARIZE).await {
                    Ok(()) => return Ok(Route::Here),
                    Err(ProposeError::NotLeader { .. }) => {}
                    Err(_) => return Err(RpcError::NoLeader),
                }
            } else if forwarded {
                return Err(RpcError::LeaderMoved);
            } else if let Some(leader) = now.leader {
                return Ok(Route::Leader(self.peers.channel(&leader)?));
            }
            if status.changed().await.is_err() {
                return Err(RpcError::Stopping);
            }
        }
    }
}

/// Whether the one that was asked is not there, or does not lead any more. A connection that broke
/// in the middle of a call has no code of its own, only its cause.
fn is_away(status: &Status) -> bool {
    let broken = std::error::Error::source(status)
        .is_some_and(|source| source.is::<tonic::transport::Error>());
    status.code() == Code::Unavailable || broken
}
