//! Ends open connections whose other end has no rights any more. A stream may be open for days:
//! what is judged at its beginning is judged again here.

use std::{
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use paasta_identity::Peer;
use paasta_process::accept::Activity;
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use super::{Rights, cause};

/// How often all open connections are looked at: a revocation takes effect on them within this time.
pub const SWEEP: Duration = Duration::from_secs(5);

/// A connection, as long as it is open, and its proven other end.
type Open = (Weak<Activity>, Arc<Peer>);

/// The open connections with TLS: as many as the endpoint may have, and those that were closed
/// within the last [`SWEEP`]. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct OpenPeers(Arc<Mutex<Vec<Open>>>);

impl OpenPeers {
    /// A connection is open.
    pub fn opened(&self, activity: &Arc<Activity>, peer: Arc<Peer>) {
        self.0.lock().push((Arc::downgrade(activity), peer));
    }

    fn all(&self) -> Vec<(Arc<Activity>, Arc<Peer>)> {
        let mut all = self.0.lock();
        all.retain(|(activity, _)| activity.strong_count() > 0);
        let open = all.iter();
        open.filter_map(|(activity, peer)| Some((activity.upgrade()?, Arc::clone(peer))))
            .collect()
    }

    /// Looks at all of them again and again, and ends those without rights. Never ends.
    pub async fn sweep(self, rights: Rights) {
        let mut ticks = interval(SWEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = SystemTime::now();
            for (activity, peer) in self.all() {
                if let Err(error) = rights.standing(&peer, now)
                    && let Some(cause) = cause(&error)
                {
                    rights.refusals().connection(cause, &error.to_string());
                    activity.close();
                }
            }
        }
    }
}
