//! Proposing commands: words in, outcome out. Encoding and decoding of what goes into the log is
//! here and in [`crate::machine`] only.

use std::time::Duration;

use paasta_common::time::Timestamp;
use paasta_coordinator_core::{
    space::Level,
    state::{
        actor::Actor,
        command::{Command, Envelope},
        outcome::Outcome,
    },
};
use paasta_process::clock::Clock;

use crate::{
    codec,
    metrics::Metrics,
    raft::{Consensus, ProposeError},
    space::Rooms,
};
use std::sync::Arc;

/// How long a proposal may take before its outcome counts as unknown.
pub const PROPOSAL_DEADLINE: Duration = Duration::from_secs(5);

/// Why a proposal has no outcome.
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// This coordinator does not lead.
    #[error("this coordinator does not lead; the leader is {}", leader.as_deref().unwrap_or("not known"))]
    NotLeader {
        /// The leader's address, when known.
        leader: Option<String>,
    },
    /// There is no quorum, or the coordinator stops.
    #[error("the cluster takes no writes now: {reason}")]
    Unavailable {
        /// What consensus says.
        reason: String,
    },
    /// The coordinators are short of room.
    #[error(
        "refused: {}; make room in the data directories of the coordinators that `paasta metastatus -v` names (or give them larger ones): it goes on by itself then. Removing hosts, instances and coordinators, emergency stops and `paasta snapshot` still work",
        match level {
            Level::Last => "the disks of the coordinators are nearly full, and only what mends the cluster is taken",
            _ => "the disks of the coordinators have their reserve left only, and new versions and configurations are not taken",
        }
    )]
    NoSpace {
        /// How short.
        level: Level,
    },
    /// The deadline passed; the command may still be applied.
    #[error("the write was not acknowledged within {} s; it may still take effect, repeating it is safe", PROPOSAL_DEADLINE.as_secs())]
    Unknown {},
    /// The outcome is not readable: the coordinators run versions too far apart.
    #[error("the outcome cannot be read; bring all coordinators to one version")]
    Undecodable {
        /// The decoder's words.
        #[source]
        source: codec::CodecError,
    },
}

/// Who asked for a command, and by which request.
#[derive(Debug, Clone)]
pub struct AskedBy {
    /// Chosen by the client: a repetition has the same one. At most 128 bytes.
    pub request_id: String,
    /// The author, as events name it.
    pub by: Actor,
}

/// Proposes commands in the name of this coordinator.
#[derive(Clone)]
pub struct Proposer {
    consensus: Consensus,
    clock: Arc<dyn Clock>,
    name: Arc<str>,
    metrics: Metrics,
    rooms: Option<Rooms>,
}

impl Proposer {
    /// A proposer that signs its commands with `name`.
    pub fn new(consensus: Consensus, clock: Arc<dyn Clock>, name: &str) -> Self {
        Self {
            consensus,
            clock,
            name: name.into(),
            metrics: Metrics::new(),
            rooms: None,
        }
    }

    /// The same, counting what it proposes.
    #[must_use]
    pub fn counted(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// The same, refusing what there is no room for.
    #[must_use]
    pub fn within(self, rooms: Rooms) -> Self {
        let rooms = Some(rooms);
        Self { rooms, ..self }
    }

    /// The consensus it proposes to.
    pub fn consensus(&self) -> &Consensus {
        &self.consensus
    }

    /// Where it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The time that the next command would carry.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Proposes one command and waits for its outcome.
    ///
    /// # Errors
    /// [`ProposalError`]; after [`ProposalError::Unknown`] the command may still be applied.
    pub async fn propose(&self, command: Command) -> Result<Outcome, ProposalError> {
        let mut outcomes = self.propose_all(vec![command]).await;
        outcomes.pop().unwrap_or(Err(ProposalError::Unknown {}))
    }

    /// Proposes one command in the name of the user who requested it. The same request proposed again
    /// is done once and gets its first outcome.
    ///
    /// # Errors
    /// [`ProposalError`]; after [`ProposalError::Unknown`] the command may still be applied, and
    /// the same request should be made again.
    pub async fn propose_for(
        &self,
        request: AskedBy,
        command: Command,
    ) -> Result<Outcome, ProposalError> {
        let envelope = Envelope {
            request_id: Some(request.request_id),
            at: self.clock.now(),
            by: request.by,
            command,
        };
        let mut outcomes = self.propose_envelopes(vec![envelope]).await;
        outcomes.pop().unwrap_or(Err(ProposalError::Unknown {}))
    }

    /// Proposes commands in order, pipelined; an outcome for each.
    pub async fn propose_all(&self, commands: Vec<Command>) -> Vec<Result<Outcome, ProposalError>> {
        let at = self.clock.now();
        let envelope = |command| Envelope {
            request_id: None,
            at,
            by: Actor::system(&self.name),
            command,
        };
        self.propose_envelopes(commands.into_iter().map(envelope).collect())
            .await
    }

    async fn propose_envelopes(
        &self,
        envelopes: Vec<Envelope>,
    ) -> Vec<Result<Outcome, ProposalError>> {
        let level = self.rooms.as_ref().map_or(Level::Ample, Rooms::gate);
        let mut bytes = Vec::with_capacity(envelopes.len());
        let mut refused = Vec::with_capacity(envelopes.len());
        for envelope in &envelopes {
            let admitted = level.admits(&envelope.command);
            refused.push(!admitted);
            match codec::encode(envelope) {
                Ok(encoded) if admitted => bytes.push(encoded),
                Ok(_) => {}
                Err(source) => return vec![Err(ProposalError::Undecodable { source })],
            }
        }
        let began = tokio::time::Instant::now();
        let results = self.consensus.propose_many(bytes, PROPOSAL_DEADLINE).await;
        let mut results = results.into_iter();
        let outcomes: Vec<_> = refused
            .into_iter()
            .map(|refused| match refused {
                true => Err(ProposalError::NoSpace { level }),
                false => results
                    .next()
                    .map_or(Err(ProposalError::Unknown {}), outcome),
            })
            .collect();
        self.metrics.proposed(&outcomes, began.elapsed());
        outcomes
    }
}

fn outcome(result: Result<Vec<u8>, ProposeError>) -> Result<Outcome, ProposalError> {
    match result {
        Ok(bytes) => codec::decode(&bytes).map_err(|source| ProposalError::Undecodable { source }),
        Err(ProposeError::NotLeader { leader }) => Err(ProposalError::NotLeader {
            leader: leader.map(|leader| leader.address),
        }),
        Err(ProposeError::TimedOut) => Err(ProposalError::Unknown {}),
        Err(other) => Err(ProposalError::Unavailable {
            reason: other.to_string(),
        }),
    }
}
