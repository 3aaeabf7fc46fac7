//! The audit log of this coordinator: every call that changes something and every refusal, as a
//! line of JSON in a file that is only appended to. A thread of its own writes; a call never waits
//! for the disk. What cannot be written is counted, and the number is written when it can be again.

mod file;
mod record;

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use paasta_common::time::Timestamp;
use paasta_coordinator_core::access::refusals::Refusals;
use paasta_process::{
    clock::Clock,
    metrics::{Counts, Meters},
};
use parking_lot::Mutex;

pub use file::Place;
pub use record::{AuditOutcome, OBJECTS_MAX, Record};

use file::Log;

/// Records that wait for the disk, at most.
const WAITING_MAX: usize = 4_096;
/// Records that one flush makes durable, at most.
const BATCH_MAX: usize = 256;
/// Between two looks at the refusals that were left out.
const LOOK: Duration = Duration::from_secs(10);

/// What the audit log counts.
#[derive(Clone, Debug)]
pub struct AuditMeters {
    written: Counts,
    lost: Counts,
    left_out: Counts,
}

/// The audit log. Clones are the same.
#[derive(Clone)]
pub struct Audit {
    /// None in a simulation, which has no files.
    inner: Option<Arc<Inner>>,
}

struct Inner {
    place: Place,
    node: u64,
    clock: Arc<dyn Clock>,
    meters: AuditMeters,
    refusals: Mutex<Refusals>,
    /// Records to be written; taken when the coordinator stops.
    queue: Option<SyncSender<Record>>,
    writer: Option<JoinHandle<()>>,
}

impl AuditMeters {
    /// Nothing counted yet.
    pub fn new(meters: &Meters) -> Self {
        let none: &[&str] = &[];
        let made = Self {
            written: meters.counts(
                "paasta_audit_records_written_total",
                "Records in the audit log of this coordinator.",
                none,
            ),
            lost: meters.counts(
                "paasta_audit_records_lost_total",
                "Records that could not be written to the audit log.",
                none,
            ),
            left_out: meters.counts(
                "paasta_audit_refusals_left_out_total",
                "Refused calls that are in the audit log as a number only: more than ten a minute of one caller.",
                none,
            ),
        };
        for counts in [&made.written, &made.lost, &made.left_out] {
            counts.with_label_values(none);
        }
        made
    }

    fn add(counts: &Counts, number: u64) {
        let none: &[&str] = &[];
        counts.with_label_values(none).inc_by(number);
    }
}

impl Audit {
    /// No log.
    pub fn off() -> Self {
        Self { inner: None }
    }

    /// The log of coordinator `node`.
    ///
    /// # Errors
    /// When the thread that writes cannot be started.
    pub fn start(
        place: Place,
        node: u64,
        clock: Arc<dyn Clock>,
        meters: AuditMeters,
    ) -> io::Result<Self> {
        let (queue, records) = sync_channel(WAITING_MAX);
        let (log, counts, time) = (Log::new(place.clone()), meters.clone(), Arc::clone(&clock));
        let writer = thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write(log, &records, &counts, &*time, node))?;
        let inner = Inner {
            place,
            node,
            clock,
            meters,
            refusals: Mutex::default(),
            queue: Some(queue),
            writer: Some(writer),
        };
        Ok(Self {
            inner: Some(Arc::new(inner)),
        })
    }

    /// A record of now; written by [`Audit::write`].
    pub fn record(&self) -> Record {
        let Some(inner) = &self.inner else {
            return Record::default();
        };
        Record {
            coordinator: inner.node,
            ..Record::at(inner.clock.now())
        }
    }

    /// Puts a record in the queue of the writer.
    pub fn write(&self, record: Record) {
        if let Some(inner) = &self.inner {
            inner.put(record);
        }
    }

    /// Writes a refusal of `caller`, unless there were many within a minute; returns whether it is
    /// written down.
    pub fn refuse(&self, caller: &str, record: Record) -> bool {
        let Some(inner) = &self.inner else {
            return false;
        };
        let now = inner.clock.now();
        let (noted, over) = {
            let mut refusals = inner.refusals.lock();
            let over = refusals.over(now);
            (refusals.is_noted(caller, now), over)
        };
        inner.left_out(over);
        match noted {
            true => inner.put(record),
            false => AuditMeters::add(&inner.meters.left_out, 1),
        }
        noted
    }

    /// Writes the numbers of refusals that were left out in minutes that are over.
    pub fn sweep(&self) {
        if let Some(inner) = &self.inner {
            let over = inner.refusals.lock().over(inner.clock.now());
            inner.left_out(over);
        }
    }

    /// Sweeps until it is dropped.
    pub async fn follow(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.sweep();
        }
    }

    /// The newest records that `wanted` selects, at most `limit`, oldest first. Reads files.
    ///
    /// # Errors
    /// What the file system says.
    pub fn newest(
        &self,
        limit: usize,
        wanted: impl Fn(&Record) -> bool,
    ) -> io::Result<Vec<Record>> {
        match &self.inner {
            Some(inner) => inner.place.newest(limit, wanted),
            None => Ok(Vec::new()),
        }
    }
}

impl Inner {
    fn put(&self, record: Record) {
        let Some(queue) = &self.queue else {
            return;
        };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send(record) {
            AuditMeters::add(&self.meters.lost, 1);
        }
    }

    fn left_out(&self, over: Vec<(String, u64)>) {
        for (caller, left_out) in over {
            self.put(Record {
                coordinator: self.node,
                user: caller.clone(),
                peer: caller,
                outcome: AuditOutcome::Denied,
                action_details: format!("{left_out} more calls of this caller were refused"),
                left_out,
                ..Record::at(self.clock.now())
            });
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the audit log has panicked");
        }
    }
}

/// Writes records until there is no sender of them any more.
fn write(
    mut log: Log,
    records: &Receiver<Record>,
    meters: &AuditMeters,
    clock: &dyn Clock,
    node: u64,
) {
    let mut lost = 0;
    loop {
        let mut batch = Vec::new();
        match records.recv_timeout(LOOK) {
            Ok(record) => batch.push(record),
            Err(RecvTimeoutError::Timeout) if lost > 0 => {}
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        }
        batch.extend(records.try_iter().take(BATCH_MAX - 1));
        let number = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        if lost > 0 {
            batch.insert(0, lost_records(lost, node, clock.now()));
        }
        let lines: Vec<u8> = batch
            .into_iter()
            .filter_map(Record::line)
            .flatten()
            .collect();
        match log.append(&lines) {
            Ok(()) => {
                if lost > 0 {
                    tracing::info!(lost, "the audit log is written again");
                }
                lost = 0;
                AuditMeters::add(&meters.written, number);
            }
            Err(error) => {
                if lost == 0 {
                    tracing::error!(
                        %error,
                        "the audit log cannot be written: calls go on and are not recorded; make room, or correct coordinator.audit_dir"
                    );
                }
                // A batch without a record still shows that the log is not written.
                lost += number;
                AuditMeters::add(&meters.lost, number);
            }
        }
    }
}

fn lost_records(lost: u64, node: u64, now: Timestamp) -> Record {
    Record {
        coordinator: node,
        outcome: AuditOutcome::Lost,
        action: "Audit".to_owned(),
        action_details: format!(
            "{lost} records before this one were lost: the log could not be written"
        ),
        left_out: lost,
        ..Record::at(now)
    }
}

#[cfg(test)]
mod tests;
