//! Plans against a model of HAProxy, and what may stand in its configuration.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use paasta_common::{
    endpoints::{BackendReport, BackendState},
    id::ReplicaId,
    smartstack::{
        Balance, Chaos, ChaosFail, HeaderName, HeaderValue, Mode, Namespace, NamespaceOptions, Path,
    },
    time::Timestamp,
};
use proptest::prelude::*;

use paasta_agent_core::proxy::{
    config::{Problems, ProxyProblem, ProxyProblemKind, config, rendered, servable},
    plan::{Action, Change, LEAVING_MAX_MS, Memory, OLD_WORKERS_MAX, Plan, Situation, plan},
    report::report,
    seen,
    wanted::{Server, ServerName, Service, Wanted, WantedNamespace},
};

mod endpoints;
mod hacheck;
mod model;

use model::{Model, sections, settings};

fn name(text: &str) -> Namespace {
    text.parse().unwrap()
}

fn server(port: u16, service: Service) -> Server {
    Server {
        at: SocketAddr::from(([10, 0, 0, 1], port)),
        service,
        weight: 10,
        backup: false,
    }
}

fn namespace(port: u16, servers: &[(u64, Service)]) -> WantedNamespace {
    let servers = servers.iter();
    WantedNamespace {
        options: NamespaceOptions {
            proxy_port: Some(port),
            ..NamespaceOptions::default()
        },
        servers: servers
            .map(|(id, service)| (ReplicaId(*id), server(31_000 + *id as u16, *service)))
            .collect(),
    }
}

fn set(namespaces: &[(&str, WantedNamespace)]) -> Wanted {
    let namespaces = namespaces.iter();
    Wanted {
        namespaces: namespaces
            .map(|(one, namespace)| (name(one), namespace.clone()))
            .collect(),
    }
}

/// A model and what plans for it.
struct World {
    model: Model,
    memory: Memory,
    now: Timestamp,
    refused: Problems,
    old_workers: usize,
}

impl World {
    fn new() -> Self {
        Self {
            model: Model::default(),
            memory: Memory::default(),
            now: Timestamp(1_000_000),
            refused: Problems::new(),
            old_workers: 0,
        }
    }

    fn plan(&mut self, wanted: &Wanted) -> Plan {
        let (settings, seen) = (settings(), self.model.seen());
        let config = Arc::new(rendered(&settings, wanted, &self.refused));
        let situation = Situation {
            settings: &settings,
            wanted,
            refused: &self.refused,
            seen: &seen,
            file: self.model.file.as_deref(),
            config: Some(&config),
            old_workers: self.old_workers,
            now: self.now,
        };
        plan(&situation, &mut self.memory)
    }

    fn round(&mut self, wanted: &Wanted) -> Plan {
        let plan = self.plan(wanted);
        for action in &plan.actions {
            self.model.act(action);
            if matches!(action, Action::Reload(_)) {
                self.memory.reloaded(true);
            }
        }
        plan
    }

    /// Rounds until nothing is left to do; at most `max`, two seconds apart.
    fn settle(&mut self, wanted: &Wanted, max: usize) {
        for _ in 0..max {
            let plan = self.round(wanted);
            if plan.actions.is_empty() && plan.wake_at.is_none() {
                assert_eq!(self.plan(wanted).actions, []);
                return;
            }
            self.now = self.now.after_ms(2_000);
        }
        panic!(
            "not settled after {max} rounds: {:?}",
            self.plan(wanted).actions
        );
    }

    fn changes(plan: &Plan) -> Vec<(u64, Change)> {
        let commands = plan.actions.iter().filter_map(|action| match action {
            Action::Command(command) => Some((command.server.replica.0, command.change)),
            Action::Write(_) | Action::Reload(_) => None,
        });
        commands.collect()
    }
}

