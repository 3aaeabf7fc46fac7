//! Channels to the other coordinators, for calls that only the leader can answer.

use std::{collections::BTreeMap, sync::Arc};

use paasta_process::accept::current_client;
use parking_lot::Mutex;
use tonic::{Request, metadata::MetadataValue, transport::Channel};

use crate::{
    caller::{Caller, principal},
    raft::{Dial, DialError, Keepalive, Peer},
    rpc::looks::Client,
};

/// Marks a call that a coordinator passed on: it is not passed on again.
pub const FORWARDED: &str = "paasta-forwarded";
/// Names the client of a call that was passed on.
pub const CLIENT: &str = "paasta-client";
/// Names the identity for which a call that was passed on is made. Believed of a coordinator only.
pub const PRINCIPAL: &str = "paasta-principal";

/// The channels, made when first needed and kept.
#[derive(Clone)]
pub struct Peers {
    dial: Arc<dyn Dial>,
    keepalive: Keepalive,
    /// By id and address: a channel is for one coordinator only, and an address may get another.
    channels: Arc<Mutex<BTreeMap<(u64, String), Channel>>>,
}

impl Peers {
    /// Channels made by `dial`.
    pub fn new(dial: Arc<dyn Dial>, keepalive: Keepalive) -> Self {
        Self {
            dial,
            keepalive,
            channels: Arc::default(),
        }
    }

    /// The channel to a coordinator. It connects when used.
    ///
    /// # Errors
    /// When the address can never work.
    pub fn channel(&self, peer: &Peer) -> Result<Channel, DialError> {
        let mut channels = self.channels.lock();
        let key = (peer.id, peer.address.clone());
        if let Some(channel) = channels.get(&key) {
            return Ok(channel.clone());
        }
        let channel = self.dial.dial(peer.id, &peer.address, &self.keepalive)?;
        channels.insert(key, channel.clone());
        Ok(channel)
    }
}

/// Whether another coordinator passed this call on.
pub fn was_forwarded<T>(request: &Request<T>) -> bool {
    request.metadata().contains_key(FORWARDED)
}

/// Marks a call as passed on, for the identity for which this task works.
pub fn forwarded<T>(mut request: Request<T>) -> Request<T> {
    request
        .metadata_mut()
        .insert(FORWARDED, MetadataValue::from_static("1"));
    let principal = principal().and_then(|principal| principal.to_string().parse().ok());
    if let Some(principal) = principal {
        request.metadata_mut().insert(PRINCIPAL, principal);
    }
    request
}

/// The same, in the name of a client.
pub fn forwarded_for<T>(client: Client, request: Request<T>) -> Request<T> {
    let mut request = forwarded(request);
    let client = client.and_then(|client| client.to_string().parse().ok());
    if let Some(client) = client {
        request.metadata_mut().insert(CLIENT, client);
    }
    request
}

/// Whose call it is: as the coordinator says that passed it on, else the other end of its
/// connection, or of that by which the HTTP API was asked.
pub fn client_of<T>(request: &Request<T>) -> Client {
    let said = request.metadata().get(CLIENT);
    let said = said.filter(|_| was_forwarded(request));
    match said.and_then(|client| client.to_str().ok()?.parse().ok()) {
        Some(client) => Some(client),
        None => Caller::of(request.extensions())
            .and_then(Caller::activity)
            .map(|activity| activity.address())
            .or_else(current_client),
    }
}
