//! When what befell replicas and hosts is written down: the first of its kind at once, more of it
//! after a while, ever more rarely up to once an hour. How often it occurred is counted by the
//! hosts and compared with what was noted, so that a new leader counts nothing twice and misses
//! nothing; since when it is pending is the leader's memory, by its own clock alone.

use std::collections::BTreeMap;

use paasta_common::{
    id::{HostId, InstanceId, ReplicaId},
    report::{EndCause, ReplicaReport, Runtime, Trouble, Troubles},
    time::Timestamp,
};

use super::observed::Observed;
use crate::state::{
    ClusterState,
    command::{Command, NoteTroubles, SetHostTrouble},
};

/// From one note of a kind to the next of the same instance, at least, milliseconds; each time
/// twice as long.
pub const PAUSE_MS: u64 = 10 * 60 * 1_000;
/// The same, at most, milliseconds.
pub const PAUSE_MAX_MS: u64 = 60 * 60 * 1_000;
/// How long a host must be degraded, or work again, until that is said, milliseconds.
pub const HOST_PATIENCE_MS: u64 = 30_000;
/// Commands of one look, at most; the others come with the next.
pub const CHANGES_MAX: usize = 32;
/// The most replicas of one command; the others come with the next.
pub const REPLICAS_MAX: usize = 200;
/// How much of the words of the last end is said, bytes.
const WORDS_MAX: usize = 300;

/// What the leader remembers between looks.
#[derive(Debug, Default)]
pub struct Watch {
    /// When each kind was last noted, or first found to have been noted before this leader.
    noted: BTreeMap<(InstanceId, Trouble), Noted>,
    /// Since when hosts differ from what was last said of them.
    hosts: BTreeMap<HostId, Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Noted {
    at: Timestamp,
    streak: u8,
}

/// What is new of one instance.
#[derive(Default)]
struct News<'a> {
    replicas: BTreeMap<ReplicaId, &'a ReplicaReport>,
    more: Troubles,
}

impl Watch {
    /// Looks at everything that is reported, and says what is to be noted now.
    #[must_use]
    pub fn look(
        &mut self,
        state: &ClusterState,
        observed: &Observed,
        now: Timestamp,
    ) -> Vec<Command> {
        self.noted.retain(|(id, _), _| state.instance(id).is_some());
        let mut commands = self.hosts(state, observed, now);
        for (instance, news) in news(state, observed) {
            if commands.len() >= CHANGES_MAX {
                break;
            }
            commands.extend(self.instance(state, &instance, &news, now));
        }
        commands
    }

    fn instance(
        &mut self,
        state: &ClusterState,
        instance: &InstanceId,
        news: &News<'_>,
        now: Timestamp,
    ) -> Option<Command> {
        let mut streaks = BTreeMap::new();
        for (trouble, _) in news.more.iter() {
            let key = (instance.clone(), trouble);
            let told = state.troubles(instance).and_then(|all| all.get(&trouble));
            let before = match (self.noted.get(&key), told) {
                (Some(noted), _) => Some(*noted),
                // Noted by a leader before this one: when, only its clock knows.
                (None, Some(told)) => {
                    let noted = Noted {
                        at: now,
                        streak: told.streak,
                    };
                    self.noted.insert(key.clone(), noted);
                    Some(noted)
                }
                (None, None) => None,
            };
            let streak = match before {
                None => 0,
                Some(noted) => {
                    let (since, pause) = (now.since_ms(noted.at), pause_ms(noted.streak));
                    if since < pause {
                        continue;
                    }
                    // It paused for long: what comes now is the first again.
                    let quiet = since >= pause.saturating_mul(2);
                    if quiet {
                        0
                    } else {
                        noted.streak.saturating_add(1)
                    }
                }
            };
            streaks.insert(trouble, streak);
            self.noted.insert(key, Noted { at: now, streak });
        }
        (!streaks.is_empty()).then(|| note(instance, news, streaks))
    }

