//! Channels to the other coordinators, for calls that only the leader can answer.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tonic::{
    Request,
    metadata::MetadataValue,
    transport::{Channel, Endpoint, Error},
};

/// Until a peer has accepted the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Between keepalive pings, and how long one may take: a silent peer is noticed in four seconds.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// Marks a call that a coordinator passed on: it is not passed on again.
const FORWARDED: &str = "paasta-forwarded";

/// The channels, made when first needed and kept.
#[derive(Clone, Default)]
pub struct Peers {
    channels: Arc<Mutex<BTreeMap<String, Channel>>>,
}

impl Peers {
    /// The channel to the coordinator at `address` (host:port). It connects when used.
    ///
    /// # Errors
    /// When the address is not one.
    pub fn channel(&self, address: &str) -> Result<Channel, Error> {
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let channel = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true)
            .connect_lazy();
        channels.insert(address.to_owned(), channel.clone());
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
