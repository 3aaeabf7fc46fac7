//! Certificates of a test's cluster: an authority of its own, and a directory for each identity.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Result;
use paasta_common::id::ClusterName;
use paasta_identity::{
    ClientCertificates, Files, Identity, Tls,
    authority::{Authority, Request},
    pin::Pin,
};

/// The authority of a cluster and the certificates that it signed.
#[derive(Debug)]
pub struct Pki {
    dir: PathBuf,
    cluster: ClusterName,
    authority: Authority,
}

impl Pki {
    /// A new authority, which keeps its files in `dir`.
    pub fn create(dir: &Path, cluster: &str) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let cluster = ClusterName::new(cluster)?;
        let authority = Authority::create(&cluster, SystemTime::now())?;
        authority.write(&dir.join("ca.pem"), &dir.join("ca.key"))?;
        Ok(Self {
            dir: dir.to_owned(),
            cluster,
            authority,
        })
    }

    /// The pin of the authority: no secret.
    #[must_use]
    pub fn pin(&self) -> Option<Pin> {
        self.authority.pin()
    }

    /// The files of `ROLE/NAME`; signed when they are first asked for.
    pub fn files(&self, identity: &str) -> Result<Files> {
        let at = self.dir.join(identity);
        let files = Files {
            ca: self.dir.join("ca.pem"),
            certificate: at.join("certificate.pem"),
            key: at.join("key.pem"),
        };
        if !files.key.exists() {
            let identity: Identity = format!("paasta://{}/{identity}", self.cluster).parse()?;
            let request = Request::create()?;
            let now = SystemTime::now();
            let certificate = self.authority.issue(request.pem(), &identity, now)?;
            fs::create_dir_all(&at)?;
            request.write_key(&files.key)?;
            fs::write(&files.certificate, certificate)?;
        }
        Ok(files)
    }

    /// TLS of `ROLE/NAME`, for a program of the test's own.
    pub fn tls(&self, identity: &str) -> Result<Tls> {
        let files = self.files(identity)?;
        Ok(Tls::read(&files, ClientCertificates::Required)?)
    }

    /// The section `tls` of a configuration file, in one line.
    pub fn section(&self, identity: &str) -> Result<String> {
        let files = self.files(identity)?;
        Ok(format!(
            "tls: {{ca: {}, certificate: {}, key: {}}}",
            files.ca.display(),
            files.certificate.display(),
            files.key.display(),
        ))
    }
}
