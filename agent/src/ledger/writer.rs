//! The one thread that writes the ledger. sled frees what it replaced by thread, after a number of
//! a thread's operations: with the writes spread over a pool, each idle thread keeps some segments.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use paasta_process::simulated;
use tokio::sync::oneshot;

use super::{Changes, LedgerError, Written};

struct Save {
    changes: Changes,
    reply: oneshot::Sender<Result<Written, LedgerError>>,
}

/// Writes changes one after the other. Its thread ends when it is dropped.
pub(super) struct Writer {
    /// None in a simulation, where writes happen at once.
    saves: Option<SyncSender<Save>>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system's, when it gives no thread.
    pub(super) fn start() -> io::Result<Self> {
        if simulated::is_fixed() {
            return Ok(Self { saves: None });
        }
        let (saves, received) = sync_channel(1);
        thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || run(&received))?;
        Ok(Self { saves: Some(saves) })
    }

    /// Writes changes to the disk.
    ///
    /// # Errors
    /// [`LedgerError`]; then nothing may be done that depends on them.
    pub(super) async fn write(&self, changes: Changes) -> Result<Written, LedgerError> {
        let Some(saves) = &self.saves else {
            return changes.write();
        };
        let (reply, answer) = oneshot::channel();
        let save = Save { changes, reply };
        // There is one writer, which waits for each answer: the channel has room.
        if saves.try_send(save).is_err() {
            return Err(LedgerError::NoWriter);
        }
        answer.await.unwrap_or(Err(LedgerError::NoWriter))
    }
}

fn run(received: &Receiver<Save>) {
    for Save { changes, reply } in received {
        // A flipped bit can make sled panic; the next write is tried all the same.
        let written = catch_unwind(AssertUnwindSafe(|| changes.write()));
        let abandoned = reply
            .send(written.unwrap_or(Err(LedgerError::NoWriter)))
            .is_err();
        if abandoned {
            tracing::debug!("the agent stopped while its ledger was written");
        }
    }
}
