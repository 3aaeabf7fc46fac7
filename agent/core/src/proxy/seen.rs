//! What HAProxy shows of itself over its runtime API, parsed: `show info`, `show servers state`,
//! `show stat`, `show proc`.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use paasta_common::{smartstack::Namespace, text::beginning};

use super::wanted::ServerName;

/// The bits of `srv_admin_state` that take a server out of service for maintenance: forced,
/// inherited, by DNS. That the file says `disabled` (0x04) stays for ever and does nothing.
const MAINT: u32 = 0x01 | 0x02 | 0x20;
/// Those that let it finish what it has.
const DRAIN: u32 = 0x08 | 0x10;

/// The state of the worker that takes new connections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// The fingerprint of the configuration that it has loaded.
    pub fingerprint: Option<String>,
    /// The frontends that it has, with their ports.
    pub frontends: BTreeSet<(Namespace, u16)>,
    /// Its servers.
    pub servers: BTreeMap<Namespace, BTreeMap<ServerName, SeenServer>>,
}

/// One server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenServer {
    /// Whether it is out of service for maintenance.
    pub maint: bool,
    /// Whether its checks and answers say that it works.
    pub up: bool,
    /// Its weight.
    pub weight: u16,
    /// Requests and connections that it has, in all workers; `None` where they were not looked at.
    pub sessions: Option<u32>,
}

impl Seen {
    /// Namespaces with servers that are out of service and whose sessions are not known.
    pub fn without_sessions(&self) -> impl Iterator<Item = &Namespace> {
        let unknown = |server: &SeenServer| server.maint && server.sessions.is_none();
        let namespaces = self.servers.iter();
        namespaces
            .filter(move |(_, servers)| servers.values().any(unknown))
            .map(|(namespace, _)| namespace)
    }

    /// Takes in the sessions that one worker has. Those of several workers add up.
    pub fn add_sessions(&mut self, found: &BTreeMap<(Namespace, ServerName), u32>) {
        for ((namespace, name), sessions) in found {
            let servers = self.servers.get_mut(namespace);
            if let Some(server) = servers.and_then(|servers| servers.get_mut(name)) {
                let before = server.sessions.unwrap_or_default();
                server.sessions = Some(before.saturating_add(*sessions));
            }
        }
    }

    /// Counts one session more for each server of these namespaces that is out of service: a worker
    /// that may have some has not said so, or may still get some.
    pub fn presume_sessions(&mut self, namespaces: &BTreeSet<Namespace>) {
        let servers = self.servers.iter_mut();
        let servers = servers.filter(|(name, _)| namespaces.contains(*name));
        for server in servers.flat_map(|(_, servers)| servers.values_mut()) {
            if server.maint {
                let before = server.sessions.unwrap_or_default();
                server.sessions = Some(before.saturating_add(1));
            }
        }
    }
}

/// A text of HAProxy that is not of the form that its manual gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("HAProxy answered {command:?} with {line:?}, expected {expected}")]
pub struct Unreadable {
    /// What was asked.
    pub command: &'static str,
    /// The line, its beginning.
    pub line: String,
    /// What should be there.
    pub expected: &'static str,
}

impl Unreadable {
    fn new(command: &'static str, line: &str, expected: &'static str) -> Self {
        let line = beginning(line, 100).to_owned();
        Self {
            command,
            line,
            expected,
        }
    }
}

/// What `show info` says that is needed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The worker's process.
    pub pid: u32,
    /// The fingerprint of the configuration that it has loaded.
    pub fingerprint: Option<String>,
}

/// Reads `show info`.
///
/// # Errors
/// [`Unreadable`] when there is no process id in it.
pub fn info(text: &str) -> Result<Info, Unreadable> {
    let field = |name: &str| {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
        values.next().map(str::trim)
    };
    let pid = field("Pid:").and_then(|pid| pid.parse().ok());
    let fingerprint = field("description:").map(str::to_owned);
    match pid {
        Some(pid) => Ok(Info { pid, fingerprint }),
        None => Err(Unreadable::new("show info", text, "a line Pid: NUMBER")),
    }
}

