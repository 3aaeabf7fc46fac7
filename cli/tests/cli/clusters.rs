//! Several clusters, asked side by side by the contexts of one user; each is a scripted coordinator.

use paasta_proto::v1::{
    DeployStatus, DesiredState, InstanceStatus, LogComponent, LogLine, MetastatusResponse,
};

use crate::{
    contexts::Home,
    fake::{Fake, Script, mute},
};

fn instance(id: &str) -> InstanceStatus {
    let (service, instance) = id.split_once('.').expect("a name");
    InstanceStatus {
        service: service.to_owned(),
        instance: instance.to_owned(),
        desired_state: DesiredState::Start.into(),
        deploy_status: DeployStatus::Running.into(),
        ..InstanceStatus::default()
    }
}

fn cluster(name: &str, ids: &[&str]) -> Fake {
    let line = LogLine {
        at_ns: 1_763_903_405_000_000_000,
        component: LogComponent::Stdout.into(),
        cluster: name.to_owned(),
        message: format!("a line of {name}").into_bytes(),
        ..LogLine::default()
    };
    Fake::start(Script {
        instances: ids.iter().map(|id| instance(id)).collect(),
        metastatus: MetastatusResponse {
            cluster: name.to_owned(),
            ..MetastatusResponse::default()
        },
        logs: vec![line],
        page: 10,
        cluster: name.to_owned(),
        ..Script::default()
    })
}

/// A cluster with a line at each of these seconds.
fn logging(name: &str, seconds: &[u64]) -> Fake {
    let line = |second: &u64| LogLine {
        at_ns: 1_763_903_405_000_000_000 + second * 1_000_000_000,
        component: LogComponent::Stdout.into(),
        cluster: name.to_owned(),
        message: format!("{name} {second}").into_bytes(),
        ..LogLine::default()
    };
    Fake::start(Script {
        instances: vec![instance("hello.main")],
        logs: seconds.iter().map(line).collect(),
        page: 10,
        cluster: name.to_owned(),
        ..Script::default()
    })
}

/// In which order these stand in the text.
fn in_order(text: &str, words: &[&str]) {
    let places: Vec<_> = words.iter().map(|word| text.find(word)).collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{words:?} at {places:?} in {text}"
    );
}

#[test]
fn all_clusters_are_asked_and_shown_in_the_order_of_their_names() {
    let (east, west) = (
        cluster("east", &["hello.main"]),
        cluster("west", &["db.main", "hello.main"]),
    );
    let home = Home::new();
    home.add("west", &west.address);
    home.add("east", &east.address);

    let two = home.run(&["status"]);
    in_order(
        &two.stdout,
        &["east: 1 instance", "hello.main", "west: 2 instances"],
    );
    let full = home.run(&["status", "-s", "hello", "-v"]);
    assert_eq!(full.stdout.matches("cluster").count(), 2, "{full:?}");
    // It is no fault of east that only west has it.
    let db = home.run(&["status", "-s", "db"]);
    assert!(db.stdout.contains("west"), "{db:?}");
    assert!(!format!("{db:?}").contains("east"), "{db:?}");
    let none = home.run(&["status", "-s", "hallo"]).exits(1);
    in_order(
        &none.stderr,
        &[
            "east: no service hallo",
            "did you mean hello",
            "west: no service",
        ],
    );
    let typo = home.run(&["status", "-c", "wset"]).exits(1);
    assert!(typo.stderr.contains("did you mean west?"), "{typo:?}");
    let one = home.run(&["status", "-c", "west"]);
    assert!(!one.stdout.contains("east"), "{one:?}");
    let list = home.run(&["list", "-i"]).exits(0);
    assert_eq!(list.stdout, "db.main\nhello.main\n");
    let meta = home.run(&["metastatus"]);
    in_order(&meta.stdout, &["east (id", "west (id"]);
    let logs = home.run(&["logs", "-s", "hello", "-r"]).exits(0);
    assert_eq!(logs.stdout, "a line of east\na line of west\n");

    // The lines of all clusters are in the order of time.
    let (one, other) = (logging("early", &[1, 3, 5]), logging("late", &[2, 3, 4]));
    let home = Home::new();
    home.add("early", &one.address);
    home.add("late", &other.address);
    let logs = home.run(&["logs", "-s", "hello", "-r"]).exits(0);
    assert_eq!(
        logs.stdout,
        "early 1\nlate 2\nearly 3\nlate 3\nlate 4\nearly 5\n"
    );
}

#[test]
fn the_cluster_that_is_named_is_the_one_that_is_changed() {
    let (east, west) = (cluster("east", &[]), cluster("west", &["hello.main"]));
    let home = Home::new();
    home.add("west", &west.address);
    home.add("east", &east.address);
    let other = home
        .run(&[
            "emergency-stop",
            "-s",
            "hello",
            "-c",
            "east",
            "--coordinators",
            &west.address,
        ])
        .exits(1);
    assert!(
        other.stderr.contains("cluster west, not of east"),
        "{other:?}"
    );
}

#[test]
fn a_cluster_that_is_away_is_named_and_the_others_are_shown() {
    let east = cluster("east", &["hello.main"]);
    let (_listener, address) = mute();
    let home = Home::new();
    home.add("away", &address);
    home.add("east", &east.address);
    let within = ["--timeout", "1s"];
    for words in [
        &["status"] as &[&str],
        &["metastatus"],
        &["list"],
        &["logs", "-s", "hello"],
    ] {
        let ran = home.run(&[words, &within].concat()).exits(3);
        assert!(
            ran.stderr
                .contains("away: no coordinator answered within 1s"),
            "{words:?}: {ran:?}"
        );
        assert!(
            ran.stdout.contains("east") || ran.stdout.contains("hello"),
            "{words:?}: {ran:?}"
        );
    }
    let text = home
        .run(&[&["status"] as &[&str], &within].concat())
        .exits(3);
    in_order(&text.stdout, &["away: no coordinator", "east: 1 instance"]);
    let json = home
        .run(&["status", "--json", "--timeout", "1s"])
        .exits(3)
        .json();
    let clusters = &json["clusters"];
    assert_eq!(clusters[0]["cluster"], "away");
    assert!(
        clusters[0]["answer"].is_null() && clusters[0]["error"].is_string(),
        "{json}"
    );
    assert_eq!(clusters[1]["answer"]["instances"][0]["service"], "hello");
}
