//! Contexts: how `paasta` reaches each cluster, one file each in the user's configuration,
//! `~/.config/paasta/contexts/NAME.yaml`. [`Contexts`] lists, reads, writes and removes them;
//! [`mod@file`] has their text.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use paasta_common::{
    address::Address,
    id::{ClusterName, ContextName},
    problem::Problem,
};
use paasta_process::atomic_file::WriteError;

use crate::{
    credentials::{Credentials, CredentialsError, Files, Pems},
    key::{self, FileError},
    name::Identity,
};

pub mod file;
mod store;

pub use store::{Contexts, user_directory};

/// The most contexts that are listed.
pub const CONTEXTS_MAX: usize = 100;
/// The most addresses of coordinators in one context.
pub const COORDINATORS_MAX: usize = 16;

/// How one cluster is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The cluster.
    pub cluster: ClusterName,
    /// Any of its coordinators, asked in this order; 1 to [`COORDINATORS_MAX`].
    pub coordinators: Vec<Address>,
    /// What TLS needs; without it the connections are plain text.
    pub tls: Option<ContextTls>,
}

/// What TLS needs of a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextTls {
    /// The authorities of the cluster.
    pub ca: Pem,
    /// The user's certificate.
    pub certificate: Pem,
    /// The certificate's private key.
    pub key: Pem,
}

/// A text in PEM: in the context itself, or in a file of its own.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// The text.
    Text(String),
    /// The absolute path of a file.
    File(PathBuf),
}

/// Why a context cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// Neither environment variable names a directory.
    #[error(
        "contexts are in the directory $XDG_CONFIG_HOME/paasta or $HOME/.config/paasta, and neither variable is an absolute path: set HOME"
    )]
    NoHome,
    /// The directory of contexts cannot be read or changed.
    #[error("{}: cannot be {act}", path.display())]
    Directory {
        /// The directory or file.
        path: PathBuf,
        /// What was tried, as a participle.
        act: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Too many.
    #[error("{} has more than {CONTEXTS_MAX} contexts: remove some", .0.display())]
    TooMany(PathBuf),
    /// There is none of this name.
    #[error("there is no context {name}: {} does not exist{hint}; `paasta context list` shows those that exist, `paasta context add` makes one", path.display())]
    Absent {
        /// The name.
        name: ContextName,
        /// Where it would be.
        path: PathBuf,
        /// The names that look like it.
        hint: String,
    },
    /// The current context cannot be told.
    #[error("{}: expected the name of a context, found {found}; `paasta context use NAME` writes it", path.display())]
    Current {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its text.
    #[error("{}", lines(.0))]
    Text(Vec<Problem>),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Its certificates or key.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Its certificate is of another cluster.
    #[error(
        "{}: the certificate is that of {identity}, and `cluster` is {cluster}: replace the certificate, or correct `cluster`", path.display()
    )]
    OtherCluster {
        /// The file.
        path: PathBuf,
        /// The identity of the certificate.
        identity: Box<Identity>,
        /// The cluster of the context.
        cluster: ClusterName,
    },
}

impl Context {
    /// The credentials for TLS; `None` for plain text. `path` is the context's own file, which
    /// errors name.
    ///
    /// # Errors
    /// A file that cannot be read, a text that is no PEM, or a certificate of another cluster.
    pub fn credentials(&self, path: &Path) -> Result<Option<Credentials>, ContextError> {
        let Some(tls) = &self.tls else {
            return Ok(None);
        };
        let names = Files {
            ca: tls.ca.place(path, "ca"),
            certificate: tls.certificate.place(path, "cert"),
            key: tls.key.place(path, "key"),
        };
        let pems = Pems {
            ca: tls.ca.read(key::read)?,
            certificate: tls.certificate.read(key::read)?,
            key: tls.key.read(key::read_key)?,
        };
        let credentials = Credentials::parse(&names, &pems)?;
        match credentials.identity().cluster() == &self.cluster {
            true => Ok(Some(credentials)),
            false => Err(ContextError::OtherCluster {
                path: names.certificate,
                identity: Box::new(credentials.identity().clone()),
                cluster: self.cluster.clone(),
            }),
        }
    }
}

impl Pem {
    /// What errors call it: its file, or its field in the context.
    fn place(&self, context: &Path, field: &str) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Text(_) => PathBuf::from(format!("{} (field {field})", context.display())),
        }
    }

    fn read(
        &self,
        read: impl FnOnce(&Path) -> Result<Vec<u8>, FileError>,
    ) -> Result<Vec<u8>, FileError> {
        match self {
            Self::File(path) => read(path),
            Self::Text(text) => Ok(text.clone().into_bytes()),
        }
    }
}

/// Never the text: it may be a private key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
