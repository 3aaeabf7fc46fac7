//! Notices that the soa directory changed. The system's notifications make it quick; a look at
//! every file's size and time, every two seconds, makes it certain: notifications get lost on
//! network and overlay file systems.

use std::{
    collections::BTreeMap, ffi::OsString, os::unix::fs::MetadataExt, path::Path, time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use paasta_common::deployments;
use tokio::sync::watch;

use crate::store::IoMode;

/// Between two looks at every file.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a file looked like: which file it is, its size, and when it was written. Links are followed.
pub(super) type Print = (u64, u64, i64, i64);
/// What the files of one service looked like, by name.
pub(super) type Prints = BTreeMap<OsString, Print>;
/// The same of all services, by the names of their directories.
pub(super) type Fingerprint = BTreeMap<String, Prints>;

/// How all files look, two levels deep as the soa layout is, but for the deployments.json of which
/// `read_elsewhere` says that nobody reads them. What cannot be read is left out: reading it later
/// says what is wrong.
pub(super) fn fingerprint(dir: &Path, read_elsewhere: &dyn Fn(&str) -> bool) -> Fingerprint {
    let mut seen = Fingerprint::new();
    for service in entries(dir) {
        let name = service.file_name().to_string_lossy().into_owned();
        let mut prints = Prints::new();
        for file in entries(&service.path()) {
            let passed_over = file.file_name() == deployments::FILE && read_elsewhere(&name);
            if let (false, Ok(meta)) = (passed_over, std::fs::metadata(file.path())) {
                let print = (meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec());
                prints.insert(file.file_name(), print);
            }
        }
        seen.insert(name, prints);
    }
    seen
}

fn entries(dir: &Path) -> impl Iterator<Item = std::fs::DirEntry> {
    std::fs::read_dir(dir).into_iter().flatten().flatten()
}

/// Notifications of changes below a directory, for as long as this lives.
pub(super) struct Notifications {
    // Dropping the watcher ends the notifications.
    _watcher: Option<RecommendedWatcher>,
    changes: watch::Receiver<u64>,
}

impl Notifications {
    /// Begins to watch. Where that fails, and in a simulation, which has no foreign threads, only
    /// the regular look notices changes.
    pub(super) fn begin(dir: &Path, io: IoMode) -> Self {
        let (sender, changes) = watch::channel(0);
        if io == IoMode::Inline {
            return Self {
                _watcher: None,
                changes,
            };
        }
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                sender.send_modify(|count| *count += 1);
            }
        });
        let watcher = watcher.and_then(|mut watcher| {
            watcher.watch(dir, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        match watcher {
            Ok(watcher) => Self {
                _watcher: Some(watcher),
                changes,
            },
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "cannot watch the soa directory; changes are noticed every {} s", LOOK_EVERY.as_secs());
                Self {
                    _watcher: None,
                    changes,
                }
            }
        }
    }

    /// Waits for a change or for the next look, whichever is first.
    pub(super) async fn next(&mut self) {
        let changed = async {
            if self.changes.changed().await.is_err() {
                // No watcher: only the look is left.
                std::future::pending::<()>().await;
            }
        };
        // Without a watcher this is the whole of it.
        let _ = tokio::time::timeout(LOOK_EVERY, changed).await;
    }
}
