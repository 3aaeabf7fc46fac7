//! What the load balancer of a host costs its agent with a thousand namespaces of ten servers.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use paasta_agent_core::proxy::{
    config::{Problems, ProxySettings, rendered},
    plan::{Memory, Situation, plan},
    report::report,
    seen::{self, Seen},
    wanted::{Server, Service, Wanted, WantedNamespace},
};
use paasta_common::{id::ReplicaId, smartstack::NamespaceOptions, time::Timestamp};

const NAMESPACES: u16 = 1_000;
const SERVERS: u64 = 10;

fn many(namespaces: u16, service: Service) -> Wanted {
    let mut wanted = Wanted::default();
    for n in 0..namespaces {
        let servers = (0..SERVERS).map(|replica| {
            let id = u64::from(n) * SERVERS + replica;
            let server = Server {
                at: SocketAddr::from(([10, 0, 0, 1], 10_000 + id as u16)),
                service,
                weight: 1,
                backup: false,
            };
            (ReplicaId(id), server)
        });
        let options = NamespaceOptions {
            proxy_port: Some(10_000 + n),
            ..NamespaceOptions::default()
        };
        let servers = servers.collect();
        let name = format!("s{n}.main").parse().unwrap();
        let namespace = WantedNamespace { options, servers };
        wanted.namespaces.insert(name, namespace);
    }
    wanted
}

/// The answers to `show servers state` and `show stat`, with as many columns as HAProxy has.
fn shown(wanted: &Wanted) -> (String, String) {
    let (mut state, mut stat) = (String::from("1\n# be_id be_name\n"), String::new());
    for (name, namespace) in &wanted.namespaces {
        let port = namespace.options.proxy_port.unwrap();
        writeln!(stat, "{name}:{port},FRONTEND,,{}", ",0".repeat(90)).unwrap();
        for (server, _) in namespace.by_name() {
            let more = " 0".repeat(16);
            writeln!(state, "4 {name} 1 {server} 10.0.0.1 2 1 1{more}").unwrap();
            writeln!(stat, "{name},{server},0,0,0{}", ",0".repeat(90)).unwrap();
        }
    }
    (state, stat)
}

fn settings() -> ProxySettings {
    ProxySettings {
        addresses: vec!["127.0.0.1".parse().unwrap()],
        stats: None,
        max_connections: 1_000,
        threads: 2,
        hard_stop_seconds: 600,
        api_socket: "/run/p/api.sock".to_owned(),
        log_socket: "/run/p/log.sock".to_owned(),
        user: None,
        location: BTreeMap::new(),
    }
}

/// The shortest time of some runs: what else the machine does makes others longer.
fn fastest<T>(of: impl Fn() -> T) -> Duration {
    let times = (0..5).map(|_| {
        let began = Instant::now();
        let made = of();
        let took = began.elapsed();
        drop(made);
        took
    });
    times.min().unwrap()
}

/// The shortest times of: reading what HAProxy shows, rendering, a plan that takes every server into
/// service, and the report of that moment.
fn times(namespaces: u16) -> [Duration; 4] {
    let (wanted, settings) = (many(namespaces, Service::Up), settings());
    let (state, stat) = shown(&wanted);
    let none = Problems::new();
    let read = || {
        let mut seen = Seen {
            fingerprint: None,
            frontends: seen::frontends(&stat),
            servers: seen::servers(&state).unwrap(),
        };
        seen.add_sessions(&seen::sessions(&stat));
        seen
    };
    let seen = read();
    let config = Arc::new(rendered(&settings, &wanted, &none));
    let situation = Situation {
        settings: &settings,
        wanted: &wanted,
        refused: &none,
        seen: &seen,
        file: None,
        config: Some(&config),
        old_workers: 0,
        now: Timestamp(1_000_000),
    };
    let planned = || plan(&situation, &mut Memory::default());
    let all = usize::from(namespaces) * SERVERS as usize;
    // And a reload.
    assert_eq!(planned().actions.len(), all + 1);
    assert_eq!(report(&wanted, &none, &seen, None).len(), all);
    [
        fastest(read),
        fastest(|| rendered(&settings, &wanted, &none)),
        fastest(planned),
        fastest(|| report(&wanted, &none, &seen, None)),
    ]
}

#[test]
fn ten_times_as_many_namespaces_cost_about_ten_times_as_much() {
    let (few, many) = (times(NAMESPACES / 10), times(NAMESPACES));
    println!("read, render, plan, report: {few:?} of 100 namespaces, {many:?} of 1,000");
    for (few, many) in few.into_iter().zip(many) {
        // What is quadratic costs a hundred times as much.
        assert!(many < few * 40, "{few:?} became {many:?}");
    }
}
