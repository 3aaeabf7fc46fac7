//! Proposals and linearizable reads, each with an end: an outcome, a refusal, or "unknown".

use std::{future::Future, time::Duration};

use futures_util::{StreamExt, stream};
use openraft::{
    Instant as _, LinearizerOption, ReadPolicy, ServerState,
    async_runtime::watch::WatchReceiver,
    errors::{
        ClientWriteError, Fatal, ForwardReason, ForwardToLeader, LinearizableReadError, RaftError,
    },
};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    error::ProposeError,
    node::Consensus,
    options::MAX_COMMAND_BYTES,
    status::Peer,
    types::{Command, TypeConfig},
};

/// The most commands handed to the log in one go.
const BATCH: usize = 256;

/// How often those who wait look whether their leader still has a majority.
const QUORUM_POLL: Duration = Duration::from_millis(50);

impl Consensus {
    /// Proposes a command on this node, which must be the leader, and waits until it is applied
    /// here. Returns the machine's outcome.
    ///
    /// # Errors
    /// A [`ProposeError`]; [`ProposeError::outcome_unknown`] tells whether the command may be
    /// applied nevertheless. Ends within `deadline`, and before it if a majority is out of reach.
    pub async fn propose(
        &self,
        command: Vec<u8>,
        deadline: Duration,
    ) -> Result<Vec<u8>, ProposeError> {
        check_size(&command)?;
        let until = Instant::now() + deadline;
        let command = Command(command.into());
        let write = || self.bounded(until, self.raft().client_write(command.clone()));
        let mut written = write().await?.map_err(write_error);
        if matches!(written, Err(ProposeError::NoQuorum)) {
            // Refused, so it can be tried again: a new or a busy leader may just lack an answer.
            self.quorum(until).await?;
            written = write().await?.map_err(write_error);
        }
        Ok(written?.data.0)
    }

    /// Proposes commands in order, without waiting for one before the next, and returns their
    /// results in the same order, all within `deadline`. Each stands for itself: one that was
    /// refused does not hold back those after it.
    pub async fn propose_many(
        &self,
        commands: Vec<Vec<u8>>,
        deadline: Duration,
    ) -> Vec<Result<Vec<u8>, ProposeError>> {
        let until = Instant::now() + deadline;
        if let Err(error) = self.quorum(until).await {
            return commands.iter().map(|_| Err(error.clone())).collect();
        }
        let mut batches = Vec::with_capacity(commands.len().div_ceil(BATCH));
        let mut commands = commands.into_iter().peekable();
        while commands.peek().is_some() {
            let batch: Vec<_> = commands.by_ref().take(BATCH).collect();
            batches.push(self.submit(batch, until).await);
        }
        let mut results = Vec::new();
        for batch in batches {
            results.extend(self.collect(batch, until).await);
        }
        results
    }

    /// Waits until this node's applied state reflects every change that was acknowledged, by
    /// anybody, before the call.
    ///
    /// # Errors
    /// A [`ProposeError`], in particular on a follower.
    pub async fn linearize(&self, deadline: Duration) -> Result<(), ProposeError> {
        self.linearize_until(Instant::now() + deadline).await
    }

    pub(super) async fn linearize_until(&self, until: Instant) -> Result<(), ProposeError> {
        let read = LinearizerOption::from(ReadPolicy::ReadIndex).with_wait_timeout(self.patience());
        match timeout_at(until, self.raft().ensure_linearizable(read)).await {
            Err(_) => Err(ProposeError::TimedOut),
            Ok(read) => read.map(|_| ()).map_err(read_error),
        }
    }

    /// Waits until a majority has answered this leader lately.
    async fn quorum(&self, until: Instant) -> Result<(), ProposeError> {
        let lately = LinearizerOption::new(None, true).with_wait_timeout(self.patience());
        match timeout_at(until, self.raft().get_read_linearizer(lately)).await {
            Err(_) => Err(ProposeError::NoQuorum),
            Ok(answered) => answered.map(|_| ()).map_err(read_error),
        }
    }

    /// Hands one batch to the log.
    async fn submit(&self, commands: Vec<Vec<u8>>, until: Instant) -> Submitted {
        let checks: Vec<_> = commands.iter().map(|command| check_size(command)).collect();
        let fit = commands
            .into_iter()
            .filter(|command| command.len() <= MAX_COMMAND_BYTES);
        let fit: Vec<_> = fit.map(|command| Command(command.into())).collect();
        if fit.is_empty() {
            return Submitted {
                checks,
                answers: Ok(stream::empty().boxed()),
            };
        }
        let written = timeout_at(until, self.raft().client_write_many(fit)).await;
        let answers = match written {
            Err(_) => Err(ProposeError::TimedOut),
            Ok(Err(fatal)) => Err(stopped(fatal)),
            Ok(Ok(answers)) => Ok(answers
                .map(|answer| match answer {
                    Ok(Ok(written)) => Ok(written.response.0),
                    Ok(Err(error)) => Err(write_refusal(error)),
                    Err(fatal) => Err(stopped(fatal)),
                })
                // It ends early when consensus does, and is asked for each command of the batch.
                .fuse()
                .boxed()),
        };
        Submitted { checks, answers }
    }

