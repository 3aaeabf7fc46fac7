//! What the agent asks of a container engine. [`docker`] is the real one and the only file that
//! names its client library; [`fake`] is one for tests and simulations.
//!
//! No method has a timeout of its own: the caller decides how long it waits.

pub mod docker;
pub mod fake;
pub mod registry;

use std::collections::BTreeMap;

use futures_util::{future::BoxFuture, stream::BoxStream};
use paasta_agent_core::observed::Seen;
use paasta_common::container::ContainerSpec;

/// An answer of the engine, some day.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, EngineError>>;

/// Why the engine did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// There is no such container or image.
    #[error("{0}")]
    Missing(String),
    /// It understood and said no.
    #[error("{0}")]
    Refused(String),
    /// No answer: what was asked may have been done.
    #[error("no answer: {0}")]
    Silent(String),
}

/// A container looked at closely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The engine's id.
    pub container: String,
    /// Whether it runs.
    pub running: bool,
    /// How it ended, if it has.
    pub exit_code: Option<i64>,
    /// Whether the kernel killed it for its memory.
    pub out_of_memory: bool,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
}

impl Inspected {
    /// Whether it has all of these labels.
    pub fn is(&self, identity: &BTreeMap<String, String>) -> bool {
        identity
            .iter()
            .all(|(name, value)| self.labels.get(name) == Some(value))
    }
}

/// What a container wrote, the last lines of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tail {
    /// To standard output.
    pub stdout: Vec<u8>,
    /// To standard error.
    pub stderr: Vec<u8>,
}

/// A container engine.
pub trait Engine: Send + Sync + 'static {
    /// All containers, dead ones too, whose labels name this host.
    fn list<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<Seen>>;
    /// Looks at one container, by name or id.
    fn inspect<'a>(&'a self, container: &'a str) -> Answer<'a, Inspected>;
    /// Whether the image is here.
    fn has_image<'a>(&'a self, image: &'a str) -> Answer<'a, bool>;
    /// Fetches the image from its registry.
    fn pull<'a>(&'a self, image: &'a str) -> Answer<'a, ()>;
    /// Makes a container and returns its id; the id of the one there is if it has the same name
    /// and the same labels.
    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> Answer<'a, String>;
    /// Starts it; a running one is left alone.
    fn start<'a>(&'a self, container: &'a str) -> Answer<'a, ()>;
    /// SIGTERM, and SIGKILL after the grace.
    fn stop<'a>(&'a self, container: &'a str, grace_ms: u64) -> Answer<'a, ()>;
    /// Removes it, running or not.
    fn remove<'a>(&'a self, container: &'a str) -> Answer<'a, ()>;
    /// Runs a shell command inside and returns its exit code.
    fn exec<'a>(&'a self, container: &'a str, command: &'a str) -> Answer<'a, i64>;
    /// The last `lines` lines that it wrote, at most `bytes` of each stream.
    fn tail<'a>(&'a self, container: &'a str, lines: u32, bytes: usize) -> Answer<'a, Tail>;
    /// Something happened to a container of this host. Hints only: they may be late or missing,
    /// and the stream may end at any time.
    fn hints<'a>(&'a self, host: &'a str) -> BoxStream<'a, ()>;
}
