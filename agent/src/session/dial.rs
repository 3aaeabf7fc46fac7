//! How a connection to a coordinator is made: behind a trait, so that a simulation can make it
//! over its own network.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::BoxFuture;
use paasta_identity::{Tls, connect::Expected, plain::PlainConnector};
use tonic::transport::{Channel, Endpoint};

/// How long a TCP connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection without a sign of life for so long counts as dead, until a coordinator has said how
/// long its leases are: from then on for as long as a lease.
pub const STALE_AFTER: Duration = Duration::from_secs(6);
/// The bounds of that, however long a lease is.
const STALE_AFTER_MIN: Duration = Duration::from_secs(1);
const STALE_AFTER_MAX: Duration = Duration::from_secs(60);
/// After this part of it the other end is asked whether it is still there.
const ASK_AFTER_PART: u32 = 3;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address makes no sense.
    #[error("coordinator {address:?} is not HOST:PORT")]
    Address {
        /// The text.
        address: String,
    },
    /// Its name is not known.
    #[error("coordinator {address} cannot be resolved: {words}")]
    Resolve {
        /// The address.
        address: String,
        /// Why.
        words: String,
    },
    /// It would be plain text on a network.
    #[error(
        "refusing to speak to {address} without transport security: it is not a loopback address; `paasta-agent join` gets this host a certificate (docs/operate/install.md), or agent.tls names one"
    )]
    Insecure {
        /// The address.
        address: SocketAddr,
    },
    /// It does not answer.
    #[error("coordinator {address} cannot be reached: {words}")]
    Connect {
        /// The address.
        address: String,
        /// Why.
        words: String,
    },
}

/// Makes connections.
pub trait Dial: Send + Sync {
    /// Connects to `HOST:PORT`; the connection breaks when nothing is heard for `stale_after`.
    fn dial<'a>(
        &'a self,
        address: &'a str,
        stale_after: Duration,
    ) -> BoxFuture<'a, Result<Channel, DialError>>;
}

fn unconnected(address: &str, error: &tonic::transport::Error) -> DialError {
    DialError::Connect {
        address: address.to_owned(),
        words: paasta_process::chain::chain(error),
    }
}

/// Connections without transport security, on this machine only.
#[derive(Debug, Clone, Copy)]
pub struct PlainDial;

impl Dial for PlainDial {
    fn dial<'a>(
        &'a self,
        address: &'a str,
        stale_after: Duration,
    ) -> BoxFuture<'a, Result<Channel, DialError>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host(address).await;
            let found: Vec<SocketAddr> = found
                .map_err(|error| DialError::Resolve {
                    address: address.to_owned(),
                    words: error.to_string(),
                })?
                .collect();
            let first = *found.first().ok_or_else(|| DialError::Address {
                address: address.to_owned(),
            })?;
            if !first.ip().to_canonical().is_loopback() {
                return Err(DialError::Insecure { address: first });
            }
            // The address that was checked, not the name, which may resolve to another next time.
            let endpoint = endpoint(&first.to_string(), stale_after)?;
            let connected = endpoint.connect_with_connector(PlainConnector).await;
            connected.map_err(|error| unconnected(address, &error))
        })
    }
}

/// Connections by mutual TLS, to coordinators of the cluster that the agent's certificate names.
#[derive(Debug, Clone)]
pub struct TlsDial(pub Tls);

impl Dial for TlsDial {
    fn dial<'a>(
        &'a self,
        address: &'a str,
        stale_after: Duration,
    ) -> BoxFuture<'a, Result<Channel, DialError>> {
        Box::pin(async move {
            let connector = self.0.connector(Expected::Any);
            let endpoint = endpoint(address, stale_after)?;
            let connected = endpoint.connect_with_connector(connector).await;
            connected.map_err(|error| unconnected(address, &error))
        })
    }
}

/// What every connection to a coordinator is made with, for implementations of [`Dial`].
///
/// # Errors
/// [`DialError::Address`] when it is none.
pub fn endpoint(address: &str, stale_after: Duration) -> Result<Endpoint, DialError> {
    let stale_after = stale_after.clamp(STALE_AFTER_MIN, STALE_AFTER_MAX);
    let ask_after = stale_after / ASK_AFTER_PART;
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|_| DialError::Address {
        address: address.to_owned(),
    })?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(ask_after)
        .keep_alive_timeout(stale_after.saturating_sub(ask_after))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}
