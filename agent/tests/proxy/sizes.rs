//! Many namespaces and many changes.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use paasta_agent_core::proxy::{seen, wanted::Service};

use crate::world::{World, free_port, name, version};

/// A port at which nothing listens: what the servers are is enough here.
fn at(n: u64) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 2], 10_000 + n as u16))
}

/// The servers of the file: backend, name, whether it is out of service.
fn in_file(text: &str) -> BTreeSet<(String, String, bool)> {
    let (mut found, mut backend) = (BTreeSet::new(), String::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["backend", name] => backend = name.to_owned(),
            ["server", name, ..] => {
                let out = words.last() == Some(&"disabled");
                found.insert((backend.clone(), name.to_owned(), out));
            }
            _ => {}
        }
    }
    found
}

async fn in_memory(world: &World) -> BTreeSet<(String, String, bool)> {
    let servers = seen::servers(&world.ask("show servers state").await).unwrap();
    let each = servers.iter().flat_map(|(backend, servers)| {
        let one = servers.iter();
        one.map(move |(name, server)| (backend.to_string(), name.to_string(), server.maint))
    });
    each.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_thousand_random_changes_the_file_is_what_haproxy_has() {
    let mut world = World::new();
    let names = ["a.main", "b.main", "c.main"];
    for text in names {
        world.namespace(text, free_port());
    }
    // A generator of its own, so that a failure repeats itself.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for change in 0..1_000 {
        let text = names[draw(3) as usize];
        let replica = 1 + draw(30);
        match draw(4) {
            0 => world.take_out(text, replica),
            1 => world.put(text, replica, at(replica), Service::Drain),
            _ => world.put(text, replica, at(replica), Service::Up),
        }
        world.send();
        if change % 100 == 99 {
            let wanted: usize = world
                .wanted
                .namespaces
                .values()
                .map(|one| one.servers.len())
                .sum();
            let version = version(change + 1);
            let same = |view: &paasta_agent::proxy::ProxyView| {
                let counts = view.counts;
                let servers = counts.up + counts.maint + counts.down;
                view.version == Some(version) && servers == wanted as u64
            };
            world.until("all there", same).await;
        }
    }
    let mut expected = BTreeSet::new();
    for (name, namespace) in &world.wanted.namespaces {
        for (server, wanted) in namespace.by_name() {
            let out = wanted.service != Service::Up;
            expected.insert((name.to_string(), server.to_string(), out));
        }
    }
    let began = Instant::now();
    while in_file(&world.config()) != expected || in_memory(&world).await != expected {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{}",
            world.config()
        );
        tokio::task::yield_now().await;
    }
    assert!(world.view().counts.reloads <= 2, "{:?}", world.view());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_namespaces_are_there_from_nothing() {
    let mut world = World::new();
    // Below those that the kernel gives to connections, which come and go in other tests.
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let ports: Vec<u16> = (12_000..32_000).filter(free).take(1_000).collect();
    for (n, port) in ports.iter().enumerate() {
        let text = format!("s{n}.main");
        world.namespace(&text, *port);
        for replica in 0..10 {
            let id = n as u64 * 10 + replica;
            world.put(&text, id, at(id), Service::Drain);
        }
    }
    let began = Instant::now();
    world.send();
    let there = |view: &paasta_agent::proxy::ProxyView| {
        view.counts.namespaces == 1_000 && view.counts.maint == 10_000
    };
    world.until("all there", there).await;
    println!("1,000 namespaces of 10 servers: {:?}", began.elapsed());
    // One change, beside the same over the bare runtime API.
    world.put("s0.main", 0, at(0), Service::Up);
    let began = Instant::now();
    let version = world.send();
    let taken = |view: &paasta_agent::proxy::ProxyView| {
        view.version == Some(version) && view.counts.maint == 9_999
    };
    world.until("taken in", taken).await;
    let through_agent = began.elapsed();
    let server = world.of("s1.main").by_name().next().unwrap().0;
    let began = Instant::now();
    world
        .ask(&format!(
            "set server {}/{server} state ready",
            name("s1.main")
        ))
        .await;
    let bare = began.elapsed();
    println!("one change: {through_agent:?} through the agent, {bare:?} over the bare API");
    assert!(through_agent < Duration::from_secs(10), "{through_agent:?}");
}
