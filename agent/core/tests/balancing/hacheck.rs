//! hacheck's answers and its spool.

use std::collections::BTreeMap;

use paasta_agent_core::hacheck::{
    CheckedService, Down, SPOOL_MAX, Spool, SpoolFull, judge, spooled,
};
use paasta_common::{
    id::{AppId, ReplicaId},
    report::{Health, Phase, ReplicaReport},
    time::Timestamp,
};

fn service(text: &str) -> CheckedService {
    text.to_owned().try_into().unwrap()
}

fn report(phase: Phase, health: Health) -> ReplicaReport {
    ReplicaReport {
        id: ReplicaId(7),
        app: AppId::new("web.main.git00000000.config00000000").unwrap(),
        phase,
        health,
        started_at: None,
        host_port: Some(31_000),
        container: None,
        run: 1,
        failures: 0,
        next_try_at: None,
        drained: false,
        in_load_balancer: None,
        message: "the check got 500".to_owned(),
        last_end: None,
        image: Default::default(),
        troubles: Default::default(),
        other_troubles: 0,
    }
}

#[test]
fn answers_are_those_of_the_agents_own_checks() {
    let now = Timestamp(1_000);
    let of = |phase, health, name: &str, port| {
        let reports = BTreeMap::from([(ReplicaId(7), report(phase, health))]);
        judge(&reports, &Spool::default(), &service(name), port, now).status
    };
    assert_eq!(of(Phase::Running, Health::Healthy, "web.main", 31_000), 200);
    assert_eq!(
        of(Phase::Running, Health::Unchecked, "web.canary", 31_000),
        200
    );
    for (phase, health) in [
        (Phase::Running, Health::Unhealthy),
        (Phase::Running, Health::Unknown),
        (Phase::Draining, Health::Healthy),
        (Phase::Stopping, Health::Healthy),
    ] {
        assert_eq!(of(phase, health, "web.main", 31_000), 503);
    }
    // The port was given to another service meanwhile.
    assert_eq!(of(Phase::Running, Health::Healthy, "old.main", 31_000), 503);
    assert_eq!(of(Phase::Running, Health::Healthy, "web.main", 31_001), 503);
}

#[test]
fn the_spool_says_down_for_all_a_service_or_one_port_until_it_is_over() {
    let mut spool = Spool::default();
    let (web, all) = (service("web.main"), service("all"));
    let down = |since, until: Option<u64>| Down {
        reason: "work".to_owned(),
        since: Timestamp(since),
        until: until.map(Timestamp),
    };
    spool
        .down(web.clone(), 31_000, down(1_500, Some(9_000)))
        .unwrap();
    spool
        .down(web.clone(), 31_000, down(2_500, Some(9_000)))
        .unwrap();
    let said = spooled(&spool, &web, 31_000, Timestamp(3_000));
    assert_eq!(
        (said.status, said.text.as_str()),
        (
            503,
            "Service web.main:31000 in down state since 1.500000 until 9.000000: work"
        )
    );
    assert_eq!(spooled(&spool, &web, 31_001, Timestamp(3_000)).status, 200);
    assert_eq!(spooled(&spool, &web, 31_000, Timestamp(9_000)).status, 200);
    spool.down(all.clone(), 0, down(1, None)).unwrap();
    assert_eq!(
        spooled(&spool, &web, 1, Timestamp(3_000)).text,
        "Service all in down state since 0.001000: work"
    );
    let json = serde_json::to_string(&spool).unwrap();
    assert_eq!(serde_json::from_str::<Spool>(&json).unwrap(), spool);
    spool.expire(Timestamp(9_000));
    spool.up(&all, 0);
    assert_eq!(spool, Spool::default());
    for n in 0..SPOOL_MAX {
        spool
            .down(service(&format!("s{n}")), 0, down(1, None))
            .unwrap();
    }
    assert_eq!(spool.down(web, 0, down(1, None)), Err(SpoolFull));
    assert!(CheckedService::try_from("a/b".to_owned()).is_err());
}
