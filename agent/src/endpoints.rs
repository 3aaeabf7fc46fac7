//! Between the sessions with coordinators and the load balancer of this host: the last good set of
//! endpoints goes one way, what the load balancer does with it the other. Sessions come and go, the
//! set stays.

use std::sync::Arc;

use paasta_common::endpoints::{
    EndpointSet, EndpointUpdate, EndpointVersion, ProxyReport, Received, UpdateError,
};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Duration, Instant, sleep_until},
};

/// Backends in one report, at most: the bound of the wire.
pub const BACKENDS_MAX: usize = 10_000;

/// Between two answers of a session, at least.
const COALESCE: Duration = Duration::from_millis(100);

/// The sessions' end.
#[derive(Clone)]
pub struct EndpointLink {
    received: Arc<Mutex<Received>>,
    sets: Arc<watch::Sender<Option<Arc<EndpointSet>>>>,
    answers: watch::Receiver<Arc<ProxyReport>>,
}

/// The load balancer's end.
pub struct ProxyLink {
    /// The last good set; none before the first.
    pub sets: watch::Receiver<Option<Arc<EndpointSet>>>,
    /// How all of it stands, `complete` or not: sessions send what changed.
    pub answers: watch::Sender<Arc<ProxyReport>>,
}

/// Joins sessions and load balancer. `resumed` is the last good set before this process began.
pub fn link(resumed: Option<EndpointSet>) -> (EndpointLink, ProxyLink) {
    let (sets, wanted) = watch::channel(resumed.clone().map(Arc::new));
    let (standing, answers) = watch::channel(Arc::default());
    let sessions = EndpointLink {
        received: Arc::new(Mutex::new(Received::resume(resumed))),
        sets: Arc::new(sets),
        answers,
    };
    let proxy = ProxyLink {
        sets: wanted,
        answers: standing,
    };
    (sessions, proxy)
}

impl EndpointLink {
    /// A session begins; returns what is to be answered in it.
    pub(crate) fn begin_session(&self) -> Answers {
        self.received.lock().begin_session();
        Answers {
            answers: self.answers.clone(),
            sent: None,
            not_before: Instant::now(),
        }
    }

    /// Takes a message of the session.
    ///
    /// # Errors
    /// [`UpdateError`] when it does not fit what came before; the set stays.
    pub(crate) fn take(&self, update: EndpointUpdate) -> Result<(), UpdateError> {
        let mut received = self.received.lock();
        if received.take(update)? {
            self.sets
                .send_replace(received.set().cloned().map(Arc::new));
        }
        Ok(())
    }
}

/// What one session has still to answer.
pub(crate) struct Answers {
    answers: watch::Receiver<Arc<ProxyReport>>,
    sent: Option<Arc<ProxyReport>>,
    not_before: Instant,
}

impl Answers {
    /// Waits for something new to answer. The first answer goes at once, the next ones [`COALESCE`]
    /// apart. Being dropped while it waits loses nothing. Waits for ever when the load balancer is
    /// gone.
    pub(crate) async fn next(&mut self) -> ProxyReport {
        loop {
            let newest = Arc::clone(&self.answers.borrow_and_update());
            if self.sent.as_ref() != Some(&newest) {
                if Instant::now() < self.not_before {
                    sleep_until(self.not_before).await;
                    continue;
                }
                let report = changed(self.sent.as_deref(), &newest);
                self.sent = Some(newest);
                self.not_before = Instant::now() + COALESCE;
                return report;
            }
            if self.answers.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// What is to be reported by a load balancer that stands like this, when `before` was reported.
fn changed(before: Option<&ProxyReport>, now: &ProxyReport) -> ProxyReport {
    // A backend that is not listed counts as wanted: a list that is cut would be wrong.
    if now.backends.len() > BACKENDS_MAX {
        return ProxyReport {
            version: None::<EndpointVersion>,
            complete: true,
            degraded: format!("more than {BACKENDS_MAX} backends are not as wanted"),
            problems: now.problems.clone(),
            ..ProxyReport::default()
        };
    }
    let whole = ProxyReport {
        complete: true,
        as_wanted: Vec::new(),
        ..now.clone()
    };
    let Some(before) = before.filter(|before| before.backends.len() <= BACKENDS_MAX) else {
        return whole;
    };
    let news = now
        .backends
        .iter()
        .filter(|(id, backend)| before.backends.get(id) != Some(backend));
    let gone = before.backends.keys();
    ProxyReport {
        complete: false,
        backends: news.map(|(id, backend)| (*id, *backend)).collect(),
        as_wanted: gone
            .filter(|id| !now.backends.contains_key(id))
            .copied()
            .collect(),
        ..whole
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use paasta_common::{
        endpoints::{BackendReport, BackendState},
        id::ReplicaId,
    };

    use super::*;

    fn standing(number: u64, backends: &[(u64, u32)]) -> ProxyReport {
        let backends = backends.iter().map(|(id, sessions)| {
            let backend = BackendReport {
                state: BackendState::Maint,
                sessions: *sessions,
            };
            (ReplicaId(*id), backend)
        });
        ProxyReport {
            version: Some(EndpointVersion {
                epoch: 1,
                term: 1,
                number,
            }),
            backends: backends.collect::<BTreeMap<_, _>>(),
            ..ProxyReport::default()
        }
    }

    #[test]
    fn a_session_begins_with_everything_and_goes_on_with_what_changed() {
        let first = standing(1, &[(1, 4), (2, 1)]);
        let report = changed(None, &first);
        assert!(report.complete && report.backends.len() == 2);
        let report = changed(Some(&first), &standing(2, &[(1, 3)]));
        assert!(!report.complete);
        assert_eq!(report.backends.keys().collect::<Vec<_>>(), [&ReplicaId(1)]);
        assert_eq!(report.as_wanted, [ReplicaId(2)]);
    }

    #[test]
    fn a_list_that_is_too_long_acknowledges_nothing() {
        let many: Vec<(u64, u32)> = (0..=BACKENDS_MAX as u64).map(|id| (id, 1)).collect();
        let report = changed(None, &standing(7, &many));
        assert_eq!(report.version, None);
        assert!(report.complete && !report.degraded.is_empty());
    }
}
