//! Whether the proven other end of a connection has rights at this moment: its certificate has not
//! expired, its identity is not revoked, and a coordinator is a member. Looked at for each call, and
//! for each open connection every few seconds ([`sweep`]), as both outlive a handshake.

pub mod sweep;

use std::{sync::Arc, time::SystemTime};

use paasta_common::time::Timestamp;
use paasta_coordinator_core::state::revoked::Revocation;
use paasta_identity::{Identity, Peer};

use super::{peers::PRINCIPAL, status::RpcError};
use crate::{
    caller::Caller,
    machine::ClusterMachine,
    raft::{Consensus, Membership},
    refusals::{Cause, Refusals},
};

/// The services of which a coordinator that is no member may call the methods: it joins by them, and
/// a member that this coordinator has not heard of yet replicates by them. Consensus itself checks
/// the cluster, the store and the sender of each message.
const JOINING: [&str; 2] = ["/paasta.v1.RaftService/", "/paasta.v1.Joining/"];

/// What an identity may do by what is known of it, apart from its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No identity is proven: what it may call is in the table of roles.
    Stranger,
    /// Whatever its role may.
    Full,
    /// A coordinator that is no member, as far as is known here: only consensus.
    Joining,
}

/// Judges the other ends of connections. Clones are the same.
#[derive(Clone)]
pub struct Rights {
    /// Whether connections must have TLS.
    secure: bool,
    machine: ClusterMachine,
    consensus: Consensus,
    refusals: Refusals,
}

impl Rights {
    /// Rights by the replicated state and the members; `secure` where the endpoint has TLS.
    pub fn new(
        secure: bool,
        machine: ClusterMachine,
        consensus: Consensus,
        refusals: Refusals,
    ) -> Self {
        Self {
            secure,
            machine,
            consensus,
            refusals,
        }
    }

    /// Whether connections must have TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Where refusals are counted.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// The proven other end of a call's connection. `None`: nothing is proven here, as this
    /// coordinator has no TLS and listens on loopback, or in a simulation.
    ///
    /// # Errors
    /// [`RpcError::NoCertificate`] where there is TLS, and no proof came with the call.
    pub fn peer(&self, caller: Option<&Caller>) -> Result<Option<Arc<Peer>>, RpcError> {
        match (self.secure, caller.and_then(Caller::peer)) {
            (_, Some(peer)) => Ok(Some(Arc::clone(peer))),
            (false, None) => Ok(None),
            (true, None) => Err(RpcError::NoCertificate),
        }
    }

    /// What the other end may do now.
    ///
    /// # Errors
    /// That it may do nothing, and why.
    pub fn standing(&self, peer: &Peer, now: SystemTime) -> Result<Standing, RpcError> {
        let (Some(identity), Some(issued)) = (peer.identity(), issued(peer)) else {
            return Ok(Standing::Stranger);
        };
        if peer.is_expired(now) {
            return Err(RpcError::Expired {
                principal: identity.short(),
            });
        }
        self.check_revoked(identity, |one| one.voids(issued))?;
        let Some(id) = identity.member() else {
            return Ok(Standing::Full);
        };
        match self.consensus.membership(id) {
            Membership::Member => Ok(Standing::Full),
            Membership::Unknown => Ok(Standing::Joining),
            Membership::Removed => Err(RpcError::Removed { id }),
        }
    }

    /// Refuses an identity that another coordinator names: its certificate was looked at there.
    ///
    /// # Errors
    /// [`RpcError::Revoked`] when every certificate of it is.
    pub fn check_named(&self, identity: &Identity) -> Result<(), RpcError> {
        self.check_revoked(identity, |one| one.whole)
    }

    fn check_revoked(
        &self,
        identity: &Identity,
        concerns: impl Fn(&Revocation) -> bool,
    ) -> Result<(), RpcError> {
        let principal = identity.short();
        let state = self.machine.read();
        match state.revoked().get(principal.as_str()) {
            Some(one) if concerns(one) => Err(RpcError::Revoked {
                principal,
                why: one.why(),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses a coordinator that is no member everything but consensus.
    ///
    /// # Errors
    /// [`RpcError::NotMember`].
    pub fn check_method(
        &self,
        standing: Standing,
        identity: Option<&Identity>,
        path: &str,
    ) -> Result<(), RpcError> {
        match (standing, identity.and_then(Identity::member)) {
            (Standing::Joining, Some(id))
                if !JOINING.iter().any(|service| path.starts_with(service)) =>
            {
                Err(RpcError::NotMember { id })
            }
            _ => Ok(()),
        }
    }
}

/// The moment from which the certificate of the other end is valid: it is revoked by this moment.
pub(crate) fn issued(peer: &Peer) -> Option<Timestamp> {
    Some(peer.validity()?.not_before.into())
}

/// Why a call is refused, for the metric; `None` for errors of another kind.
pub fn cause(error: &RpcError) -> Option<Cause> {
    match error {
        RpcError::NoCertificate => Some(Cause::NoCertificate),
        RpcError::Expired { .. } => Some(Cause::Expired),
        RpcError::Revoked { .. } => Some(Cause::Revoked),
        RpcError::Removed { .. } => Some(Cause::Removed),
        RpcError::NotMember { .. } => Some(Cause::NotMember),
        RpcError::Denied { .. } => Some(Cause::Role),
        RpcError::NoMethod { .. } => Some(Cause::Method),
        RpcError::BadRequest { field, .. } if *field == PRINCIPAL => Some(Cause::Principal),
        _ => None,
    }
}
