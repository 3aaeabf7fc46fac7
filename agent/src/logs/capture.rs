//! Capturing: a follower for each living run reads what the engine has of it and appends that to
//! the run's files. A new agent goes on where the files end. What cannot be written now, for want
//! of disk, is read from the engine again later.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use futures_util::StreamExt;
use paasta_process::{backoff::Retry, simulated};
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    RunKey,
    store::{LogStore, Mark, RunWriter},
};
use crate::engine::{Engine, EngineError, Entry, Stream, instant};

/// Entries taken into one write: of 16 KiB each, four megabytes.
const BATCH_MAX: usize = 256;
/// Writes at a time, of all runs.
const WRITERS: usize = 4;
/// How far back the engine is asked when capture goes on, seconds: two outputs of one container
/// are stamped each for itself and may be out of order by a little.
const OVERLAP_S: u64 = 2;

/// All captures of a host. Clones are the same.
#[derive(Clone)]
pub struct Captures {
    engine: Arc<dyn Engine>,
    store: LogStore,
    writers: Arc<Semaphore>,
    held: Arc<Mutex<BTreeMap<RunKey, Capture>>>,
    /// Cancelled when the agent stops.
    shutdown: CancellationToken,
    appended: Arc<watch::Sender<u64>>,
}

struct Capture {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Why a capture broke off.
#[derive(Debug, thiserror::Error)]
enum CaptureError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("its log cannot be written: {0}")]
    Disk(#[from] io::Error),
}

impl Captures {
    /// Captures into `store`, until `shutdown`.
    pub fn new(engine: Arc<dyn Engine>, store: LogStore, shutdown: CancellationToken) -> Self {
        Self {
            engine,
            store,
            writers: Arc::new(Semaphore::new(WRITERS)),
            held: Arc::default(),
            shutdown,
            appended: Arc::new(watch::channel(0).0),
        }
    }

    /// Where it is captured to.
    pub fn store(&self) -> &LogStore {
        &self.store
    }

    /// Changes whenever something was captured.
    pub fn appended(&self) -> watch::Receiver<u64> {
        self.appended.subscribe()
    }

    /// Sees to it that exactly these runs are followed: those that run, by container, and of those
    /// that are ending the ones that are followed already.
    pub fn keep(&self, running: &BTreeMap<RunKey, String>, ending: &BTreeSet<RunKey>) {
        let mut held = self.held.lock();
        held.retain(|run, capture| {
            let stays = running.contains_key(run) || ending.contains(run);
            if !stays {
                capture.stop.cancel();
            }
            stays
        });
        for (run, container) in running {
            if !held.contains_key(run) {
                let capture = self.begin(run.clone(), container.clone());
                held.insert(run.clone(), capture);
            }
        }
    }

    fn begin(&self, run: RunKey, container: String) -> Capture {
        let stop = self.shutdown.child_token();
        let (captures, stopped) = (self.clone(), stop.clone());
        let task = tokio::spawn(async move { captures.follow(&run, &container, &stopped).await });
        Capture { stop, task }
    }

    async fn follow(&self, run: &RunKey, container: &str, stop: &CancellationToken) {
        let mut retry = Retry::new();
        while !stop.is_cancelled() {
            match self.copy(run, container, Some(stop)).await {
                // The container has ended, or the engine has: the next look says which.
                Ok(copied) => {
                    if copied > 0 {
                        retry.reset();
                    }
                }
                Err(CaptureError::Engine(EngineError::Missing(_))) => return,
                Err(error) => tracing::warn!(%run, %error, "capture of its output broke off"),
            }
            let rest = sleep(retry.next_delay());
            tokio::select! { biased; () = stop.cancelled() => {}, () = rest => {} }
        }
    }

