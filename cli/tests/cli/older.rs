//! A coordinator that is older than the command: it says closed sets of words as text only.

use paasta_proto::{
    texts::Texts as _,
    v1::{
        BounceMethod, BounceStatus, CoordinatorStatus, DataSpace, InstanceStatus, LinkSpeed,
        MemberRole, MetastatusResponse, NodeResponse, NodeRole, OverrideKind, OverrideStatus,
        Waiting, WaitingKind,
    },
};

use crate::{
    fake::{Fake, NOW_MS, Script},
    paasta::paasta_with,
    show::instance,
};

fn status() -> InstanceStatus {
    let mut main = instance("hello", "main", 3, 2);
    main.overridden = Some(OverrideStatus {
        kind: OverrideKind::Pin.into(),
        instances: Some(3),
        by: "ann@desk".to_owned(),
        since_ms: NOW_MS - 60_000,
        ..OverrideStatus::default()
    });
    main.bounce = Some(BounceStatus {
        method: BounceMethod::Crossover.into(),
        started_at_ms: NOW_MS - 60_000,
        ..BounceStatus::default()
    });
    main.waiting.push(Waiting {
        kind: WaitingKind::Pinned.into(),
        what: "it was rolled back".to_owned(),
        ..Waiting::default()
    });
    main
}

fn metastatus() -> MetastatusResponse {
    let coordinator = |id: u64, link: LinkSpeed, space: DataSpace| CoordinatorStatus {
        id,
        address: format!("10.77.0.{id}:7401"),
        leader: id == 1,
        role: MemberRole::Voter.into(),
        link: link.into(),
        round_trip_us: Some(250_000),
        data_free_bytes: Some(1 << 30),
        data_total_bytes: Some(1 << 33),
        data_space: space.into(),
        ..CoordinatorStatus::default()
    };
    MetastatusResponse {
        cluster: "demo".to_owned(),
        now_ms: NOW_MS,
        coordinators: vec![
            coordinator(1, LinkSpeed::Fast, DataSpace::Ok),
            coordinator(2, LinkSpeed::Slow, DataSpace::Low),
            coordinator(3, LinkSpeed::TooSlow, DataSpace::Reserve),
        ],
        writes_space: DataSpace::Reserve.into(),
        ..MetastatusResponse::default()
    }
}

fn script() -> Script {
    Script {
        instances: vec![status()],
        page: 1000,
        metastatus: metastatus(),
        node: NodeResponse {
            id: 1,
            role: NodeRole::Leader.into(),
            leader_id: Some(1),
            ..NodeResponse::default()
        },
        ..Script::default()
    }
}

/// The same without the enums: what a coordinator of 0.1.0 answers.
fn as_text(mut script: Script) -> Script {
    for one in &mut script.instances {
        one.write_texts();
        one.bounce_method = 0;
        one.overridden.as_mut().expect("it is").kind = 0;
        one.bounce.as_mut().expect("it is").method = 0;
        one.waiting.iter_mut().for_each(|waiting| waiting.kind = 0);
    }
    script.metastatus.write_texts();
    script.metastatus.writes_space = 0;
    for one in &mut script.metastatus.coordinators {
        (one.role, one.link, one.data_space) = (0, 0, 0);
    }
    script.node.write_texts();
    script.node.role = 0;
    script
}

#[test]
fn answers_are_shown_as_those_of_a_coordinator_of_this_version() {
    let (older, current) = (Fake::start(as_text(script())), Fake::start(script()));
    for (args, word) in [
        (
            vec!["status", "-s", "hello", "-i", "main", "-v"],
            "pinned to 3 replicas",
        ),
        (vec!["status", "-s", "hello", "--json"], "\"crossover\""),
        (vec!["why", "hello.main"], "pinned: it was rolled back"),
        (vec!["metastatus", "-vv"], "too slow"),
        (vec!["metastatus", "--json"], "\"too-slow\""),
        (vec!["cluster", "node", "--json"], "\"leader\""),
    ] {
        let ask = |fake: &Fake| paasta_with(&args, &[("PAASTA_COORDINATORS", &fake.address)], "");
        let (said, wanted) = (ask(&older), ask(&current));
        let place = |text: &str, fake: &Fake| text.replace(&fake.address, "HERE");
        assert_eq!(
            place(&said.stdout, &older),
            place(&wanted.stdout, &current),
            "{args:?}"
        );
        assert!(said.stdout.contains(word), "{word}: {said:?}");
    }
}
