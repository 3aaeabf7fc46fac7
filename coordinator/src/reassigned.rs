//! Which hosts are to run something else than before: a session waits for changes of its own host.
//! Waiting for every applied command instead, ten thousand sessions were woken by each of them.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use paasta_common::id::HostId;
use tokio::sync::watch;

/// Hosts share so many channels: with ten thousand hosts a change of one wakes ten sessions.
const CHANNELS: usize = 1_024;

/// The channels. Clones are the same.
#[derive(Debug, Clone)]
pub struct Reassigned(Arc<[watch::Sender<()>]>);

impl Default for Reassigned {
    fn default() -> Self {
        Self((0..CHANNELS).map(|_| watch::Sender::default()).collect())
    }
}

impl Reassigned {
    /// Changes when the assignment of this host does, and at times when it does not.
    pub fn watch(&self, host: &HostId) -> watch::Receiver<()> {
        self.channel(host).subscribe()
    }

    /// The assignment of this host was changed, or the host was removed.
    pub(crate) fn changed(&self, host: &HostId) {
        self.channel(host).send_replace(());
    }

    /// The assignment of every host may be another one.
    pub(crate) fn all_changed(&self) {
        for channel in self.0.iter() {
            channel.send_replace(());
        }
    }

    fn channel(&self, host: &HostId) -> &watch::Sender<()> {
        let mut hasher = DefaultHasher::new();
        host.hash(&mut hasher);
        // Below the number of channels, which fits.
        let at = (hasher.finish() % CHANNELS as u64) as usize;
        &self.0[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_one_host_wakes_few_others() {
        let channels = Reassigned::default();
        let hosts: Vec<HostId> = (0..2_000)
            .map(|at| format!("host-{at}").parse().unwrap())
            .collect();
        let watched: Vec<_> = hosts.iter().map(|host| channels.watch(host)).collect();
        let woken = || watched.iter().filter(|one| one.has_changed().unwrap());
        channels.changed(&hosts[7]);
        assert!(watched[7].has_changed().unwrap());
        assert!((1..20).contains(&woken().count()), "{}", woken().count());
        channels.all_changed();
        assert_eq!(woken().count(), hosts.len());
    }
}
