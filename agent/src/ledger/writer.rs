//! The one thread that writes the ledger. On the threads of the pool, each of them would come to
//! hold memory for it.

use std::{
    io,
    path::PathBuf,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use paasta_process::simulated;
use tokio::sync::oneshot;

use super::{disk, error::LedgerError};

/// A file to be written.
pub(super) struct Save {
    pub(super) root: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// It goes to the file before the newest as well.
    pub(super) both: bool,
}

/// A save that has ended; the bytes, whose memory is used again.
type Ended = (Result<(), LedgerError>, Vec<u8>);

/// Writes saves one after the other. Its thread ends when it is dropped.
pub(super) struct Writer {
    /// None in a simulation, where writes happen at once.
    saves: Option<SyncSender<(Save, oneshot::Sender<Ended>)>>,
}

impl Writer {
    /// Starts the thread.
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

    pub(super) async fn write(&self, save: Save) -> Ended {
        let Some(saves) = &self.saves else {
            return save.write();
        };
        let (reply, ended) = oneshot::channel();
        // There is one save at a time: the channel has room.
        if saves.try_send((save, reply)).is_err() {
            return (Err(LedgerError::NoWriter), Vec::new());
        }
        let none = |_| (Err(LedgerError::NoWriter), Vec::new());
        ended.await.unwrap_or_else(none)
    }
}

impl Save {
    fn write(self) -> Ended {
        (disk::save(&self.root, &self.bytes, self.both), self.bytes)
    }
}

fn run(received: &Receiver<(Save, oneshot::Sender<Ended>)>) {
    for (save, reply) in received {
        if reply.send(save.write()).is_err() {
            tracing::debug!("the agent stopped while its ledger was written");
        }
    }
}
