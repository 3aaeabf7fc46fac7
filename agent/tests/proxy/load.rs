//! Nothing is lost under load: replicas are replaced, the agent restarts, namespaces come and go.

use std::time::Duration;

use paasta_agent_core::proxy::wanted::Service;
use paasta_common::smartstack::Mode;

use crate::world::{Answering, Load, World, free_port, until_status};

const NS: &str = "web.main";

/// What coordinators do in a bounce: the new one is up everywhere, the old one drains, its host
/// answers that nothing is left, and only then it stops.
async fn replace(world: &mut World, replica: u64, old: Answering, delay: Duration) -> Answering {
    let new = Answering::start(delay).await;
    world.put(NS, replica + 1, new.at, Service::Up);
    world.settle().await;
    world.put(NS, replica, old.at, Service::Drain);
    world.settle().await;
    drop(old);
    world.take_out(NS, replica);
    world.settle().await;
    new
}

async fn replacements(seconds: u64, close: bool, delay: Duration, at_least: u64) {
    let (mut world, port) = (World::new(), free_port());
    world.namespace(NS, port);
    let mut one = Answering::start(delay).await;
    world.put(NS, 1, one.at, Service::Up);
    world.settle().await;
    until_status(port, 200).await;
    let mut load = Load::start(port, seconds, close);
    let mut replaced = 0;
    while load.goes_on() || replaced < at_least {
        replaced += 1;
        one = replace(&mut world, replaced, one, delay).await;
    }
    let (_, failed) = load.end().await;
    println!("{replaced} replacements");
    assert_eq!(failed, 0);
    drop(one);
}

#[tokio::test(flavor = "multi_thread")]
async fn replacements_lose_no_request_of_clients_that_keep_connections() {
    replacements(20, false, Duration::from_millis(5), 67).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replacements_lose_no_request_of_clients_that_close_connections() {
    replacements(15, true, Duration::from_millis(5), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_is_finished_before_its_server_counts_as_out() {
    replacements(15, false, Duration::from_secs(2), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_of_the_agent_lose_nothing() {
    let (mut world, port) = (World::new(), free_port());
    let delay = Duration::from_millis(5);
    world.namespace(NS, port);
    let mut one = Answering::start(delay).await;
    world.put(NS, 1, one.at, Service::Up);
    world.settle().await;
    until_status(port, 200).await;
    let master = world.master();
    let mut load = Load::start(port, 25, false);
    world.restart().await;
    let mut round = 0;
    while load.goes_on() {
        round += 1;
        one = replace(&mut world, round, one, delay).await;
        world.restart().await;
        world.settle().await;
    }
    let (_, failed) = load.end().await;
    println!("{round} rounds");
    assert_eq!((failed, world.master()), (0, master));
    drop(one);
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_sessions_of_a_draining_server_are_counted_until_they_end() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut world, port) = (World::new(), free_port());
    world.namespace(NS, port);
    world.of(NS).options.mode = Mode::Tcp;
    let one = Answering::start(Duration::ZERO).await;
    world.put(NS, 1, one.at, Service::Up);
    world.settle().await;
    until_status(port, 200).await;
    let mut client = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    client.read_exact(&mut [0; 8]).await.unwrap();
    world.put(NS, 1, one.at, Service::Drain);
    let version = world.send();
    let drains = |view: &paasta_agent::proxy::ProxyView| {
        let sessions: Vec<u32> = view.backends.values().map(|one| one.sessions).collect();
        view.version == Some(version) && sessions == [1]
    };
    world.until("one session left", drains).await;
    drop(client);
    world
        .until("none left", |view| view.backends.is_empty())
        .await;
    // Undrained, it serves at once.
    world.put(NS, 1, one.at, Service::Up);
    world.settle().await;
    until_status(port, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_an_old_worker_that_has_not_asked_yet_holds_up_a_drain() {
    let (mut world, port) = (World::new(), free_port());
    world.namespace(NS, port);
    let one = Answering::start(Duration::ZERO).await;
    let two = Answering::start(Duration::ZERO).await;
    world.put(NS, 1, one.at, Service::Up);
    world.put(NS, 2, two.at, Service::Up);
    world.settle().await;
    until_status(port, 200).await;
    let client = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    // Behind it in the same queue: when it is answered, the client is with this worker.
    until_status(port, 200).await;
    let before = world.view().counts.reloads;
    world.namespace("other.main", free_port());
    world.send();
    world
        .until("reloaded", |view| {
            view.counts.reloads > before && view.backends.is_empty()
        })
        .await;
    world.put(NS, 1, one.at, Service::Drain);
    let version = world.send();
    let held = |view: &paasta_agent::proxy::ProxyView| {
        let sessions: Vec<u32> = view.backends.values().map(|one| one.sessions).collect();
        view.version == Some(version) && sessions == [1]
    };
    world.until("held up", held).await;
    drop(client);
    world
        .until("none left", |view| view.backends.is_empty())
        .await;
    assert_eq!(world.answers.borrow().version, Some(version));
}