    /// Waits for the outcomes of one batch.
    async fn collect(
        &self,
        batch: Submitted,
        until: Instant,
    ) -> Vec<Result<Vec<u8>, ProposeError>> {
        let mut answers = batch.answers;
        let mut results = Vec::with_capacity(batch.checks.len());
        for check in batch.checks {
            if let Err(error) = check {
                results.push(Err(error));
                continue;
            }
            let outcome = match &mut answers {
                Err(error) => Err(error.clone()),
                Ok(stream) => match self.bounded(until, stream.next()).await {
                    Ok(Some(outcome)) => outcome,
                    Ok(None) => Err(ProposeError::Stopped),
                    Err(error) => Err(error),
                },
            };
            // Nothing that follows a lost answer in the stream will come in time either.
            if let Err(lost @ (ProposeError::TimedOut | ProposeError::Uncertain { .. })) = &outcome
            {
                answers = Err(lost.clone());
            }
            results.push(outcome);
        }
        results
    }

    /// Waits for something that a majority is needed for.
    async fn bounded<T>(
        &self,
        until: Instant,
        work: impl Future<Output = T>,
    ) -> Result<T, ProposeError> {
        let work = std::pin::pin!(work);
        tokio::select! {
            biased;
            done = timeout_at(until, work) => done.map_err(|_| ProposeError::TimedOut),
            () = self.quorum_lost() => Err(ProposeError::Uncertain {
                why: "the leader lost contact with the majority",
            }),
        }
    }

    /// Returns once this node has been a leader that no majority answers for too long.
    async fn quorum_lost(&self) {
        let mut alone_since = Instant::now();
        loop {
            sleep(QUORUM_POLL).await;
            let metrics = self.raft().metrics().borrow_watched().clone();
            let voters = metrics.membership_config.voter_ids().count();
            if metrics.state != ServerState::Leader || voters < 2 {
                alone_since = Instant::now();
                continue;
            }
            let silence = match metrics.last_quorum_acked {
                Some(acked) => acked.elapsed(),
                None => alone_since.elapsed(),
            };
            if silence > self.patience() {
                return;
            }
        }
    }
}

/// A batch on its way.
struct Submitted {
    /// For each command, whether it was small enough to be handed on.
    checks: Vec<Result<(), ProposeError>>,
    /// The outcomes of those that were.
    answers: Result<stream::BoxStream<'static, Result<Vec<u8>, ProposeError>>, ProposeError>,
}

fn check_size(command: &[u8]) -> Result<(), ProposeError> {
    let (bytes, limit) = (command.len(), MAX_COMMAND_BYTES);
    if bytes > limit {
        Err(ProposeError::TooLarge { bytes, limit })
    } else {
        Ok(())
    }
}

fn write_error(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> ProposeError {
    match error {
        RaftError::APIError(error) => write_refusal(error),
        RaftError::Fatal(fatal) => stopped(fatal),
    }
}

fn write_refusal(error: ClientWriteError<TypeConfig>) -> ProposeError {
    match error {
        ClientWriteError::ForwardToLeader(forward) => refused(forward),
        ClientWriteError::LogEntryDiscarded(_) => ProposeError::Uncertain {
            why: "another coordinator became the leader",
        },
        ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_) => {
            ProposeError::Uncertain {
                why: "the log answered for something else",
            }
        }
    }
}

fn read_error(error: RaftError<TypeConfig, LinearizableReadError<TypeConfig>>) -> ProposeError {
    match error {
        RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => refused(forward),
        RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => ProposeError::NoQuorum,
        RaftError::Fatal(fatal) => stopped(fatal),
    }
}

fn refused(forward: ForwardToLeader<TypeConfig>) -> ProposeError {
    match forward.reason {
        ForwardReason::LeaseExpired => ProposeError::NoQuorum,
        ForwardReason::NotLeader | ForwardReason::LeadershipTransfer => ProposeError::NotLeader {
            leader: peer(forward),
        },
    }
}

/// The leader a refusal names.
pub(super) fn peer(forward: ForwardToLeader<TypeConfig>) -> Option<Peer> {
    let (id, node) = (forward.leader_id?, forward.leader_node?);
    Some(Peer {
        id,
        address: node.address,
    })
}

fn stopped(fatal: Fatal<TypeConfig>) -> ProposeError {
    tracing::error!(error = %fatal, "consensus has ended on this node");
    ProposeError::Stopped
}
