//! Certificates of a test's cluster: an authority of its own, and a directory for each identity.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Result;
use paasta_common::id::ClusterName;
use paasta_identity::{
    ClientCertificates, Files, Identity, IdentityDir, Tls,
    authority::{Authority, Request},
    pin::Pin,
};

/// The authority of a cluster and the certificates that it signed.
#[derive(Debug)]
pub struct Pki {
    dir: PathBuf,
    cluster: ClusterName,
    authority: Authority,
    /// How long ago its certificates were made, by what they say.
    age: Duration,
}

impl Pki {
    /// A new authority, which keeps its files in `dir`.
    pub fn create(dir: &Path, cluster: &str) -> Result<Self> {
        Self::aged(dir, cluster, Duration::ZERO)
    }

    /// The same, of so long ago, and so are the certificates that it signs: they are valid for a
    /// program whose clock is behind by less.
    pub fn aged(dir: &Path, cluster: &str, age: Duration) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let cluster = ClusterName::new(cluster)?;
        let authority = Authority::create(&cluster, SystemTime::now() - age)?;
        authority.write(&dir.join("ca.pem"), &dir.join("ca.key"))?;
        Ok(Self {
            dir: dir.to_owned(),
            cluster,
            authority,
            age,
        })
    }

    /// The pin of the authority: no secret.
    #[must_use]
    pub fn pin(&self) -> Option<Pin> {
        self.authority.pin()
    }

    /// Where its files are: `ca.pem`, `ca.key`, and a directory for each identity.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
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
            let made = SystemTime::now() - self.age;
            let certificate = self.authority.issue(request.pem(), &identity, made)?;
            fs::create_dir_all(&at)?;
            request.write_key(&files.key)?;
            fs::write(&files.certificate, certificate)?;
        }
        Ok(files)
    }

    /// Lays the files of `ROLE/NAME` into a directory in which a daemon looks for its identity, over
    /// what is there.
    pub fn lay(&self, identity: &str, at: &Path) -> Result<()> {
        let files = self.files(identity)?;
        let dir = IdentityDir::new(at);
        dir.make()?;
        let there = dir.files();
        for (from, to) in [
            (&files.ca, &there.ca),
            (&files.key, &there.key),
            // Last: with it the identity is complete.
            (&files.certificate, &there.certificate),
        ] {
            dir.write(to, &fs::read_to_string(from)?)?;
        }
        Ok(())
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
