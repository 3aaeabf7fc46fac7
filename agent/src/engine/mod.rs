//! What the agent asks of a container engine. [`docker`] is the real one and the only file that
//! names its client library; [`fake`] is one for tests and simulations.
//!
//! No method but [`Engine::exec`] has a timeout of its own: the caller decides how long it waits.

pub mod docker;
pub mod fake;
pub mod instant;
pub mod metered;

use std::{collections::BTreeMap, pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};
use paasta_agent_core::{
    collect::Stock,
    disk::Storage,
    observed::{LocalImage, Seen},
};
use paasta_common::{
    container::ContainerSpec, id::ReplicaId, report::PullProgress, time::Timestamp,
};
use tokio::{io::AsyncWrite, sync::watch};

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
    /// Its name.
    pub name: String,
    /// Whether it runs, paused or not.
    pub running: bool,
    /// Whether it is paused.
    pub paused: bool,
    /// The processes in it that the kernel has killed for memory, where that can be counted.
    pub memory_kills: Option<u32>,
    /// How it ended, if it has.
    pub exit_code: Option<i64>,
    /// When it ended, if it has and the engine says.
    pub ended_at: Option<Timestamp>,
    /// Whether the kernel killed a process in it for memory, at any time.
    pub memory_killed: bool,
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

/// One of the two outputs of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// Its usual name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A line that a container wrote, or a part of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, nanoseconds since the Unix epoch. All parts of a line have the same time.
    pub at_ns: u64,
    /// Where to.
    pub stream: Stream,
    /// The bytes, without the newline. The engine bounds them: 16 KiB with Docker.
    pub line: Bytes,
    /// The line goes on in the next entry of this stream.
    pub partial: bool,
    /// The container did not write this: it says that something is missing before the next entry.
    pub gap: bool,
}

impl Entry {
    /// Says before `next` that something is missing there.
    pub fn gap_before(next: &Self, words: &str) -> Self {
        Self {
            at_ns: next.at_ns,
            stream: next.stream,
            line: Bytes::from(format!("[paasta: output is missing here: {words}]")),
            partial: false,
            gap: true,
        }
    }
}

/// What a container wrote, oldest first.
pub type Entries<'a> = BoxStream<'a, Result<Entry, EngineError>>;

/// What a command inside a container came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Executed {
    /// Its exit code; none when it was killed at its timeout.
    pub code: Option<i64>,
    /// The last line that it wrote, shortened; empty when it wrote nothing.
    pub last_line: String,
}

/// A command that a person runs inside a container. No shell reads its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// The size of its terminal; none for a command without one.
    pub terminal: Option<Size>,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Its rows.
    pub rows: u16,
    /// Its columns.
    pub columns: u16,
}

/// A command that runs, joined to its inputs and outputs. Dropping it ends nothing: that is what
/// [`Running::kill`] is for.
pub struct Attached {
    /// What it writes; of a command with a terminal all is [`Stream::Stdout`].
    pub output: BoxStream<'static, Result<(Stream, Bytes), EngineError>>,
    /// Its standard input; shut down, it has ended.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// The command itself.
    pub running: Box<dyn Running>,
}

/// A command that runs.
pub trait Running: Send + Sync {
    /// Its terminal has another size.
    fn resize(&self, size: Size) -> Answer<'_, ()>;
    /// Its exit code, once it has ended; none while it runs.
    fn code(&self) -> Answer<'_, Option<i64>>;
    /// Kills it with all that it started.
    fn kill(&self) -> Answer<'_, ()>;
}

/// Something befell the container of a run: it died, was paused, or was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hint {
    /// The replica.
    pub replica: ReplicaId,
    /// The run.
    pub run: u64,
    /// When the kernel killed a process in it for memory, if that is what happened.
    pub memory_kill_at: Option<Timestamp>,
}

/// A container engine.
pub trait Engine: Send + Sync + 'static {
    /// All containers, dead ones too, whose labels name this host.
    fn list<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<Seen>>;
    /// Looks at one container, by name or id.
    fn inspect<'a>(&'a self, container: &'a str) -> Answer<'a, Inspected>;
    /// An image that is here; none when it is not.
    fn image<'a>(&'a self, image: &'a str) -> Answer<'a, Option<LocalImage>>;
    /// Fetches the image from its registry. Dropping the answer calls it off.
    fn pull<'a>(
        &'a self,
        image: &'a str,
        progress: &'a watch::Sender<PullProgress>,
    ) -> Answer<'a, ()>;
    /// Bytes of the container's writable layer. The engine walks over all of it.
    fn layer_bytes<'a>(&'a self, container: &'a str) -> Answer<'a, u64>;
    /// Where and how it keeps images and containers.
    fn storage(&self) -> Answer<'_, Storage>;
    /// Every image here, and what containers, anybody's, use.
    fn stock(&self) -> Answer<'_, Stock>;
    /// Takes a name off an image; with its last name the image goes. Refused while a container
    /// uses it.
    fn forget<'a>(&'a self, image: &'a str) -> Answer<'a, ()>;
    /// Makes a container and returns its id; the id of the one there is if it has the same name
    /// and the same labels.
    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> Answer<'a, String>;
    /// Starts it; a running one is left alone.
    fn start<'a>(&'a self, container: &'a str) -> Answer<'a, ()>;
    /// SIGTERM, and SIGKILL after the grace.
    fn stop<'a>(&'a self, container: &'a str, grace_ms: u64) -> Answer<'a, ()>;
    /// Removes it, running or not.
    fn remove<'a>(&'a self, container: &'a str) -> Answer<'a, ()>;
    /// Runs a shell command inside, for `patience` at most: then it is killed with all that it
    /// started, which takes a few seconds at most. Refused while an earlier one of the same
    /// container can be neither awaited nor killed.
    fn exec<'a>(
        &'a self,
        container: &'a str,
        command: &'a str,
        patience: Duration,
    ) -> Answer<'a, Executed>;
    /// Begins a command of a person inside, which runs until it ends or is killed.
    fn attach<'a>(&'a self, container: &'a str, command: &'a Command) -> Answer<'a, Attached> {
        let _ = (container, command);
        let words = "this container engine runs no commands for people".to_owned();
        Box::pin(async { Err(EngineError::Refused(words)) })
    }
    /// What it wrote since that second, oldest first, as far as the engine keeps it; with `follow`
    /// until it ends.
    fn logs<'a>(&'a self, container: &'a str, since_s: u64, follow: bool) -> Entries<'a>;
    /// What befalls the containers of this host. Hints only: they may be late or missing, and the
    /// stream may end at any time.
    fn hints<'a>(&'a self, host: &'a str) -> BoxStream<'a, Hint>;
}
