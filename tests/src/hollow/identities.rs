//! Certificates of hollow hosts: signed by the test authority of a cluster, kept in memory.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use paasta_common::id::ClusterName;
use paasta_identity::{
    ClientCertificates, Credentials, Files, Identity, Pems, Tls,
    authority::{Authority, Request},
};

/// The test authority of a cluster.
#[derive(Debug)]
pub struct Identities {
    cluster: ClusterName,
    authority: Authority,
    now: SystemTime,
}

impl Identities {
    /// Reads `ca.pem` and `ca.key` of a directory that [`crate::pki::Pki`] made.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn open(dir: &Path, cluster: &str) -> Result<Self> {
        let cluster = ClusterName::new(cluster)?;
        let (certificate, key) = (dir.join("ca.pem"), dir.join("ca.key"));
        let authority = Authority::read(&cluster, &certificate, &key);
        let authority = authority
            .with_context(|| format!("--tls-authority {}: no test authority", dir.display()))?;
        Ok(Self {
            cluster,
            authority,
            now: SystemTime::now(),
        })
    }

    /// The cluster of the authority.
    #[must_use]
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// TLS of a host, with a key and a certificate of its own.
    ///
    /// # Errors
    /// When the certificate cannot be signed.
    pub fn tls(&self, host: &str) -> Result<Tls> {
        let identity: Identity = format!("paasta://{}/agent/{host}", self.cluster).parse()?;
        let request = Request::create()?;
        let certificate = self.authority.issue(request.pem(), &identity, self.now)?;
        let pems = Pems {
            ca: self.authority.pem().as_bytes().to_vec(),
            certificate: certificate.into_bytes(),
            key: request.key_pem().into_bytes(),
        };
        // Names in errors only.
        let named = |file: &str| PathBuf::from(format!("{host}/{file}"));
        let files = Files {
            ca: named("ca.pem"),
            certificate: named("certificate.pem"),
            key: named("key.pem"),
        };
        let credentials = Credentials::parse(&files, &pems)?;
        Ok(Tls::new(credentials, ClientCertificates::Required)?)
    }
}
