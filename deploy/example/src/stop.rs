//! SIGTERM and SIGINT as something to wait for.
//!
//! A blocked signal is kept for pid 1 although it has no handler, where an unblocked one would be
//! thrown away; so this works with and without an init in the container.

use std::io;

use nix::sys::signal::{SigSet, Signal};

/// Signals that are blocked in every thread and wait to be taken.
pub struct Signals(SigSet);

/// Blocks the signals that mean "stop" in this thread and in those it will start.
pub fn block() -> io::Result<Signals> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.add(Signal::SIGINT);
    set.thread_block()?;
    Ok(Signals(set))
}

impl Signals {
    /// Returns when the first of them arrives. It waits as long as the service lives: that is its purpose.
    pub fn wait(self) {
        while self.0.wait().is_err() {}
    }
}
