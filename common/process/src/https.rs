//! A client for the few questions that are asked over HTTP without a protocol of ours. It blocks:
//! use it on a thread that may wait.

use std::{sync::Arc, time::Duration};

use tokio_rustls::rustls::crypto::ring;
use ureq::{
    Agent,
    config::Config,
    tls::{Certificate, RootCerts, TlsConfig},
};

/// Whose certificates are good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Those of this machine's own authorities: a company's servers are signed by its own.
    Authorities,
    /// Anyone's. Only whether the other side answers is asked.
    Anyone,
}

/// A client whose questions are answered within `limit` or not at all. Every status is an answer;
/// to a redirect it does not go.
pub fn client(limit: Duration, trust: Trust) -> Agent {
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .root_certs(authorities(trust))
        .disable_verification(trust == Trust::Anyone)
        .build();
    let config = Config::builder()
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        .max_redirects(0)
        .tls_config(tls)
        .build();
    config.new_agent()
}

/// Read anew each time: an operator who installs one need not restart anything.
fn authorities(trust: Trust) -> RootCerts {
    let found = match trust {
        Trust::Authorities => rustls_native_certs::load_native_certs().certs,
        Trust::Anyone => Vec::new(),
    };
    let certificates = found
        .iter()
        .map(|one| Certificate::from_der(one).to_owned());
    RootCerts::Specific(Arc::new(certificates.collect()))
}