#[test]
fn servers_come_and_go_without_a_reload_and_what_leaves_finishes_first() {
    use Service::{Drain, Up};
    let mut world = World::new();
    let first = set(&[("web.main", namespace(20_000, &[(1, Up), (2, Up)]))]);
    world.settle(&first, 4);
    assert_eq!(world.model.reloads, 1);
    // One comes and one drains: no reload.
    let next = set(&[(
        "web.main",
        namespace(20_000, &[(1, Drain), (2, Up), (3, Up)]),
    )]);
    world
        .model
        .servers
        .get_mut(&name("web.main"))
        .unwrap()
        .values_mut()
        .next()
        .unwrap()
        .sessions = 2;
    let plan = world.round(&next);
    let added = server(31_003, Up);
    assert_eq!(
        World::changes(&plan),
        [(1, Change::Maint), (3, Change::Add(added))]
    );
    let plan = world.round(&next);
    assert_eq!(
        (World::changes(&plan), plan.looks),
        (vec![], model::names(&["web.main"]))
    );
    // It goes once it has nothing left, and not before.
    let last = set(&[("web.main", namespace(20_000, &[(2, Up), (3, Up)]))]);
    assert_eq!(World::changes(&world.round(&last)), []);
    world
        .model
        .servers
        .get_mut(&name("web.main"))
        .unwrap()
        .values_mut()
        .next()
        .unwrap()
        .sessions = 0;
    assert_eq!(World::changes(&world.round(&last)), [(1, Change::Delete)]);
    world.settle(&last, 4);
    assert_eq!(world.model.reloads, 1);
}

#[test]
fn an_undrained_server_is_ready_again_and_a_stuck_one_is_cut_at_the_deadline() {
    use Service::{Drain, Up};
    let mut world = World::new();
    let up = set(&[("web.main", namespace(20_000, &[(1, Up), (2, Up)]))]);
    let drains = set(&[("web.main", namespace(20_000, &[(1, Drain), (2, Up)]))]);
    world.settle(&up, 4);
    world.settle(&drains, 4);
    assert_eq!(World::changes(&world.round(&up)), [(1, Change::Ready)]);
    let gone = set(&[("web.main", namespace(20_000, &[(2, Up)]))]);
    let servers = world.model.servers.get_mut(&name("web.main")).unwrap();
    servers.values_mut().next().unwrap().sessions = 7;
    assert_eq!(World::changes(&world.round(&gone)), [(1, Change::Maint)]);
    let plan = world.round(&gone);
    assert!(
        plan.wake_at <= Some(world.now.after_ms(LEAVING_MAX_MS)),
        "{plan:?}"
    );
    world.now = world.now.after_ms(LEAVING_MAX_MS);
    assert_eq!(World::changes(&world.round(&gone)), [(1, Change::Cut)]);
    assert_eq!(World::changes(&world.round(&gone)), [(1, Change::Delete)]);
}

#[test]
fn reloads_are_two_seconds_apart_and_grow_rarer_when_they_fail() {
    let mut world = World::new();
    let one = set(&[("web.main", namespace(20_000, &[]))]);
    let two = set(&[("web.main", namespace(20_001, &[]))]);
    world.round(&one);
    let plan = world.plan(&two);
    assert_eq!(
        (plan.actions, plan.wake_at),
        (vec![], Some(world.now.after_ms(2_000)))
    );
    world.now = world.now.after_ms(2_000);
    assert!(matches!(world.plan(&two).actions[..], [Action::Reload(_)]));
    world.old_workers = OLD_WORKERS_MAX;
    let crowded = world.now.after_ms(28_000);
    world.now = world.now.after_ms(2_000);
    let three = set(&[("web.main", namespace(20_002, &[]))]);
    assert_eq!(world.plan(&three).wake_at, Some(crowded.after_ms(2_000)));
    world.old_workers = 0;
    world.now = Timestamp(world.now.0 - 2_000);
    world.memory.reloaded(false);
    assert_eq!(world.plan(&two).wake_at, Some(world.now.after_ms(4_000)));
}

#[test]
fn a_write_under_way_begins_no_other_one() {
    let (settings, none) = (settings(), Problems::new());
    let at = |service| set(&[("web.main", namespace(20_000, &[(1, service)]))]);
    let wanted = at(Service::Up);
    let mut world = World::new();
    world.settle(&wanted, 4);
    let (seen, changed) = (world.model.seen(), at(Service::Drain));
    let config = Arc::new(rendered(&settings, &changed, &none));
    let mut situation = Situation {
        settings: &settings,
        wanted: &changed,
        refused: &none,
        seen: &seen,
        file: world.model.file.as_deref(),
        config: None,
        old_workers: 0,
        now: world.now,
    };
    let is_file = |plan: &Plan| {
        let mut actions = plan.actions.iter();
        actions.any(|action| matches!(action, Action::Write(_) | Action::Reload(_)))
    };
    assert!(!is_file(&plan(&situation, &mut world.memory)));
    situation.config = Some(&config);
    assert!(is_file(&plan(&situation, &mut world.memory)));
}

