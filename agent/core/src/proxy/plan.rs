//! From what is wanted and what is seen to the commands that make them the same. Servers come, go
//! and change over the runtime API; a reload is for namespaces that appear, vanish or change their
//! options. The file on the disk always has the whole of it, so that a worker that crashed comes
//! back with the same servers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use paasta_common::{smartstack::Namespace, time::Timestamp};

use super::{
    config::{Config, Problems, ProxySettings, servable},
    seen::{Seen, SeenServer},
    wanted::{Server, ServerName, Service, Wanted, WantedNamespace},
};

/// The shortest time from one reload to the next, in milliseconds.
pub const RELOAD_EVERY_MS: u64 = 2_000;
/// The same while many old workers finish what they have: each needs memory, and the master ends
/// those that outlive too many reloads.
pub const RELOAD_CROWDED_MS: u64 = 30_000;
/// From so many old workers on there are many.
pub const OLD_WORKERS_MAX: usize = 5;
/// The shortest time from one write of the file to the next, in milliseconds, when only servers
/// change.
pub const WRITE_EVERY_MS: u64 = 1_000;
/// How long a server that is not wanted any more may finish what it has, in milliseconds.
pub const LEAVING_MAX_MS: u64 = 60_000;
/// The longest time until a reload that failed is tried again, in milliseconds.
const RETRY_MAX_MS: u64 = 60_000;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Over the runtime API.
    Command(Command),
    /// The file is replaced, after HAProxy has checked it.
    Write(Arc<Config>),
    /// The same, and it is loaded.
    Reload(Arc<Config>),
}

/// One change over the runtime API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The backend.
    pub namespace: Namespace,
    /// The server.
    pub server: ServerName,
    /// What becomes of it.
    pub change: Change,
}

/// A change of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It takes nothing new.
    Maint,
    /// It comes.
    Add(Server),
    /// It takes requests.
    Ready,
    /// It gets another share.
    Weight(u16),
    /// Its sessions end.
    Cut,
    /// It goes.
    Delete,
}

/// What is remembered from one plan to the next: only times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// Since when servers are there that are not wanted.
    leaving: BTreeMap<(Namespace, ServerName), Timestamp>,
    /// When the last reload began.
    reloaded_at: Option<Timestamp>,
    /// When the last write began.
    written_at: Option<Timestamp>,
    /// Reloads in a row that failed.
    failures: u32,
}

/// What a plan depends on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The operator's settings.
    pub settings: &'a ProxySettings,
    /// The last whole set.
    pub wanted: &'a Wanted,
    /// Namespaces that cannot be served now.
    pub refused: &'a Problems,
    /// What HAProxy shows.
    pub seen: &'a Seen,
    /// The text of the file, when it could be read.
    pub file: Option<&'a str>,
    /// The configuration of what is wanted ([`rendered`](super::config::rendered)); none while a
    /// write or a reload is under way, which begins no other one.
    pub config: Option<&'a Arc<Config>>,
    /// Workers that finish what they have.
    pub old_workers: usize,
    /// The time.
    pub now: Timestamp,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// In this order.
    pub actions: Vec<Action>,
    /// When to look again, where nothing else happens.
    pub wake_at: Option<Timestamp>,
    /// Namespaces with servers that finish what they have: their sessions are needed.
    pub looks: BTreeSet<Namespace>,
    /// The namespaces that are not served as wanted.
    pub problems: Problems,
}

impl Plan {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

impl Memory {
    /// Takes in how a reload ended.
    pub fn reloaded(&mut self, well: bool) {
        self.failures = match well {
            true => 0,
            false => self.failures.saturating_add(1),
        };
    }

