//! The only place where an error becomes a gRPC status: the code tells a program what to do, the
//! text tells an operator.

use paasta_coordinator_core::state::outcome::Reason;
use tonic::{Status, body::Body, metadata::MetadataValue};

use crate::{keeper::KeeperError, propose::ProposalError};

/// Marks the refusal of a caller whose identity is revoked, so that its program can say so.
pub const REFUSAL: &str = "paasta-refusal";
/// The value of [`REFUSAL`].
const REVOKED: &str = "revoked";

/// Why a call was not answered.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// No leader is known; an election is going on, or there is no quorum.
    #[error(
        "there is no leader now; if this lasts, see `paasta cluster node`: more than half of the coordinators must run and reach each other"
    )]
    NoLeader,
    /// The node this call was passed on to does not lead any more.
    #[error("leadership moved while the call was passed on; try again")]
    LeaderMoved,
    /// The cluster was not made yet.
    #[error("this coordinator is not part of a cluster yet; run `paasta cluster init` once")]
    Uninitialized,
    /// The request is wrong.
    #[error("{field}: {message}")]
    BadRequest {
        /// The field of the request.
        field: &'static str,
        /// What is wrong and what was expected.
        message: String,
    },
    /// What was asked for does not exist.
    #[error("{what} is not known{hint}")]
    NotFound {
        /// What was asked for.
        what: String,
        /// Close matches, with their introduction, or nothing.
        hint: String,
    },
    /// A proposal failed.
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    /// Consensus itself refused.
    #[error(transparent)]
    Raft(#[from] crate::raft::RaftError),
    /// The coordinators cannot be changed so, or not now.
    #[error(transparent)]
    Member(#[from] crate::raft::MemberError),
    /// Something of which there may be only one is going on.
    #[error("{what}; try again later")]
    Busy {
        /// What.
        what: &'static str,
    },
    /// The state could not be written out.
    #[error("the state cannot be saved")]
    Save {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The audit log could not be read.
    #[error("the audit log of this coordinator cannot be read")]
    Audit {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The leader's address can never work.
    #[error(transparent)]
    Dial(#[from] crate::raft::DialError),
    /// The agent broke the session's protocol.
    #[error("session of host {host}: {message}")]
    Session {
        /// The host, or `?` before it was named.
        host: String,
        /// What was expected.
        message: String,
    },
    /// The agent names another host than its certificate.
    #[error("session of host {host}: {message}")]
    OtherHost {
        /// The host that it names.
        host: String,
        /// Whose certificate it is.
        message: String,
    },
    /// The host id belongs to another machine.
    #[error(transparent)]
    IdTaken(#[from] paasta_coordinator_core::claim::IdTaken),
    /// Another coordinator's answer, passed on as it came.
    #[error("{}", .0.message())]
    Peer(Box<Status>),
    /// The caller's role does not allow it.
    #[error("{principal} may not call {method}: {takes}")]
    Denied {
        /// The identity for which the call is made.
        principal: String,
        /// The method, `SERVICE/METHOD`.
        method: String,
        /// Which roles may, as the rest of the sentence.
        takes: String,
    },
    /// The scope of the caller is another one than when its stream began.
    #[error("the scope of this caller has changed; ask again")]
    ScopeChanged,
    /// A command in a container may not be run.
    #[error("{why}")]
    ExecDenied {
        /// Why not, and what to do.
        why: String,
    },
    /// The host of a command went away.
    #[error(
        "the command is lost: its host went away, or sends more than it may; the agent there kills it"
    )]
    HostLost,
    /// The leader changed while a command ran.
    #[error(
        "the command is lost: the leader changed, and the agent kills what ran by its session; run it again"
    )]
    ExecLost,
    /// The caller of a command takes nothing.
    #[error("the caller has taken nothing of the command's output for 10 min")]
    CallerLost,
    /// No service has the method: the caller is newer, or wrong.
    #[error("this coordinator has no method {method}; is it older than the caller?")]
    NoMethod {
        /// What was called, cut.
        method: String,
    },
    /// The caller has no certificate.
    #[error("this call takes a certificate of the cluster, and the connection has none")]
    NoCertificate,
    /// The caller's certificate has expired since its connection was made.
    #[error("the certificate of {principal} has expired since this connection was made: renew it")]
    Expired {
        /// The identity.
        principal: String,
    },
    /// The caller's identity is revoked.
    #[error(
        "{principal} is revoked{why}; an admin gives it rights again by `paasta auth restore {principal}`"
    )]
    Revoked {
        /// The identity.
        principal: String,
        /// The operator's reason, as the rest of the sentence.
        why: String,
    },
    /// The caller is a coordinator that was removed.
    #[error(
        "coordinator {id} was removed from this cluster: its certificate has no rights; bring its machine back under a new id (`paasta-coordinator rejoin`)"
    )]
    Removed {
        /// Its id.
        id: u64,
    },
    /// The caller is a coordinator that is no member.
    #[error(
        "coordinator {id} is no member of this cluster: it may take part in consensus and nothing else before `paasta coordinator add`"
    )]
    NotMember {
        /// Its id.
        id: u64,
    },
    /// A join, a renewal or a token is refused.
    #[error("{0}")]
    Refused(Box<Reason>),
    /// An expired certificate is not renewed.
    #[error(transparent)]
    Late(#[from] paasta_identity::late::LateError),
    /// Nothing can be signed here.
    #[error(transparent)]
    Keeper(#[from] crate::keeper::KeeperError),
    /// The caller is no coordinator with a vote.
    #[error("{principal} gets no key: only a coordinator with a vote does")]
    NoVoter {
        /// The caller.
        principal: String,
    },
    /// The coordinator stops.
    #[error("this coordinator is stopping; use another one")]
    Stopping,
}

/// A request that cannot be answered as it is: the field, and what is wrong with it.
pub(crate) fn bad(field: &'static str, message: impl Into<String>) -> RpcError {
    let message = message.into();
    RpcError::BadRequest { field, message }
}

impl RpcError {
    /// The answer to a call that no service gets.
    pub fn into_http(self) -> http::Response<Body> {
        Status::from(self).into_http()
    }
}

impl From<RpcError> for Status {
    fn from(error: RpcError) -> Self {
        let text = paasta_process::chain::chain(&error);
        match error {
            RpcError::NoLeader
            | RpcError::LeaderMoved
            | RpcError::ScopeChanged
            | RpcError::Stopping => Self::unavailable(text),
            RpcError::Uninitialized => Self::failed_precondition(text),
            RpcError::BadRequest { .. } | RpcError::Session { .. } => Self::invalid_argument(text),
            RpcError::NotFound { .. } => Self::not_found(text),
            RpcError::Proposal(error) => match error {
                ProposalError::NotLeader { .. } | ProposalError::Unavailable { .. } => {
                    Self::unavailable(text)
                }
                ProposalError::NoSpace { .. } => Self::resource_exhausted(text),
                ProposalError::Unknown { .. } => Self::deadline_exceeded(text),
                ProposalError::Undecodable { .. } => Self::internal(text),
            },
            RpcError::Member(error) => Self::new(member_code(&error), text),
            RpcError::Denied { .. } | RpcError::OtherHost { .. } | RpcError::ExecDenied { .. } => {
                Self::permission_denied(text)
            }
            RpcError::Refused(reason) => Self::new(refusal_code(&reason), text),
            RpcError::Keeper(KeeperError::NoKey) => Self::unavailable(text),
            RpcError::Keeper(_) => Self::internal(text),
            RpcError::NoVoter { .. } => Self::permission_denied(text),
            RpcError::HostLost | RpcError::ExecLost => Self::unavailable(text),
            RpcError::CallerLost => Self::aborted(text),
            RpcError::NoMethod { .. } => Self::unimplemented(text),
            RpcError::NoCertificate | RpcError::Expired { .. } => Self::unauthenticated(text),
            RpcError::Revoked { .. } => {
                let mut status = Self::permission_denied(text);
                let revoked = MetadataValue::from_static(REVOKED);
                status.metadata_mut().insert(REFUSAL, revoked);
                status
            }
            RpcError::Removed { .. } | RpcError::NotMember { .. } | RpcError::Late(_) => {
                Self::permission_denied(text)
            }
            RpcError::IdTaken(_) => Self::already_exists(text),
            RpcError::Busy { .. } => Self::resource_exhausted(text),
            RpcError::Save { .. } | RpcError::Audit { .. } => Self::internal(text),
            RpcError::Peer(status) => *status,
            RpcError::Raft(_) | RpcError::Dial(_) => Self::failed_precondition(text),
        }
    }
}

impl From<Status> for RpcError {
    fn from(status: Status) -> Self {
        Self::Peer(Box::new(status))
    }
}

fn member_code(error: &crate::raft::MemberError) -> tonic::Code {
    use crate::raft::MemberError as Error;
    match error {
        Error::NotLeader { .. } | Error::NoQuorum | Error::Stopped => tonic::Code::Unavailable,
        Error::Busy => tonic::Code::Aborted,
        Error::Unknown(_) => tonic::Code::NotFound,
        Error::Taken { .. } => tonic::Code::AlreadyExists,
        Error::Refused(_) => tonic::Code::FailedPrecondition,
        Error::NotCaughtUp(_) | Error::TimedOut => tonic::Code::DeadlineExceeded,
    }
}

fn refusal_code(reason: &Reason) -> tonic::Code {
    match reason {
        Reason::NameTaken { .. } | Reason::TokenExists { .. } => tonic::Code::AlreadyExists,
        Reason::TooManyTokens { .. } | Reason::TooManyNodes { .. } => {
            tonic::Code::ResourceExhausted
        }
        _ => tonic::Code::PermissionDenied,
    }
}

/// The status that ends an agent's stream when the leader went away: the agent tries again.
pub fn leader_lost() -> Status {
    RpcError::LeaderMoved.into()
}

/// The status of an answer in its headers or trailers.
pub(super) fn status_in(headers: &http::HeaderMap) -> Option<Status> {
    Status::from_header_map(headers)
}

/// The status of an answer that says nothing else.
pub(super) fn success() -> Status {
    Status::ok("")
}
