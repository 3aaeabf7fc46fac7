//! Which git repository is asked next: each in its turn, the ones that do not answer ever more
//! rarely, and a server that hangs by one call at a time, so that it keeps nobody waiting. The
//! asking is the shell's, and so is chance, which comes in as a number.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{id::ServiceName, time::Timestamp};

mod place;

pub use place::same_place;

/// How the repositories are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two questions to one repository, at least, in milliseconds.
    pub every_ms: u64,
    /// The longest time between two questions to one that does not answer, in milliseconds.
    pub retry_max_ms: u64,
    /// How many are asked at the same time.
    pub at_once: usize,
}

/// Between the beginnings of two questions to one repository, at least, however often it is poked,
/// in milliseconds.
pub const POKED_EVERY_MS: u64 = 1_000;
/// The longest error kept of a repository, in bytes.
pub const ERROR_BYTES_MAX: usize = 1_000;
/// So many timeouts in a row, of whichever repositories, and a server counts as hanging.
const HANGING: u32 = 2;
/// How much later than asked for a question may come, in thousandths: no two stay in step.
const JITTER: u64 = 200;

/// The repositories, one for each service.
#[derive(Debug, Clone)]
pub struct Remotes {
    pace: Pace,
    services: BTreeMap<ServiceName, Remote>,
    /// Timeouts in a row, by server; those that answer are absent.
    timeouts: BTreeMap<String, u32>,
}

/// The repository of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Where it is, as it is shown: without a login. Empty when it is not configured.
    pub url: String,
    /// Whether its place is not configured: then no server is asked.
    pub nowhere: bool,
    /// When it last answered.
    pub answered_at: Option<Timestamp>,
    /// Why it did not the last time; empty when it did.
    pub error: String,
    /// How often in a row it did not.
    pub failures: u32,
    /// What is to be mended in what it answered; empty when nothing.
    pub warning: String,
    /// When it is asked next.
    pub next_at: Timestamp,
    /// Whether it is being asked.
    pub asking: bool,
    /// When it was asked last.
    asked_at: Option<Timestamp>,
    /// Whether somebody said meanwhile that there is something new.
    poked: bool,
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was answered, and what it says is in force.
    Answered {
        /// What is to be mended in it; empty when nothing.
        warning: String,
    },
    /// No server was asked: neither the service nor the operator names the repository.
    Nowhere,
    /// It was not.
    Failed {
        /// Why.
        error: String,
        /// Whether the server let us wait until the deadline.
        timed_out: bool,
    },
}