/// The servers of `show servers state`, by namespace. Backends and servers of other names are not
/// in it.
///
/// # Errors
/// [`Unreadable`] when a line has not the columns of format 1.
pub fn servers(
    text: &str,
) -> Result<BTreeMap<Namespace, BTreeMap<ServerName, SeenServer>>, Unreadable> {
    const WHAT: &str = "show servers state";
    let mut found: BTreeMap<Namespace, BTreeMap<ServerName, SeenServer>> = BTreeMap::new();
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    match lines.next() {
        Some(line) if line.trim() == "1" => {}
        other => return Err(Unreadable::new(WHAT, other.unwrap_or_default(), "format 1")),
    }
    for line in lines.filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split_ascii_whitespace().take(8).collect();
        let [_, backend, _, server, _, op, admin, weight, ..] = columns[..] else {
            return Err(Unreadable::new(WHAT, line, "at least 8 columns"));
        };
        let number = |text: &str| {
            let number: Result<u32, _> = text.parse();
            number.map_err(|_| Unreadable::new(WHAT, line, "numbers in columns 6 to 8"))
        };
        let (op, admin, weight) = (number(op)?, number(admin)?, number(weight)?);
        let (Ok(namespace), Ok(name)) = (Namespace::new(backend), ServerName::from_str(server))
        else {
            continue;
        };
        let server = SeenServer {
            maint: admin & (MAINT | DRAIN) != 0,
            up: op == 2,
            weight: weight.try_into().unwrap_or(u16::MAX),
            sessions: None,
        };
        found.entry(namespace).or_default().insert(name, server);
    }
    Ok(found)
}

/// The sessions of each server of `show stat`: those that it has, and those that wait for it.
pub fn sessions(text: &str) -> BTreeMap<(Namespace, ServerName), u32> {
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        // A line has about a hundred columns, of which the first ones are needed.
        let columns: Vec<&str> = line.splitn(6, ',').collect();
        let [backend, server, queued, _, current, ..] = columns[..] else {
            continue;
        };
        let (Ok(namespace), Ok(name)) = (Namespace::new(backend), ServerName::from_str(server))
        else {
            continue;
        };
        let number = |text: &str| text.parse::<u32>().unwrap_or_default();
        let sessions = number(queued).saturating_add(number(current));
        found.insert((namespace, name), sessions);
    }
    found
}

/// How many clients of a worker are with no server yet, of `show stat` with its frontends and
/// backends: what such a client asks may go to any server. None where the text is no such answer.
pub fn undecided(text: &str) -> Option<u32> {
    let (mut clients, mut decided) = (0_u32, 0_u32);
    if answers(text) != 1 {
        return None;
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.splitn(6, ',').collect();
        let [name, kind, _, _, current, ..] = columns[..] else {
            continue;
        };
        let namespace = name
            .rsplit_once(':')
            .map_or(name, |(namespace, _)| namespace);
        if Namespace::new(namespace).is_err() {
            continue;
        }
        let current: u32 = current.parse().unwrap_or_default();
        match kind {
            "FRONTEND" => clients = clients.saturating_add(current),
            "BACKEND" => decided = decided.saturating_add(current),
            _ => {}
        }
    }
    // One HTTP/2 client may have several requests: then it is not known who has none.
    Some(clients.abs_diff(decided))
}

/// How many questions `show stat` this text answers. That there is no such backend is an answer.
pub fn answers(text: &str) -> usize {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| line.starts_with("# pxname,") || *line == "No such proxy.")
        .count()
}

/// The frontends of `show stat` that serve namespaces, each with its port.
pub fn frontends(text: &str) -> BTreeSet<(Namespace, u16)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let (name, rest) = line.split_once(',')?;
            let (namespace, port) = name.rsplit_once(':')?;
            let frontend = rest.starts_with("FRONTEND,");
            frontend.then_some(())?;
            Some((Namespace::new(namespace).ok()?, port.parse().ok()?))
        })
        .collect()
}

/// What `show proc` of the master says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Processes {
    /// The master.
    pub master: u32,
    /// Reloads that failed since the last good one.
    pub failed: u32,
    /// The worker that takes new connections.
    pub worker: Option<u32>,
    /// Workers that finish what they have.
    pub old: Vec<u32>,
}

/// Reads `show proc`.
///
/// # Errors
/// [`Unreadable`] when the master is not in it.
pub fn processes(text: &str) -> Result<Processes, Unreadable> {
    let mut found = Processes::default();
    let mut old = false;
    for line in text.lines() {
        if line.starts_with('#') {
            old = line.contains("old workers");
            continue;
        }
        let mut columns = line.split_ascii_whitespace();
        let (Some(Ok(pid)), Some(kind)) = (columns.next().map(str::parse), columns.next()) else {
            continue;
        };
        match (kind, old) {
            ("master", _) => {
                found.master = pid;
                let failed = line.split_once("[failed:").map_or("", |(_, rest)| rest);
                let failed = failed.split_once(']').map_or("", |(number, _)| number);
                found.failed = failed.trim().parse().unwrap_or_default();
            }
            ("worker", false) => found.worker = Some(pid),
            ("worker", true) => found.old.push(pid),
            _ => {}
        }
    }
    match found.master {
        0 => Err(Unreadable::new("show proc", text, "a line of the master")),
        _ => Ok(found),
    }
}
