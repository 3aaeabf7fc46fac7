//! Removing images that exceed their budget: the engine is asked now and then what there is, the
//! agent has the core judge that by what it must run, and what goes is taken away one by one. A
//! fetch of an image waits until its removal has ended.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use paasta_agent_core::collect::{LastUse, Stock};
use paasta_process::{atomic_file, simulated};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use crate::{
    engine::{Engine, EngineError},
    inbox::Happened,
    lanes::within,
};

/// Between two looks at the images.
pub const EVERY: Duration = Duration::from_secs(300);
/// How long the engine may take for each call: listing a thousand images takes it a while.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The largest file of last uses that is read, bytes.
const FILE_MAX: u64 = 16 << 20;

/// Images that are being removed.
#[derive(Clone, Default)]
pub struct Going {
    names: Arc<Mutex<BTreeSet<String>>>,
    ended: Arc<Notify>,
}

impl Going {
    /// Whether a removal is under way.
    pub fn is_busy(&self) -> bool {
        !self.names.lock().is_empty()
    }

    /// Waits until the image is not being removed. Each removal ends within a minute.
    pub async fn gone(&self, name: &str) {
        loop {
            let ended = self.ended.notified();
            if !self.names.lock().contains(name) {
                return;
            }
            ended.await;
        }
    }

    /// Removes images, one after the other, none by force.
    pub fn begin(&self, engine: Arc<dyn Engine>, names: Vec<String>) {
        self.names.lock().extend(names.iter().cloned());
        let going = self.clone();
        tokio::spawn(async move {
            for name in names {
                match within(PATIENCE, engine.forget(&name)).await {
                    Ok(()) => tracing::info!(image = name, "removed image that nothing needs"),
                    Err(error) => tracing::warn!(image = name, %error, "image was not removed"),
                }
                going.names.lock().remove(&name);
                going.ended.notify_waiters();
            }
        });
    }
}

/// Asks the engine what there is; the answer goes to `inbox`.
pub fn look(engine: Arc<dyn Engine>, inbox: mpsc::Sender<Happened>) {
    tokio::spawn(async move {
        match stock(engine.as_ref()).await {
            // When the agent is gone nobody waits for the answer.
            Ok(stock) => drop(inbox.send(Happened::Stock(stock)).await),
            Err(error) => tracing::warn!(%error, "images cannot be listed"),
        }
    });
}

/// What there is.
///
/// # Errors
/// The engine's.
pub async fn stock(engine: &dyn Engine) -> Result<Stock, EngineError> {
    within(PATIENCE, engine.stock()).await
}

/// When images were last in use, on disk: `images.json` in the state directory.
#[derive(Debug, Clone)]
pub struct LastUseFile {
    path: PathBuf,
}

impl LastUseFile {
    /// The file of an agent.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join("images.json"),
        }
    }

    /// What was written last. A file that is missing or spoilt holds nothing: the images are then
    /// as if they had just been used.
    pub fn read(&self) -> LastUse {
        let small = std::fs::metadata(&self.path).is_ok_and(|meta| meta.len() <= FILE_MAX);
        let text = match small {
            true => std::fs::read(&self.path).unwrap_or_default(),
            false => Vec::new(),
        };
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Writes it anew.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, last: &LastUse) -> io::Result<()> {
        let text = serde_json::to_vec(last)?;
        let written = atomic_file::write(&self.path, &text, 0o600);
        written.map(drop).map_err(io::Error::other)
    }

    /// As [`LastUseFile::write`], beside the agent's work.
    pub fn write_soon(&self, last: &LastUse) {
        let (file, last) = (self.clone(), last.clone());
        tokio::spawn(simulated::blocking(move || {
            if let Err(error) = file.write(&last) {
                tracing::warn!(%error, "the times at which images were used cannot be kept");
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use paasta_common::time::Timestamp;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_spoilt_file_holds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = LastUseFile::new(dir.path());
        assert!(file.read().is_empty());
        let last = LastUse::from([("sha256:0".to_owned(), Timestamp(5))]);
        file.write(&last).unwrap();
        assert_eq!(file.read(), last);
        std::fs::write(dir.path().join("images.json"), "{").unwrap();
        assert!(file.read().is_empty());
    }
}
