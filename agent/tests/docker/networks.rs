//! Networks, ports and the end of a container.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    time::{SystemTime, UNIX_EPOCH},
};

use paasta_common::{
    app::{AppSpec, HealthCheck, NetworkMode, Probe},
    assignment::Want,
    report::Phase,
};
use serde_json::json;

use crate::world::{World, docker, get};

/// A network of Docker that goes with the test.
struct Network(String);

impl Network {
    fn new(name: &str) -> Self {
        docker(&["network", "create", name]);
        Self(name.to_owned())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        docker(&["network", "rm", &self.0]);
    }
}

fn in_network(minimal: &AppSpec, net: NetworkMode) -> AppSpec {
    AppSpec {
        net,
        ..minimal.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_network_mode_and_a_fixed_port_are_as_asked_for() {
    let named = format!("agent-test-net-{}", std::process::id());
    // Removed after the world's containers, which are made later.
    let _network = Network::new(&named);
    let mut world = World::new(3_600_000);
    let minimal = world.minimal();
    let free = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let fixed = free.local_addr().unwrap().port();
    let held = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let taken = held.local_addr().unwrap().port();
    drop(free);
    let host = AppSpec {
        env: BTreeMap::from([("LISTEN".to_owned(), "MARATHON_PORT".to_owned())]),
        ..in_network(&minimal, NetworkMode::Host)
    };
    let none = AppSpec {
        health: Some(HealthCheck {
            probe: Probe::Cmd {
                command: "exit 0".to_owned(),
            },
            ..minimal.health.clone().unwrap()
        }),
        ..in_network(&minimal, NetworkMode::None)
    };
    let at_port = |host_port| AppSpec {
        host_port,
        ..minimal.clone()
    };
    world
        .assign(&[
            (1, Want::Run, host),
            (2, Want::Run, none),
            (
                3,
                Want::Run,
                in_network(&minimal, NetworkMode::Named(named.clone())),
            ),
            (4, Want::Run, at_port(fixed)),
            (5, Want::Run, at_port(taken)),
        ])
        .await;
    for (id, network) in [(1, "host"), (2, "none"), (3, &named), (4, "bridge")] {
        let report = world.until_healthy(id).await;
        let found = world.inspect(report.container.as_deref().unwrap());
        assert_eq!(found["HostConfig"]["NetworkMode"], json!(network));
        let published = found["HostConfig"]["PortBindings"]
            .as_object()
            .unwrap()
            .len();
        assert_eq!(published, usize::from(id > 2), "{network}");
        match report.host_port {
            None => assert_eq!(id, 2),
            Some(port) => {
                let env = get(port, "/env");
                let line = format!("MARATHON_PORT={port}");
                assert!(env.lines().any(|held| held == line), "{line}: {env}");
            }
        }
        if id == 4 {
            assert_eq!(report.host_port, Some(fixed));
        }
    }
    let conflict = world
        .until(5, "told of its port", |report| !report.message.is_empty())
        .await;
    assert_eq!((conflict.phase, conflict.run), (Phase::BackingOff, 0));
    let words = format!("host port {taken} is held by another program");
    assert!(conflict.message.contains(&words), "{}", conflict.message);
    drop(held);
    assert_eq!(world.until_healthy(5).await.host_port, Some(taken));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_asked_to_end_and_killed_when_it_does_not() {
    let mut world = World::new(3_600_000);
    let app = world.minimal();
    world
        .assign(&[(1, Want::Run, app.clone()), (2, Want::Run, app)])
        .await;
    let polite = world.until_healthy(1).await;
    let deaf = world.until_healthy(2).await;
    get(deaf.host_port.unwrap(), "/deaf");
    let now_s = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.unwrap().as_secs()
    };
    let since = now_s();
    world.assign(&[]).await;
    world.until_docker("gone", <[String]>::is_empty).await;
    let said = |container: &Option<String>| {
        let filter = format!("container={}", container.as_deref().unwrap());
        // Until the end of this second: docker knows nothing finer, and "0s" is its beginning.
        let (since, until, format) = (
            since.to_string(),
            (now_s() + 1).to_string(),
            "{{.Action}} {{.Actor.Attributes.signal}} {{.Actor.Attributes.exitCode}} {{.Time}}",
        );
        let mut words = vec!["events", "--since", &since, "--until", &until];
        words.extend(["--filter", &filter, "--format", format]);
        let events = docker(&words);
        let of = |action: &str| -> Vec<(String, u64)> {
            let lines = events.lines().filter(|line| line.starts_with(action));
            lines
                .map(|line| {
                    let words: Vec<&str> = line.split(' ').collect();
                    let told = words[1..words.len() - 1]
                        .join(" ")
                        .replace("<no value>", "");
                    (
                        told.trim().to_owned(),
                        words[words.len() - 1].parse().unwrap(),
                    )
                })
                .collect()
        };
        (of("kill"), of("die"))
    };
    let (signals, deaths) = said(&polite.container);
    assert_eq!(signals.len(), 1);
    assert_eq!((signals[0].0.as_str(), deaths[0].0.as_str()), ("15", "143"));
    let (signals, deaths) = said(&deaf.container);
    let sent: Vec<&str> = signals.iter().map(|(signal, _)| signal.as_str()).collect();
    assert_eq!((&sent[..], deaths[0].0.as_str()), (&["15", "9"][..], "137"));
    let grace_s = signals[1].1 - signals[0].1;
    assert!((1..=10).contains(&grace_s), "{grace_s} s of grace, not 2");
}