impl Remotes {
    /// None yet.
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            services: BTreeMap::new(),
            timeouts: BTreeMap::new(),
        }
    }

    /// The services that have no repository here yet.
    pub fn missing(&self, services: &[ServiceName]) -> Vec<ServiceName> {
        let known = |service: &&ServiceName| self.services.contains_key(*service);
        services
            .iter()
            .filter(|service| !known(service))
            .cloned()
            .collect()
    }

    /// These services there are, and no others.
    pub fn retain(&mut self, services: &[ServiceName]) {
        let declared: BTreeSet<&ServiceName> = services.iter().collect();
        self.services
            .retain(|service, _| declared.contains(service));
        let servers: BTreeSet<String> = self
            .services
            .values()
            .map(|remote| server(&remote.url).to_owned())
            .collect();
        self.timeouts.retain(|server, _| servers.contains(server));
    }

    /// A service is new: it is asked about soon, the new ones one after the other. `chance` is 0 to
    /// 999.
    pub fn add(&mut self, service: ServiceName, url: String, now: Timestamp, chance: u64) {
        // A new leader asks for all of them: within a second, in a random order.
        let next_at = now.after_ms(chance);
        self.services.entry(service).or_insert(Remote {
            nowhere: url.is_empty(),
            url,
            answered_at: None,
            error: String::new(),
            failures: 0,
            warning: String::new(),
            next_at,
            asking: false,
            asked_at: None,
            poked: false,
        });
    }

    /// There is something new in the repository of a service: it is asked next, though not within
    /// [`POKED_EVERY_MS`] of the last question, so that a burst costs two. False when there is no
    /// such service.
    pub fn poke(&mut self, service: &ServiceName) -> bool {
        let Some(remote) = self.services.get_mut(service) else {
            return false;
        };
        remote.poked = true;
        remote.next_at = remote.at_once();
        true
    }

    /// Those that are to be asked now; they count as being asked from here on.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<ServiceName> {
        let mut asking: BTreeMap<&str, usize> = BTreeMap::new();
        for remote in self.services.values().filter(|remote| remote.asking) {
            *asking.entry(server(&remote.url)).or_default() += 1;
        }
        let mut free = self.pace.at_once.saturating_sub(asking.values().sum());
        let due = |remote: &Remote| !remote.asking && remote.next_at <= now;
        let mut due: Vec<(Timestamp, &ServiceName, &str)> = self
            .services
            .iter()
            .filter(|(_, remote)| due(remote))
            .map(|(service, remote)| (remote.next_at, service, server(&remote.url)))
            .collect();
        due.sort();
        let mut taken = Vec::new();
        for (_, service, server) in due {
            let count = asking.entry(server).or_default();
            if free == 0 {
                break;
            }
            if *count < self.room(server) {
                *count += 1;
                free -= 1;
                taken.push(service.clone());
            }
        }
        for service in &taken {
            if let Some(remote) = self.services.get_mut(service) {
                remote.asking = true;
                remote.asked_at = Some(now);
                remote.poked = false;
            }
        }
        taken
    }

    /// How many calls one server gets at the same time: a part is always left for the others.
    fn room(&self, server: &str) -> usize {
        let timeouts = self.timeouts.get(server).copied().unwrap_or(0);
        match timeouts >= HANGING {
            true => 1,
            false => (self.pace.at_once * 3 / 4).max(1),
        }
    }

    /// What became of a question that was asked at `url`, as it is shown. `chance` is 0 to 999.
    pub fn done(
        &mut self,
        service: &ServiceName,
        url: &str,
        answer: Answer,
        now: Timestamp,
        chance: u64,
    ) {
        let server = server(url).to_owned();
        match &answer {
            Answer::Failed {
                timed_out: true, ..
            } => {
                let count = self.timeouts.entry(server).or_default();
                *count = count.saturating_add(1);
            }
            Answer::Answered { .. } | Answer::Nowhere | Answer::Failed { .. } => {
                self.timeouts.remove(&server);
            }
        }
        let pace = self.pace;
        let Some(remote) = self.services.get_mut(service) else {
            return;
        };
        remote.asking = false;
        url.clone_into(&mut remote.url);
        remote.nowhere = answer == Answer::Nowhere;
        match answer {
            Answer::Answered { mut warning } => {
                warning.truncate(warning.floor_char_boundary(ERROR_BYTES_MAX));
                remote.warning = warning;
                remote.answered_at = Some(now);
                remote.failures = 0;
                remote.error.clear();
            }
            Answer::Nowhere => {
                remote.warning.clear();
                remote.failures = 0;
                remote.error.clear();
            }
            Answer::Failed { mut error, .. } => {
                error.truncate(error.floor_char_boundary(ERROR_BYTES_MAX));
                remote.failures = remote.failures.saturating_add(1);
                remote.error = error;
            }
        }
        remote.next_at = match remote.poked {
            true => remote.at_once(),
            false => now.after_ms(delay(pace, remote.failures, chance)),
        };
    }

    /// When something is to be asked next, unless something is answered before; none when only
    /// answers are waited for.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let waiting = self.services.values().filter(|remote| !remote.asking);
        waiting.map(|remote| remote.next_at).min()
    }

    /// Every repository whose place is configured, by service.
    pub fn iter(&self) -> impl Iterator<Item = (&ServiceName, &Remote)> {
        self.services.iter().filter(|(_, remote)| !remote.nowhere)
    }

    /// The repository of a service.
    pub fn get(&self, service: &ServiceName) -> Option<&Remote> {
        self.services.get(service)
    }
}

impl Remote {
    /// The first moment at which it may be asked when somebody says that there is something new.
    fn at_once(&self) -> Timestamp {
        self.asked_at
            .map_or(Timestamp(0), |at| at.after_ms(POKED_EVERY_MS))
    }
}

/// Until the next question: doubled with every failure, and never in step with others.
fn delay(pace: Pace, failures: u32, chance: u64) -> u64 {
    let doubled = pace
        .every_ms
        .saturating_mul(2_u64.saturating_pow(failures.min(20)));
    let delay = doubled.min(pace.retry_max_ms.max(pace.every_ms));
    delay.saturating_add(delay.saturating_mul(chance.min(999)) / 1000 * JITTER / 1000)
}

/// The server that answers for a URL, as `host:port`; a directory answers for itself.
fn server(url: &str) -> &str {
    let host = |text: &'_ str| -> usize { text.find('/').unwrap_or(text.len()) };
    if let Some((scheme, rest)) = url.split_once("://") {
        if scheme == "file" {
            return url;
        }
        let authority = &rest[..host(rest)];
        return authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
    }
    match url.split_once(':') {
        // git@host:path, as ssh has it; a path with a colon in it begins with a slash or dot.
        Some((before, _)) if !before.contains('/') => {
            before.rsplit_once('@').map_or(before, |(_, host)| host)
        }
        _ => url,
    }
}

#[cfg(test)]
mod tests;
