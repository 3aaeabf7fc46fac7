//! hacheck's answers: whether a service at a port of this host serves, from what the agent's own
//! checks found, and the spool, in which operators and drains say that it is down.

use std::collections::BTreeMap;

use paasta_common::{
    id::ReplicaId,
    report::{Health, Phase, ReplicaReport},
    text::beginning,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// Entries of the spool, at most.
pub const SPOOL_MAX: usize = 1_000;
/// The longest reason, in characters.
pub const REASON_MAX: usize = 500;
/// The longest name of a service, in bytes.
const SERVICE_MAX: usize = 253;
/// The name that stands for every service.
const ALL: &str = "all";

/// A service's name as hacheck takes it: letters, digits, `.`, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CheckedService(String);

/// A name that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 253 letters, digits, '.', '_' and '-' as the name of a service")]
pub struct NoService;

/// Why something is down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Down {
    /// In an operator's words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; none for until it is up again.
    pub until: Option<Timestamp>,
}

/// What was said to be down, by service and port; port 0 stands for every port.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Entry>", into = "Vec<Entry>")]
pub struct Spool(BTreeMap<(CheckedService, u16), Down>);

/// One entry as it is kept in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    service: CheckedService,
    port: u16,
    down: Down,
}

/// The spool is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the spool has {SPOOL_MAX} entries already: take some up again")]
pub struct SpoolFull;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status of HTTP: 200 for up, 503 for down.
    pub status: u16,
    /// Why, in words.
    pub text: String,
}

impl TryFrom<String> for CheckedService {
    type Error = NoService;
    fn try_from(text: String) -> Result<Self, NoService> {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match (1..=SERVICE_MAX).contains(&text.len()) && text.chars().all(fine) {
            true => Ok(Self(text)),
            false => Err(NoService),
        }
    }
}

impl From<CheckedService> for String {
    fn from(service: CheckedService) -> String {
        service.0
    }
}

impl From<Vec<Entry>> for Spool {
    fn from(entries: Vec<Entry>) -> Self {
        let entries = entries.into_iter().take(SPOOL_MAX);
        Self(
            entries
                .map(|one| ((one.service, one.port), one.down))
                .collect(),
        )
    }
}

impl From<Spool> for Vec<Entry> {
    fn from(spool: Spool) -> Self {
        let entries = spool.0.into_iter();
        entries
            .map(|((service, port), down)| Entry {
                service,
                port,
                down,
            })
            .collect()
    }
}

impl Spool {
    /// Says that a service is down. The same reason again keeps the time since when.
    ///
    /// # Errors
    /// [`SpoolFull`].
    pub fn down(
        &mut self,
        service: CheckedService,
        port: u16,
        mut down: Down,
    ) -> Result<(), SpoolFull> {
        down.reason = beginning(&down.reason, REASON_MAX).to_owned();
        let key = (service, port);
        match self.0.get(&key) {
            Some(before) if before.reason == down.reason => down.since = before.since,
            None if self.0.len() >= SPOOL_MAX => return Err(SpoolFull),
            _ => {}
        }
        self.0.insert(key, down);
        Ok(())
    }

    /// Says that it is up again.
    pub fn up(&mut self, service: &CheckedService, port: u16) {
        self.0.remove(&(service.clone(), port));
    }

    /// Forgets what is over.
    pub fn expire(&mut self, now: Timestamp) {
        self.0
            .retain(|_, down| down.until.is_none_or(|until| now < until));
    }

    /// What says that a service is down at a port: `all`, then the service, then its port.
    pub fn find(
        &self,
        service: &CheckedService,
        port: u16,
        now: Timestamp,
    ) -> Option<(String, &Down)> {
        let all = CheckedService(ALL.to_owned());
        let own = service.clone();
        let keys = [(all, 0), (own.clone(), 0), (own, port)];
        keys.into_iter().find_map(|key| {
            let down = self.0.get(&key)?;
            let name = match key.1 {
                0 => key.0.0,
                port => format!("{}:{port}", key.0.0),
            };
            down.until
                .is_none_or(|until| now < until)
                .then_some((name, down))
        })
    }
}

/// The answer of the spool: 200 where nothing is said to be down.
pub fn spooled(spool: &Spool, service: &CheckedService, port: u16, now: Timestamp) -> Answer {
    let Some((name, down)) = spool.find(service, port, now) else {
        return answer(200, "up");
    };
    let seconds = |at: Timestamp| format!("{}.{:03}000", at.0 / 1_000, at.0 % 1_000);
    let until = down.until.map(|until| format!(" until {}", seconds(until)));
    let (since, until) = (seconds(down.since), until.unwrap_or_default());
    let reason = &down.reason;
    answer(
        503,
        format!("Service {name} in down state since {since}{until}: {reason}"),
    )
}

/// Whether a service serves at a port of this host. The port of another service is no answer for
/// this one: ports are given anew, and proxies may be late.
pub fn judge(
    reports: &BTreeMap<ReplicaId, ReplicaReport>,
    spool: &Spool,
    service: &CheckedService,
    port: u16,
    now: Timestamp,
) -> Answer {
    let said = spooled(spool, service, port, now);
    if said.status != 200 {
        return said;
    }
    let name = service.0.split('.').next().unwrap_or_default();
    let mut here = reports.values().filter(|report| {
        report.host_port == Some(port) && report.app.instance().service.as_str() == name
    });
    let Some(report) = here.next() else {
        let text = format!("no replica of {name} has port {port} of this host");
        return answer(503, text);
    };
    let id = report.id;
    match (&report.phase, &report.health) {
        (Phase::Draining, _) => answer(503, format!("replica {id} is draining")),
        (Phase::Running, Health::Healthy) => answer(200, "healthy"),
        (Phase::Running, Health::Unchecked) => answer(200, "it runs, and has no check"),
        (Phase::Running, Health::Unhealthy) => answer(503, report.message.clone()),
        (Phase::Running, Health::Unknown | Health::Unrecognized(_)) => {
            answer(503, format!("replica {id} has not passed a check yet"))
        }
        (phase, _) => answer(503, format!("replica {id} is {}", phase.as_str())),
    }
}

fn answer(status: u16, text: impl Into<String>) -> Answer {
    let text = text.into();
    Answer { status, text }
}
