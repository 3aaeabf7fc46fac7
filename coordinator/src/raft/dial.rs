//! How a peer is reached: by mutual TLS, in plain text, or over the network of a simulation.

use std::time::Duration;

use paasta_identity::{Tls, connect::Expected, plain::PlainConnector};
use tonic::transport::{Channel, Endpoint};

/// Bytes one stream may have in flight.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes one connection may have in flight: several streams' worth, so that one that stalls cannot
/// hold up the others.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// Why a peer cannot be dialled at all; an unreachable one is found out later, by calling it.
#[derive(Debug, thiserror::Error)]
#[error("cannot dial {address}: {why}")]
pub struct DialError {
    /// The address as configured.
    pub address: String,
    /// What is wrong with it, or with the way there.
    pub why: String,
}

/// When a silent connection counts as dead. Without this, a follower behind a healed partition can
/// stay cut off for as long as the kernel retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// How long a connection may be silent before it is probed, also when nothing is called.
    pub interval: Duration,
    /// How long the answer to a probe may take.
    pub timeout: Duration,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(500),
            timeout: Duration::from_millis(1000),
            connect_timeout: Duration::from_millis(1000),
        }
    }
}

impl Keepalive {
    /// Sets everything a connection between coordinators needs; for implementations of [`Dial`].
    pub fn apply(&self, endpoint: Endpoint) -> Endpoint {
        endpoint
            .connect_timeout(self.connect_timeout)
            .http2_keep_alive_interval(self.interval)
            .keep_alive_timeout(self.timeout)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
    }
}

/// Makes channels to peers.
pub trait Dial: Send + Sync + 'static {
    /// A channel that connects when it is first used, and again whenever it broke.
    ///
    /// # Errors
    /// If the address can never work.
    fn dial(&self, peer: u64, address: &str, keepalive: &Keepalive) -> Result<Channel, DialError>;
}

/// Without encryption: on loopback. Every other address is refused before anything is sent.
#[derive(Clone, Copy, Debug)]
pub struct PlainDial;

impl Dial for PlainDial {
    fn dial(&self, _peer: u64, address: &str, keepalive: &Keepalive) -> Result<Channel, DialError> {
        Ok(endpoint(address, keepalive)?.connect_with_connector_lazy(PlainConnector))
    }
}

/// By mutual TLS, to the coordinator with the id that is dialled and to no other.
#[derive(Clone, Debug)]
pub struct TlsDial(pub Tls);

impl Dial for TlsDial {
    fn dial(&self, peer: u64, address: &str, keepalive: &Keepalive) -> Result<Channel, DialError> {
        let connector = self.0.connector(Expected::Member(peer));
        Ok(endpoint(address, keepalive)?.connect_with_connector_lazy(connector))
    }
}

fn endpoint(address: &str, keepalive: &Keepalive) -> Result<Endpoint, DialError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|error| DialError {
        address: address.to_owned(),
        why: error.to_string(),
    })?;
    Ok(keepalive.apply(endpoint))
}
