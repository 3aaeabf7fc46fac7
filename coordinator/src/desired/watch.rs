//! Notices that the soa directory changed. The system's notifications make it quick; a look at
//! every file's size and time, every two seconds, makes it certain: notifications get lost on
//! network and overlay file systems.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;

use crate::store::IoMode;

/// Between two looks at every file.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a file looked like: size, time of change. Links are followed.
pub(super) type Fingerprint = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

/// The sizes and times of all files, two levels deep as the soa layout is. What cannot be read is
/// left out: reading it later says what is wrong.
pub(super) fn fingerprint(dir: &Path) -> Fingerprint {
    let mut seen = Fingerprint::new();
    let services = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for service in services {
        let files = std::fs::read_dir(service.path())
            .into_iter()
            .flatten()
            .flatten();
        for file in files {
            let path = file.path();
            if let Ok(meta) = std::fs::metadata(&path) {
                seen.insert(path, (meta.len(), meta.modified().ok()));
            }
        }
        seen.insert(service.path(), (0, None));
    }
    seen
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