#[test]
fn a_shared_port_and_a_refused_namespace_hurt_only_that_namespace() {
    let mut world = World::new();
    let wanted = set(&[
        ("a.main", namespace(20_000, &[])),
        ("b.main", namespace(20_000, &[])),
        ("c.main", namespace(20_002, &[])),
        ("d.main", namespace(3_212, &[])),
        ("e.main", WantedNamespace::default()),
    ]);
    let detail = String::new();
    let kind = ProxyProblemKind::PortTaken;
    world
        .refused
        .insert(name("c.main"), ProxyProblem { kind, detail });
    let plan = world.round(&wanted);
    let kinds = plan
        .problems
        .iter()
        .map(|(name, one)| (name.as_str(), one.kind));
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        [
            ("b.main", ProxyProblemKind::PortShared),
            ("c.main", ProxyProblemKind::PortTaken),
            ("d.main", ProxyProblemKind::PortShared),
        ]
    );
    assert_eq!(
        world.model.ports,
        BTreeMap::from([(name("a.main"), 20_000)])
    );
}

#[test]
fn a_report_lists_what_is_not_as_wanted_and_waits_for_a_worker_that_starts() {
    use Service::{Drain, Up};
    let mut world = World::new();
    let up = set(&[("web.main", namespace(20_000, &[(1, Up), (2, Up)]))]);
    let drains = set(&[(
        "web.main",
        namespace(20_000, &[(1, Drain), (2, Up), (3, Up)]),
    )]);
    let none = Problems::new();
    world.settle(&up, 4);
    assert_eq!(
        report(&up, &none, &world.model.seen(), None),
        BTreeMap::new()
    );
    let backend = |state, sessions| BackendReport { state, sessions };
    let found = report(&drains, &none, &world.model.seen(), None);
    assert_eq!(
        found,
        BTreeMap::from([
            (ReplicaId(1), backend(BackendState::Up, 0)),
            (ReplicaId(3), backend(BackendState::Absent, 0)),
        ])
    );
    world.settle(&drains, 4);
    assert_eq!(
        report(&drains, &none, &world.model.seen(), None),
        BTreeMap::new()
    );
    // A worker that starts with the set before would route to it again.
    let found = report(&drains, &none, &world.model.seen(), Some(&up));
    assert_eq!(
        found,
        BTreeMap::from([(ReplicaId(1), backend(BackendState::Up, 0))])
    );
    let servers = world.model.servers.get_mut(&name("web.main")).unwrap();
    servers.values_mut().next().unwrap().sessions = 3;
    let found = report(&drains, &none, &world.model.seen(), None);
    assert_eq!(
        found,
        BTreeMap::from([(ReplicaId(1), backend(BackendState::Maint, 3))])
    );
}

#[test]
fn answers_of_haproxy_2_6_are_read() {
    let proc = "#<PID>          <type>          <reloads>       <uptime>        <version>      \n\
        23389           master          2 [failed: 1]   0d00h00m02s     2.6.12-1+deb12u4\n\
        # workers\n23390           worker          0               0d00h00m02s     2.6.12\n\
        # old workers\n23391           worker          1               0d00h00m02s     2.6.12\n\
        # programs\n\n";
    let found = seen::processes(proc).unwrap();
    assert_eq!(
        (found.master, found.failed, found.worker, found.old),
        (23_389, 1, Some(23_390), vec![23_391])
    );
    assert!(seen::processes("").is_err());
    let info = seen::info("Name: HAProxy\nPid: 7\ndescription: paasta-1\n").unwrap();
    assert_eq!(
        (info.pid, info.fingerprint.as_deref()),
        (7, Some("paasta-1"))
    );
    let state = "1\n# be_id be_name srv_id srv_name\n\
        4 a.main 1 r1_127.0.0.1_12345 127.0.0.1 0 0 10 10 2 8 2 0 6 0 0 0 - 12345 - 0 0 - - 0\n\
        4 a.main 2 r2_::1_12345_backup ::1 2 5 10 10 2 1 0 0 14 0 0 0 - 12345 - 0 0 - - 0\n\
        4 a.main 3 r3_127.0.0.1_80 ::1 2 4 10 10 2 1 0 0 14 0 0 0 - 12345 - 0 0 - - 0\n\
        5 other 2 s ::1 2 5 10 10 2 1 0 0 14 0 0 0 - 12345 - 0 0 - - 0\n\n";
    let servers = &seen::servers(state).unwrap()[&name("a.main")];
    let states: Vec<_> = servers
        .values()
        .map(|one| (one.up, one.maint, one.weight))
        .collect();
    assert_eq!(
        states,
        [(false, false, 10), (true, true, 10), (true, false, 10)]
    );
    assert_eq!(servers.keys().filter(|name| name.backup).count(), 1);
    assert!(seen::servers("2\n").is_err());
    for text in ["r1_10.0.0.1_80", "r2_::1_80_backup"] {
        assert_eq!(text.parse::<ServerName>().unwrap().to_string(), text);
    }
    for text in ["r1", "web_1_2", "r1_a_80", "r1_10.0.0.1_800000"] {
        assert!(text.parse::<ServerName>().is_err(), "{text}");
    }
}