    fn reload_at(&self, old_workers: usize) -> Option<Timestamp> {
        let least = match old_workers < OLD_WORKERS_MAX {
            true => RELOAD_EVERY_MS,
            false => RELOAD_CROWDED_MS,
        };
        let pause = least.max(RELOAD_EVERY_MS << self.failures.min(5));
        Some(self.reloaded_at?.after_ms(pause.min(RETRY_MAX_MS)))
    }
}

/// Decides what to do now.
pub fn plan(situation: &Situation<'_>, memory: &mut Memory) -> Plan {
    let Situation {
        settings,
        wanted,
        refused,
        seen,
        ..
    } = situation;
    let (served, problems) = servable(settings, wanted, refused);
    let mut plan = Plan {
        problems,
        ..Plan::default()
    };
    let mut commands = Vec::new();
    let none = WantedNamespace::default();
    let mut leaving = BTreeMap::new();
    for (namespace, servers) in &seen.servers {
        let wanted = served.get(namespace).copied().unwrap_or(&none);
        let mut turn = Turn {
            namespace,
            situation,
            memory,
            plan: &mut plan,
            commands: &mut commands,
            leaving: &mut leaving,
        };
        // A namespace that goes goes with the next reload, and its old worker finishes what it has.
        if served.contains_key(namespace) {
            turn.differences(wanted, servers);
        }
    }
    memory.leaving = leaving;
    let has_frontend: BTreeSet<&Namespace> = seen.frontends.iter().map(|(name, _)| name).collect();
    for (namespace, wanted) in &served {
        if has_frontend.contains(namespace) {
            additions(namespace, wanted, seen, &mut commands);
        }
    }
    commands.sort_by_key(|command| rank(command.change));
    plan.actions = commands.into_iter().map(Action::Command).collect();
    if let Some(config) = situation.config {
        file(situation, memory, &mut plan, config);
    }
    plan
}

/// The order of commands: what leaves, then what comes, then what goes.
fn rank(change: Change) -> u8 {
    match change {
        Change::Maint => 0,
        Change::Add(_) => 1,
        Change::Ready => 2,
        Change::Weight(_) => 3,
        Change::Cut => 4,
        Change::Delete => 5,
    }
}

struct Turn<'a> {
    namespace: &'a Namespace,
    situation: &'a Situation<'a>,
    memory: &'a Memory,
    plan: &'a mut Plan,
    commands: &'a mut Vec<Command>,
    leaving: &'a mut BTreeMap<(Namespace, ServerName), Timestamp>,
}

impl Turn<'_> {
    fn differences(
        &mut self,
        wanted: &WantedNamespace,
        servers: &BTreeMap<ServerName, SeenServer>,
    ) {
        let by_name: BTreeMap<ServerName, &Server> = wanted.by_name().collect();
        for (name, server) in servers {
            match by_name.get(name) {
                Some(wanted) => self.keep(*name, wanted, server),
                None => self.leave(*name, server),
            }
        }
    }

    fn command(&mut self, server: ServerName, change: Change) {
        self.commands.push(Command {
            namespace: self.namespace.clone(),
            server,
            change,
        });
    }

    fn keep(&mut self, name: ServerName, wanted: &Server, server: &SeenServer) {
        match (wanted.service, server.maint) {
            (Service::Up, true) => self.command(name, Change::Ready),
            (Service::Drain | Service::Down, false) => self.command(name, Change::Maint),
            (Service::Drain | Service::Down, true) if server.sessions != Some(0) => {
                self.plan.looks.insert(self.namespace.clone());
            }
            _ => {}
        }
        if wanted.weight != server.weight {
            self.command(name, Change::Weight(wanted.weight));
        }
    }

    /// One that is not wanted takes nothing new, finishes what it has, and goes.
    fn leave(&mut self, name: ServerName, server: &SeenServer) {
        let key = (self.namespace.clone(), name);
        let now = self.situation.now;
        let since = self.memory.leaving.get(&key).copied().unwrap_or(now);
        let deadline = since.after_ms(LEAVING_MAX_MS);
        self.leaving.insert(key, since);
        if !server.maint {
            self.plan.looks.insert(self.namespace.clone());
            return self.command(name, Change::Maint);
        }
        match server.sessions {
            Some(0) => return self.command(name, Change::Delete),
            Some(_) if now >= deadline => self.command(name, Change::Cut),
            _ => self.plan.wake(deadline),
        }
        self.plan.looks.insert(self.namespace.clone());
    }
}

fn additions(
    namespace: &Namespace,
    wanted: &WantedNamespace,
    seen: &Seen,
    commands: &mut Vec<Command>,
) {
    let there = seen.servers.get(namespace);
    for (server, wanted) in wanted.by_name() {
        if !there.is_some_and(|there| there.contains_key(&server)) {
            commands.push(Command {
                namespace: namespace.clone(),
                server,
                change: Change::Add(*wanted),
            });
        }
    }
}

/// The file and what is loaded.
fn file(situation: &Situation<'_>, memory: &mut Memory, plan: &mut Plan, config: &Arc<Config>) {
    let now = situation.now;
    // A clock that was set back must not make a pause longer.
    let due = |at: Option<Timestamp>, pause: u64| match at {
        Some(at) if now < at && at.since_ms(now) <= pause => Err(at),
        _ => Ok(()),
    };
    if situation.seen.fingerprint.as_ref() != Some(&config.fingerprint) {
        return match due(memory.reload_at(situation.old_workers), RETRY_MAX_MS) {
            Ok(()) => {
                memory.reloaded_at = Some(now);
                memory.written_at = Some(now);
                plan.actions.push(Action::Reload(Arc::clone(config)));
            }
            Err(at) => plan.wake(at),
        };
    }
    if situation.file != Some(config.text.as_str()) {
        let at = memory.written_at.map(|at| at.after_ms(WRITE_EVERY_MS));
        match due(at, WRITE_EVERY_MS) {
            Ok(()) => {
                memory.written_at = Some(now);
                plan.actions.push(Action::Write(Arc::clone(config)));
            }
            Err(at) => plan.wake(at),
        }
    }
}