    /// Takes over from the follower of a run that has ended, and captures what is left, to the
    /// end. Returns the last words. The caller says for how long.
    ///
    /// # Errors
    /// In words.
    pub async fn finish(&self, run: &RunKey, container: &str) -> Result<String, String> {
        let capture = self.held.lock().remove(run);
        if let Some(capture) = capture {
            capture.stop.cancel();
            // It ends at its next rest, or has panicked: either way it writes no more.
            let _ = capture.task.await;
        }
        let copied = self.copy(run, container, None).await;
        let (store, run) = (self.store.clone(), run.clone());
        let words = simulated::blocking(move || store.last_words(&run)).await;
        match copied {
            Ok(_) | Err(CaptureError::Engine(EngineError::Missing(_))) => {
                Ok(words.unwrap_or_default())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Appends what the engine has beyond the files; returns how many entries. With `follow` until
    /// it is cancelled, never in the middle of a write: another may go on after it.
    async fn copy(
        &self,
        run: &RunKey,
        container: &str,
        follow: Option<&CancellationToken>,
    ) -> Result<usize, CaptureError> {
        let (store, key) = (self.store.clone(), run.clone());
        let mut writer = on_disk(move || store.writer(&key)).await?;
        let mut replay = Replay::after(&writer);
        let entries = self
            .engine
            .logs(container, replay.since_s(), follow.is_some());
        let mut batches = entries.ready_chunks(BATCH_MAX);
        let mut copied = 0;
        loop {
            let stopped = async {
                match follow {
                    Some(stop) => stop.cancelled().await,
                    None => std::future::pending().await,
                }
            };
            let next =
                tokio::select! { biased; () = stopped => None, next = batches.next() => next };
            let Some(batch) = next else { return Ok(copied) };
            let mut broken = None;
            let mut news = Vec::with_capacity(batch.len());
            for entry in batch {
                match entry {
                    Ok(entry) => {
                        news.extend(replay.gap_before(&entry));
                        if replay.is_news(&entry) {
                            news.push(entry);
                        }
                    }
                    Err(error) => {
                        broken = Some(error);
                        break;
                    }
                }
            }
            if !news.is_empty() {
                copied += news.len();
                writer = self.write(writer, news).await?;
                self.appended.send_modify(|times| *times += 1);
            }
            if let Some(error) = broken {
                return Err(error.into());
            }
        }
    }

    async fn write(&self, mut writer: RunWriter, news: Vec<Entry>) -> io::Result<RunWriter> {
        let _permit = self.writers.acquire().await.map_err(io::Error::other)?;
        on_disk(move || writer.append(&news).map(|()| writer)).await
    }
}

/// Tells what was captured before from what was not, entry by entry, when the engine tells again
/// from a little earlier.
struct Replay {
    outputs: [(Stream, Mark, bool); 2],
    /// Nothing that was captured before was told again yet: the first entry decides whether
    /// something between it and the last captured one is gone.
    unjoined: bool,
}

impl Replay {
    fn after(writer: &RunWriter) -> Self {
        let outputs = Stream::ALL.map(|stream| {
            let mark = writer.mark(stream);
            (stream, mark, mark.count > 0)
        });
        Self {
            outputs,
            unjoined: outputs.iter().any(|(_, _, replaying)| *replaying),
        }
    }

    /// The time of the last entry of either output.
    fn last_ns(&self) -> u64 {
        let last = self.outputs.iter().map(|(_, mark, _)| mark.at_ns).max();
        last.unwrap_or(0)
    }

    /// Says that something is missing where the engine has nothing any more of what was captured
    /// last.
    fn gap_before(&mut self, entry: &Entry) -> Option<Entry> {
        let unjoined = std::mem::take(&mut self.unjoined);
        let (last_ns, gone) = (self.last_ns(), unjoined && !entry.gap);
        (gone && entry.at_ns > last_ns).then(|| {
            let last = instant::write(last_ns);
            let words = format!(
                "the container runtime removed it before it was captured, some of what was written after {last}"
            );
            Entry::gap_before(entry, &words)
        })
    }

    /// From when on the engine must tell.
    fn since_s(&self) -> u64 {
        (self.last_ns() / 1_000_000_000).saturating_sub(OVERLAP_S)
    }

    fn is_news(&mut self, entry: &Entry) -> bool {
        if entry.gap {
            return true;
        }
        let output = self
            .outputs
            .iter_mut()
            .find(|(stream, ..)| *stream == entry.stream);
        let Some((_, mark, replaying)) = output else {
            return true;
        };
        if !*replaying || entry.at_ns > mark.at_ns {
            // From here on everything is: a clock that is set back must not hide what comes.
            *replaying = false;
            return true;
        }
        if entry.at_ns == mark.at_ns {
            if mark.count == 0 {
                return true;
            }
            mark.count -= 1;
        }
        false
    }
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    simulated::blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests;