#[test]
fn the_text_of_a_namespace_is_all_of_its_options() {
    let mut one = namespace(20_000, &[(1, Service::Up), (2, Service::Down)]);
    one.options = NamespaceOptions {
        proxy_port: Some(20_000),
        balance: Balance::RoundRobin,
        keepalive: false,
        allredisp: true,
        retry_requests: true,
        extra_headers: [("X-A".parse().unwrap(), "b c".parse().unwrap())].into(),
        endpoint_timeouts: [("/".parse().unwrap(), 5), ("/a".parse().unwrap(), 6)].into(),
        proxied_through: Some(name("proxy.main")),
        chaos: [(
            "region".parse().unwrap(),
            [(
                "us".parse().unwrap(),
                Chaos {
                    fail: Some(ChaosFail::Error503),
                    delay_ms: 3,
                },
            )]
            .into(),
        )]
        .into(),
        ..NamespaceOptions::default()
    };
    let wanted = set(&[("web.main", one), ("proxy.main", namespace(20_001, &[]))]);
    let (settings, none) = (settings(), Problems::new());
    let (served, problems) = servable(&settings, &wanted, &none);
    assert_eq!(problems, none);
    let text = config(&settings, &served).text;
    let web = &text[text.find("frontend web.main").unwrap()..];
    assert_eq!(web, include_str!("web.main.cfg"));
}

fn options() -> impl Strategy<Value = NamespaceOptions> {
    let modes = prop::sample::select(vec![Mode::Http, Mode::Https, Mode::Http2, Mode::Tcp]);
    let headers = prop::collection::btree_map("\\PC{0,12}", any::<String>(), 0..3);
    let paths = prop::collection::btree_map("/\\PC{0,12}", any::<u32>(), 0..3);
    let numbers = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u8>());
    (
        20_000..20_010_u16,
        modes,
        headers,
        paths,
        numbers,
        any::<bool>(),
    )
        .prop_map(
            |(port, mode, headers, paths, (connect, client, server, retries), flag)| {
                let header = |(name, value): (String, String)| {
                    let name = HeaderName::new(&name).ok()?;
                    Some((name, HeaderValue::new(&value).ok()?))
                };
                NamespaceOptions {
                    proxy_port: Some(port),
                    mode,
                    timeout_connect_ms: connect,
                    timeout_client_ms: client,
                    timeout_server_ms: server,
                    retries,
                    allredisp: flag,
                    keepalive: flag,
                    extra_headers: headers.into_iter().filter_map(header).collect(),
                    endpoint_timeouts: paths
                        .into_iter()
                        .filter_map(|(path, ms)| Some((Path::new(&path).ok()?, ms)))
                        .collect(),
                    ..NamespaceOptions::default()
                }
            },
        )
}

fn a_server() -> impl Strategy<Value = Server> {
    let services = prop::sample::select(vec![Service::Up, Service::Drain, Service::Down]);
    (1..6_u16, services, 1..20_u16, any::<bool>()).prop_map(|(port, service, weight, backup)| {
        Server {
            weight,
            backup,
            ..server(31_000 + port, service)
        }
    })
}

