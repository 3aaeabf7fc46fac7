//! What becomes of building snapshots. One that fails is no end of consensus: the log is kept
//! longer instead, and it is built again a while later.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::types::Raft;

/// Before the second try; doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest time between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long one try may take before it counts as lost.
const TRY_MAX: Duration = Duration::from_secs(600);

/// Why there is no newer snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotTrouble {
    /// How often it was tried since the last success, from 1.
    pub tries: u32,
    /// What the last try ended with.
    pub error: String,
}

/// How building snapshots goes. Clones are the same.
#[derive(Clone, Debug)]
pub struct Builds(Arc<watch::Sender<Option<SnapshotTrouble>>>);

impl Default for Builds {
    fn default() -> Self {
        Self(Arc::new(watch::channel(None).0))
    }
}

impl Builds {
    pub(super) fn trouble(&self) -> Option<SnapshotTrouble> {
        self.0.borrow().clone()
    }

    pub(super) fn succeeded(&self) {
        if self.0.send_replace(None).is_some() {
            tracing::info!("a snapshot of the cluster's state was written again");
        }
    }

    pub(super) fn failed(&self, error: &io::Error) {
        let tries = self.trouble().map_or(0, |trouble| trouble.tries) + 1;
        let pause = pause(tries);
        tracing::warn!(
            %error,
            tries,
            next_try_in = ?pause,
            "the snapshot of the cluster's state was not written; the log is kept longer meanwhile"
        );
        self.0.send_replace(Some(SnapshotTrouble {
            tries,
            error: error.to_string(),
        }));
    }

    /// Has what failed built again, until `raft` ends.
    pub(super) async fn retry(self, raft: Raft) {
        let mut trouble = self.0.subscribe();
        loop {
            let tries = match trouble.wait_for(Option::is_some).await {
                Ok(trouble) => trouble.as_ref().map_or(1, |trouble| trouble.tries),
                Err(_) => return,
            };
            sleep(pause(tries)).await;
            if trouble.has_changed().unwrap_or(false) {
                // Another one was built, or failed, meanwhile.
                continue;
            }
            if raft.trigger().snapshot().await.is_err() {
                return;
            }
            // A try that never ends is followed by another one.
            let _ = timeout(TRY_MAX, trouble.changed()).await;
        }
    }
}

fn pause(tries: u32) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(1 << tries.saturating_sub(1).min(16));
    doubled.min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_become_rarer_and_never_end() {
        let pauses: Vec<u64> = (1..=8).map(|tries| pause(tries).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
    }

    #[test]
    fn a_failure_is_known_until_one_succeeds() {
        let builds = Builds::default();
        assert_eq!(builds.trouble(), None);
        for tries in 1..=2 {
            builds.failed(&io::Error::from(io::ErrorKind::StorageFull));
            let trouble = builds.trouble().expect("it failed");
            assert_eq!(trouble.tries, tries);
            assert!(trouble.error.contains("no storage space"), "{trouble:?}");
        }
        builds.succeeded();
        assert_eq!(builds.trouble(), None);
    }
}