    fn hosts(&mut self, state: &ClusterState, observed: &Observed, now: Timestamp) -> Vec<Command> {
        let mut differ = BTreeMap::new();
        let mut commands = Vec::new();
        for (id, host) in state.hosts() {
            let Some(heard) = observed.hosts.get(id).filter(|heard| heard.complete_report) else {
                continue;
            };
            let trouble = match &heard.runtime {
                Runtime::Ok => None,
                Runtime::Degraded { reason, part, .. } => {
                    Some(format!("{}: {reason}", part.name()))
                }
            };
            if trouble.is_some() == host.trouble.is_some() {
                continue;
            }
            let since = self.hosts.get(id).copied().unwrap_or(now);
            differ.insert(id.clone(), since);
            if now.since_ms(since) >= HOST_PATIENCE_MS && commands.len() < CHANGES_MAX / 2 {
                commands.push(Command::SetHostTrouble(SetHostTrouble {
                    host: id.clone(),
                    trouble,
                }));
            }
        }
        self.hosts = differ;
        commands
    }
}

/// The pause after a note that was the so-manieth in a row.
fn pause_ms(streak: u8) -> u64 {
    let doubled = PAUSE_MS.saturating_mul(1 << u32::from(streak.min(10)));
    doubled.min(PAUSE_MAX_MS)
}

/// What hosts have counted beyond what was noted.
fn news<'a>(state: &ClusterState, observed: &'a Observed) -> BTreeMap<InstanceId, News<'a>> {
    let mut all: BTreeMap<InstanceId, News<'a>> = BTreeMap::new();
    for (host, heard) in &observed.hosts {
        for (id, report) in &heard.replicas {
            if report.troubles.is_empty() {
                continue;
            }
            let Some(replica) = state.replica(*id).filter(|replica| replica.host == *host) else {
                continue;
            };
            let more = report.troubles.since(&replica.noted);
            if more.is_empty() {
                continue;
            }
            let news = all.entry(replica.instance.clone()).or_default();
            if news.replicas.len() >= REPLICAS_MAX {
                continue;
            }
            news.replicas.insert(*id, report);
            for (trouble, count) in more.iter() {
                news.more.add(trouble, count);
            }
        }
    }
    all
}

fn note(instance: &InstanceId, news: &News<'_>, streaks: BTreeMap<Trouble, u8>) -> Command {
    let mut replicas = BTreeMap::new();
    let mut words = BTreeMap::new();
    for (id, report) in &news.replicas {
        let mut counted = Troubles::default();
        for (trouble, count) in report.troubles.iter() {
            if streaks.contains_key(&trouble) {
                counted.add(trouble, count);
            }
        }
        if !counted.is_empty() {
            replicas.insert(*id, counted);
        }
        if let Some((trouble, text)) = last_end(*id, report)
            && streaks.contains_key(&trouble)
        {
            words.insert(trouble, text);
        }
    }
    Command::NoteTroubles(NoteTroubles {
        instance: instance.clone(),
        replicas,
        streaks,
        words,
    })
}

/// Of which kind the last end of a replica's run was, and how that is said.
fn last_end(id: ReplicaId, report: &ReplicaReport) -> Option<(Trouble, String)> {
    let end = report.last_end.as_ref()?;
    let trouble = match end.cause {
        EndCause::Exited if end.out_of_memory => Trouble::Memory,
        EndCause::Exited => Trouble::Exited,
        EndCause::Unhealthy => Trouble::Unhealthy,
        EndCause::OverDisk { .. } => Trouble::OverDisk,
        EndCause::Removed => Trouble::Removed,
        EndCause::NotStarted => Trouble::NotStarted,
        EndCause::Stopped => return None,
        // Its kind is not known either: the count of it is shown in the status.
        EndCause::Unrecognized(_) => return None,
    };
    let mut text = format!("{id}, {end}");
    text.truncate(text.floor_char_boundary(WORDS_MAX));
    Some((trouble, text))
}

#[cfg(test)]
mod tests;