/// One change of the wanted set.
#[derive(Debug, Clone)]
enum Step {
    Namespace(u8, Box<NamespaceOptions>),
    Gone(u8),
    Server(u8, u64, Server),
    Left(u8, u64),
    Sessions(u32),
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..5_u8, options()).prop_map(|(n, options)| Step::Namespace(n, Box::new(options))),
        1 => (0..5_u8).prop_map(Step::Gone),
        8 => (0..5_u8, 1..8_u64, a_server()).prop_map(|(n, id, server)| Step::Server(n, id, server)),
        4 => (0..5_u8, 1..8_u64).prop_map(|(n, id)| Step::Left(n, id)),
        2 => (0..4_u32).prop_map(Step::Sessions),
    ]
}

fn change(wanted: &mut Wanted, model: &mut Model, step: &Step) {
    let of = |n: &u8| name(&format!("s{n}.main"));
    match step {
        Step::Namespace(n, options) => {
            wanted.namespaces.entry(of(n)).or_default().options = (**options).clone();
        }
        Step::Gone(n) => drop(wanted.namespaces.remove(&of(n))),
        Step::Server(n, id, server) => {
            let namespace = wanted.namespaces.get_mut(&of(n));
            if let Some(namespace) = namespace {
                namespace.servers.insert(ReplicaId(*id), *server);
            }
        }
        Step::Left(n, id) => {
            let namespace = wanted.namespaces.get_mut(&of(n));
            namespace.map(|namespace| namespace.servers.remove(&ReplicaId(*id)));
        }
        Step::Sessions(more) => {
            let servers = model.servers.values_mut().flat_map(BTreeMap::values_mut);
            servers.for_each(|server| server.sessions = *more);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// A thousand changes in 40 cases: whatever they are, what is seen becomes what is wanted, the
    /// file holds the same, and then there is nothing to do.
    #[test]
    fn plans_lead_to_what_is_wanted(steps in prop::collection::vec(a_step(), 25..40)) {
        let mut world = World::new();
        let mut wanted = Wanted::default();
        for step in &steps {
            change(&mut wanted, &mut world.model, step);
            world.round(&wanted);
            world.now = world.now.after_ms(300);
        }
        // Sessions end by themselves, or are cut at the deadline.
        world.settle(&wanted, 40);
        let (settings, none) = (settings(), Problems::new());
        let (served, _) = servable(&settings, &wanted, &none);
        for (name, namespace) in &served {
            prop_assert_eq!(world.model.held(name), model::wanted(namespace));
        }
        prop_assert_eq!(world.model.ports.len(), served.len());
        let text = config(&settings, &served).text;
        prop_assert_eq!(world.model.file.as_ref(), Some(&text));
        change(&mut wanted.clone(), &mut world.model, &Step::Sessions(0));
        let reported = report(&wanted, &none, &world.model.seen(), None);
        prop_assert!(reported.keys().all(|id| wanted.namespaces.iter().any(|(name, one)| {
            one.servers.contains_key(id) && !served.contains_key(name)
        })), "{:?}", reported);
    }

    /// Whatever texts an author writes, the configuration has the sections and the directives that
    /// this program writes, and the texts are single words of them.
    #[test]
    fn no_option_becomes_a_directive(options in options()) {
        let plain = NamespaceOptions { proxy_port: options.proxy_port, mode: options.mode, ..NamespaceOptions::default() };
        let of = |options: &NamespaceOptions| {
            let one = WantedNamespace { options: options.clone(), servers: BTreeMap::new() };
            let wanted = set(&[("web.main", one)]);
            let (settings, none) = (settings(), Problems::new());
            sections(&config(&settings, &servable(&settings, &wanted, &none).0).text)
        };
        let (found, expected) = (of(&options), of(&plain));
        prop_assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        let backend = &found["backend web.main"];
        let headers = backend.iter().filter(|words| words.len() > 1 && words[1] == "set-header");
        let headers: BTreeMap<&str, &str> =
            headers.map(|words| (words[2].as_str(), words[3].as_str())).collect();
        let http = options.mode == Mode::Http;
        let given = options.extra_headers.iter().filter(|_| http);
        prop_assert_eq!(headers, given.map(|(name, value)| (name.as_str(), value.as_str())).collect());
        let paths = backend.iter().filter(|words| words.len() > 1 && words[1] == "set-timeout");
        prop_assert_eq!(paths.count(), if http { options.endpoint_timeouts.len() } else { 0 });
        const KNOWN: [&str; 8] = ["mode", "balance", "timeout", "retries", "option", "http-request", "default-server", "retry-on"];
        for words in backend {
            prop_assert!(KNOWN.contains(&words[0].as_str()), "{:?}", words);
        }
    }
}
