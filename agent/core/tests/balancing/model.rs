//! A model of HAProxy for tests: it loads a configuration, takes commands as its manual says, and
//! shows itself in the form of its own answers.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::smartstack::Namespace;

use paasta_agent_core::proxy::{
    config::{Config, ProxySettings},
    plan::{Action, Change, Command},
    seen::{self, Seen},
    wanted::{ServerName, Service, WantedNamespace},
};

/// The sections of a configuration, each with its directives as lists of words.
pub(crate) type Sections = BTreeMap<String, Vec<Vec<String>>>;

/// Splits a configuration as HAProxy does: words by blanks, quotes, comments.
pub(crate) fn sections(text: &str) -> Sections {
    let mut found = Sections::new();
    let mut section = String::new();
    for line in text.lines() {
        let words = words(line);
        let Some(first) = words.first() else {
            continue;
        };
        match first.as_str() {
            "global" | "defaults" | "frontend" | "backend" => {
                section = words.join(" ");
                let before = found.insert(section.clone(), Vec::new());
                assert_eq!(before, None, "{section} is there twice");
            }
            _ => found
                .get_mut(&section)
                .expect("a section first")
                .push(words),
        }
    }
    found
}

fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match (c, quoted) {
            ('\\' | '\'' | '$', _) => panic!("an active character: {line}"),
            ('"', _) => (quoted, any) = (!quoted, true),
            ('#', false) => break,
            (' ' | '\t', false) => {
                if any {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            (c, _) => {
                word.push(c);
                any = true;
            }
        }
    }
    assert!(!quoted, "a quote is open: {line}");
    if any {
        words.push(word);
    }
    words
}

/// A server of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelServer {
    pub(crate) maint: bool,
    pub(crate) weight: u16,
    pub(crate) sessions: u32,
}

/// The model.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) description: Option<String>,
    pub(crate) ports: BTreeMap<Namespace, u16>,
    pub(crate) servers: BTreeMap<Namespace, BTreeMap<ServerName, ModelServer>>,
    pub(crate) file: Option<String>,
    pub(crate) reloads: u32,
}

impl Model {
    /// Does what a plan says.
    pub(crate) fn act(&mut self, action: &Action) {
        match action {
            Action::Command(command) => self.command(command),
            Action::Write(config) => self.file = Some(config.text.clone()),
            Action::Reload(config) => {
                self.file = Some(config.text.clone());
                self.load(config);
            }
        }
    }

    /// A new worker: everything is as in the file.
    pub(crate) fn load(&mut self, config: &Config) {
        self.reloads += 1;
        (self.ports, self.servers) = Default::default();
        for (section, directives) in sections(&config.text) {
            if section == "global" {
                let mut found = directives.iter().filter(|words| words[0] == "description");
                self.description = found.next().map(|words| words[1].clone());
            }
            if let Some((name, port)) = section
                .strip_prefix("frontend ")
                .and_then(|name| name.split_once(':'))
            {
                let name: Namespace = name.parse().unwrap();
                self.ports.insert(name, port.parse().unwrap());
            }
            let Some(name) = section.strip_prefix("backend ") else {
                continue;
            };
            let servers = self.servers.entry(name.parse().unwrap()).or_default();
            for words in directives.iter().filter(|words| words[0] == "server") {
                let server = ModelServer {
                    maint: words.iter().any(|word| word == "disabled"),
                    weight: words[4].parse().unwrap(),
                    sessions: 0,
                };
                servers.insert(words[1].parse().unwrap(), server);
            }
        }
    }

    fn command(&mut self, command: &Command) {
        let backend = self.servers.get_mut(&command.namespace);
        let servers = backend.expect("a backend that is loaded");
        let name = command.server;
        match command.change {
            Change::Add(server) => {
                assert!(
                    server.at == name.at && !servers.contains_key(&name),
                    "{name}"
                );
                let server = ModelServer {
                    maint: server.service != Service::Up,
                    weight: server.weight,
                    sessions: 0,
                };
                servers.insert(name, server);
            }
            Change::Maint => servers.get_mut(&name).unwrap().maint = true,
            Change::Ready => servers.get_mut(&name).unwrap().maint = false,
            Change::Weight(weight) => servers.get_mut(&name).unwrap().weight = weight,
            Change::Cut => servers.get_mut(&name).unwrap().sessions = 0,
            Change::Delete => {
                let server = servers.remove(&name).expect("a server");
                assert!(server.maint && server.sessions == 0, "{name}: {server:?}");
            }
        }
    }

    /// What it shows, through the parsers.
    pub(crate) fn seen(&self) -> Seen {
        let (mut state, mut stat) = (String::from("1\n# be_id be_name\n"), String::new());
        for (backend, servers) in &self.servers {
            for (name, server) in servers {
                let admin = if server.maint { 5 } else { 0 };
                let (weight, sessions) = (server.weight, server.sessions);
                state.push_str(&format!("4 {backend} 1 {name} - 2 {admin} {weight} 1 0\n"));
                stat.push_str(&format!("{backend},{name},0,0,{sessions},0\n"));
            }
        }
        let ports = self.ports.iter();
        let ports = ports.map(|(name, port)| format!("{name}:{port},FRONTEND,,\n"));
        let mut seen = Seen {
            fingerprint: self.description.clone(),
            frontends: seen::frontends(&ports.collect::<String>()),
            servers: seen::servers(&state).unwrap(),
        };
        seen.add_sessions(&seen::sessions(&stat));
        seen
    }

    /// What the model has of a namespace, as it would be wanted: names with maint and weight.
    pub(crate) fn held(&self, namespace: &Namespace) -> BTreeMap<ServerName, (bool, u16)> {
        let servers = self.servers.get(namespace).into_iter().flatten();
        servers
            .map(|(name, server)| (*name, (server.maint, server.weight)))
            .collect()
    }
}

/// The same of what is wanted.
pub(crate) fn wanted(namespace: &WantedNamespace) -> BTreeMap<ServerName, (bool, u16)> {
    let servers = namespace.by_name();
    servers
        .map(|(name, server)| {
            let maint = server.service != Service::Up;
            (name, (maint, server.weight))
        })
        .collect()
}

/// Settings for tests.
pub(crate) fn settings() -> ProxySettings {
    ProxySettings {
        addresses: vec!["127.0.0.1".parse().unwrap()],
        stats: Some("127.0.0.1:3212".parse().unwrap()),
        max_connections: 1_000,
        threads: 2,
        hard_stop_seconds: 600,
        api_socket: "/run/p/api.sock".to_owned(),
        log_socket: "/run/p/log.sock".to_owned(),
        user: None,
        location: BTreeMap::from([("region".to_owned(), "us".to_owned())]),
    }
}

/// The names of a set of namespaces.
pub(crate) fn names(names: &[&str]) -> BTreeSet<Namespace> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}
