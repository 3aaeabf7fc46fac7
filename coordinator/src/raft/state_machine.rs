//! openraft's view of the [`Machine`] and of the store's snapshots.

use std::{io, sync::Arc};

use futures_util::{Stream, TryStreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    storage::{EntryResponder, RaftStateMachine},
};

use parking_lot::Mutex;

use super::{
    builds::Builds,
    codec,
    entry::to_position,
    machine::{Machine, SnapshotWriter},
    types::{Command, LogId, Outcome, Snapshot, SnapshotMeta, StoredMembership, TypeConfig},
};
use crate::store::{IoMode, SnapshotFile, Snapshots};

/// Applies committed entries to a machine that lives in memory, and keeps its snapshots on disk.
pub struct StateMachine {
    machine: Arc<dyn Machine>,
    snapshots: Snapshots,
    io: IoMode,
    builds: Builds,
    applied: Option<LogId>,
    members: StoredMembership,
}

/// Writes one snapshot of a state that was copied when this was made.
pub struct SnapshotBuilder {
    meta: SnapshotMeta,
    /// Taken by the first build; locked only because builders are shared by type.
    writer: Mutex<Option<SnapshotWriter>>,
    snapshots: Snapshots,
    io: IoMode,
    builds: Builds,
}

impl StateMachine {
    /// On a machine in its initial state; openraft restores it from the newest snapshot.
    pub fn new(machine: Arc<dyn Machine>, snapshots: Snapshots, io: IoMode) -> Self {
        Self {
            machine,
            snapshots,
            io,
            builds: Builds::default(),
            applied: None,
            members: StoredMembership::default(),
        }
    }

    /// The same, telling `builds` what becomes of snapshots.
    #[must_use]
    pub fn telling(self, builds: Builds) -> Self {
        Self { builds, ..self }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.members.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let outcome = match entry.payload {
                EntryPayload::Blank => Vec::new(),
                EntryPayload::Normal(Command(command)) => {
                    self.machine.apply(entry.log_id.index(), &command)
                }
                EntryPayload::Membership(members) => {
                    self.members = StoredMembership::new(Some(entry.log_id), members);
                    Vec::new()
                }
            };
            self.applied = Some(entry.log_id);
            if let Some(responder) = responder {
                responder.send(Outcome(outcome));
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            meta: SnapshotMeta {
                last_log_id: self.applied,
                last_membership: self.members.clone(),
            },
            writer: Mutex::new(Some(self.machine.snapshot())),
            snapshots: self.snapshots.clone(),
            io: self.io,
            builds: self.builds.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotFile,
    ) -> io::Result<()> {
        if read_meta(&snapshot)? != *meta {
            return Err(io::Error::other(
                "the snapshot is not the one that was announced",
            ));
        }
        let (machine, snapshots) = (Arc::clone(&self.machine), self.snapshots.clone());
        // On disk first: after a crash in between, the next start restores from it.
        let restore = move || machine.restore(&mut snapshots.adopt(snapshot)?.body());
        self.io.run(restore).await?;
        self.applied = meta.last_log_id;
        self.members = meta.last_membership.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let Some(file) = self.snapshots.current() else {
            return Ok(None);
        };
        Ok(Some(Snapshot {
            meta: read_meta(&file)?,
            snapshot: file,
        }))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let writer = self.writer.get_mut().take();
        let writer = writer.ok_or_else(|| io::Error::other("a builder builds one snapshot"))?;
        let last = self.meta.last_log_id.map(to_position);
        let (meta, snapshots) = (codec::encode(&self.meta)?, self.snapshots.clone());
        let written = self.io.run(move || snapshots.write(last, &meta, writer));
        match written.await {
            Ok(file) => {
                self.builds.succeeded();
                Ok(Snapshot {
                    meta: self.meta.clone(),
                    snapshot: file,
                })
            }
            Err(error) => {
                self.builds.failed(&error);
                self.newest()
            }
        }
    }
}

impl SnapshotBuilder {
    /// The snapshot that there was before: openraft ends for good where a build fails, and takes
    /// one that is no newer for no progress.
    fn newest(&self) -> io::Result<Snapshot> {
        match self.snapshots.current() {
            Some(file) => Ok(Snapshot {
                meta: read_meta(&file)?,
                snapshot: file,
            }),
            None => Ok(Snapshot {
                meta: SnapshotMeta::default(),
                snapshot: self.snapshots.nothing()?,
            }),
        }
    }
}

/// What the snapshot says about itself, in openraft's words.
pub(super) fn read_meta(file: &SnapshotFile) -> io::Result<SnapshotMeta> {
    Ok(codec::decode(&file.head().meta)?)
}
