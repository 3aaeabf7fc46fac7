//! What the replicated log drives: our own trait, so that the state of the cluster knows nothing of
//! the consensus library.

use std::io::{self, Read, Write};

/// Serialises a state that was copied earlier; runs off the apply path, at most once.
pub type SnapshotWriter = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// The replicated state behind the log. Apply is total and deterministic: the same commands in the
/// same order give the same state and the same outcomes on every node.
pub trait Machine: Send + Sync + 'static {
    /// Applies one command and returns the outcome's bytes. Never fails: a command that cannot be
    /// understood has an outcome that says so. `index` grows with every call, but not by one: some
    /// records of the log are not commands.
    fn apply(&self, index: u64, command: &[u8]) -> Vec<u8>;

    /// A consistent copy of the state as of the last apply, to be written by the returned closure.
    /// Should be cheap: commands wait for it.
    fn snapshot(&self) -> SnapshotWriter;

    /// Replaces the whole state with one that [`Self::snapshot`] wrote.
    ///
    /// # Errors
    /// If the bytes cannot be read or understood. The node stops then.
    fn restore(&self, from: &mut dyn Read) -> io::Result<()>;
}
