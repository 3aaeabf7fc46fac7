//! Channels to the other coordinators, for calls that only the leader can answer.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tonic::{Request, metadata::MetadataValue, transport::Channel};

use crate::raft::{Dial, DialError, Keepalive, Peer};

/// Marks a call that a coordinator passed on: it is not passed on again.
const FORWARDED: &str = "paasta-forwarded";

/// The channels, made when first needed and kept.
#[derive(Clone)]
pub struct Peers {
    dial: Arc<dyn Dial>,
    keepalive: Keepalive,
    channels: Arc<Mutex<BTreeMap<String, Channel>>>,
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
        if let Some(channel) = channels.get(&peer.address) {
            return Ok(channel.clone());
        }
        let channel = self.dial.dial(peer.id, &peer.address, &self.keepalive)?;
        channels.insert(peer.address.clone(), channel.clone());
        Ok(channel)
    }
}

/// Whether another coordinator passed this call on.
pub fn was_forwarded<T>(request: &Request<T>) -> bool {
    request.metadata().contains_key(FORWARDED)
}

/// Marks a call as passed on.
pub fn forwarded<T>(mut request: Request<T>) -> Request<T> {
    request
        .metadata_mut()
        .insert(FORWARDED, MetadataValue::from_static("1"));
    request
}
