//! When the disk is waited for, and by whom: one thread, which lets every write that waits share
//! one flush. A simulation, whose clock must not run on while a foreign thread works, has the
//! caller wait instead.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    disk::Disk,
    hardstate::{Ballot, Mark},
};

/// The most jobs that wait for the flusher; a caller beyond them waits to get in.
const MAX_WAITING_JOBS: usize = 4096;

/// Who does the waiting for the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoMode {
    /// A thread of its own; what production uses.
    #[default]
    Threaded,
    /// The caller, before its call returns: for simulations, where only this is repeatable.
    Inline,
}

impl IoMode {
    /// Runs something that blocks, off the calling task if the mode has threads.
    ///
    /// # Errors
    /// Those of `work`, or that it panicked.
    pub async fn run<T, F>(self, work: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> io::Result<T> + Send + 'static,
    {
        match self {
            Self::Inline => work(),
            Self::Threaded => tokio::task::spawn_blocking(work)
                .await
                .map_err(|error| io::Error::other(format!("disk work failed: {error}")))?,
        }
    }
}

/// Told once how a write ended.
pub(super) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Something to do on the disk; jobs are done strictly in the order they were submitted.
pub(super) enum Job {
    /// Make what was written durable, then raise the marks.
    Sync {
        /// The last record written, if any was.
        durable: Option<Mark>,
        /// The last record purged, if any was.
        purged: Option<Mark>,
        done: Done,
    },
    Vote(Ballot, Done),
    Lower(Option<Mark>, Done),
    Cluster(String, u64, Done),
}

/// Makes writes durable, in order.
#[derive(Debug)]
pub enum Flusher {
    /// Through the flushing thread, which ends when this is dropped.
    #[doc(hidden)]
    Threaded(FlushQueue),
    /// At once, on the caller.
    #[doc(hidden)]
    Inline(InlineDisk),
}

/// The way to the flushing thread.
#[derive(Debug)]
pub struct FlushQueue(mpsc::Sender<Job>);

/// The disk itself.
#[derive(Debug)]
pub struct InlineDisk(Arc<Disk>);

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sync { .. } => "Sync",
            Self::Vote(..) => "Vote",
            Self::Lower(..) => "Lower",
            Self::Cluster(..) => "Cluster",
        })
    }
}

impl Flusher {
    pub(super) fn start(mode: IoMode, disk: Arc<Disk>) -> io::Result<Self> {
        match mode {
            IoMode::Inline => Ok(Self::Inline(InlineDisk(disk))),
            IoMode::Threaded => {
                let (sender, jobs) = mpsc::channel(MAX_WAITING_JOBS);
                thread::Builder::new()
                    .name("raft-flush".to_owned())
                    .spawn(move || work_off(&disk, jobs))?;
                Ok(Self::Threaded(FlushQueue(sender)))
            }
        }
    }

    /// Queues a job; its `done` is called when it ended, on whatever thread.
    pub(super) async fn submit(&self, job: Job) -> io::Result<()> {
        match self {
            Self::Inline(disk) => {
                perform(&disk.0, vec![job]);
                Ok(())
            }
            Self::Threaded(queue) => queue
                .0
                .send(job)
                .await
                .map_err(|_| io::Error::other("the flushing thread has ended")),
        }
    }

    /// Queues the job that `make` builds and waits until it ended.
    pub(super) async fn wait_for(&self, make: impl FnOnce(Done) -> Job + Send) -> io::Result<()> {
        let (sender, ended) = oneshot::channel();
        let done: Done = Box::new(move |result| {
            // The receiver is gone only when the caller gave up waiting.
            let _ = sender.send(result);
        });
        self.submit(make(done)).await?;
        ended
            .await
            .map_err(|_| io::Error::other("the flushing thread has ended"))?
    }
}

fn work_off(disk: &Arc<Disk>, mut jobs: mpsc::Receiver<Job>) {
    let mut group = Vec::with_capacity(MAX_WAITING_JOBS);
    while jobs.blocking_recv_many(&mut group, MAX_WAITING_JOBS) > 0 {
        perform(disk, std::mem::take(&mut group));
    }
}

/// Does the jobs in order; neighbouring syncs share one flush.
fn perform(disk: &Disk, jobs: Vec<Job>) {
    let mut waiting = Vec::new();
    let mut marks = (None, None);
    for job in jobs {
        match job {
            Job::Sync {
                durable,
                purged,
                done,
            } => {
                marks = (durable.or(marks.0), purged.or(marks.1));
                waiting.push(done);
            }
            Job::Vote(ballot, done) => {
                sync(disk, &mut waiting, &mut marks);
                done(contained(|| disk.vote(ballot)));
            }
            Job::Lower(last, done) => {
                sync(disk, &mut waiting, &mut marks);
                done(contained(|| disk.lower(last)));
            }
            Job::Cluster(id, epoch, done) => {
                sync(disk, &mut waiting, &mut marks);
                done(contained(|| disk.cluster(id, epoch)));
            }
        }
    }
    sync(disk, &mut waiting, &mut marks);
}

fn sync(disk: &Disk, waiting: &mut Vec<Done>, marks: &mut (Option<Mark>, Option<Mark>)) {
    if waiting.is_empty() {
        return;
    }
    let (durable, purged) = std::mem::take(marks);
    let result = contained(|| disk.sync(durable, purged));
    for done in waiting.drain(..) {
        done(match &result {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        });
    }
}

/// sled panics on some damage; the waiting task must hear of it.
fn contained(work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(io::Error::other("the log store panicked while writing")))
}
