//! What happens to a replica, one linear story each.

use paasta_common::{
    app::AppSpec,
    assignment::Want,
    report::{Health, Phase},
};

use super::*;
use crate::state::Stage;

#[test]
fn a_new_replica_is_pulled_started_probed_and_serves() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run)]);
    assert!(matches!(&host.tick().actions[..], [Action::Pull { image }] if image == IMAGE));
    assert_eq!(host.report(1).phase, Phase::Pulling);
    assert!(matches!(
        &host.tick().actions[..],
        [Action::Run { run: 1, .. }]
    ));
    host.tick();
    assert_eq!(
        (host.report(1).phase, host.report(1).health),
        (Phase::Running, Health::Unknown)
    );
    host.live(2_000);
    let report = host.report(1);
    assert_eq!(
        (report.health, report.run, report.failures),
        (Health::Healthy, 1, 0)
    );
    assert_eq!(report.host_port, Some(31_000));
    assert_eq!(report.container.as_deref(), Some("id1"));
}

#[test]
fn one_pull_serves_every_replica_that_waits_and_each_has_its_own_port() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run), (2, Want::Run), (3, Want::Run)]);
    assert_eq!(host.tick().actions.len(), 1);
    assert_eq!(host.tick().actions.len(), 3);
    let ports: BTreeSet<_> = (1..=3).map(|id| host.report(id).host_port).collect();
    assert_eq!(ports.len(), 3);
}

#[test]
fn a_dead_container_is_followed_by_a_new_run_with_a_new_container_after_the_backoff() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run)]);
    host.live(3_000);
    host.crash(1);
    host.tick();
    host.tick();
    host.tick();
    let report = host.report(1);
    assert_eq!((report.phase, report.failures), (Phase::BackingOff, 1));
    assert!(report.message.contains("exit code 1"), "{}", report.message);
    assert!(host.containers.is_empty(), "removed after it finished");
    let wait = report.next_try_at.unwrap().since_ms(host.now);
    assert!((800..=1_000).contains(&wait), "{wait}");
    host.live(1_200);
    let seen = host.running(1)[0];
    assert_eq!((seen.run, seen.container.as_str()), (2, "id2"));
}

#[test]
fn a_list_that_is_late_ends_no_run_and_doubles_none() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run)]);
    host.stale = Some(Vec::new());
    host.live(30_000);
    let looks = |host: &Host| {
        let look = |action: &&Action| matches!(action, Action::Look { .. });
        host.log.iter().filter(look).count()
    };
    let report = host.report(1);
    assert_eq!(
        (report.phase, report.run, report.failures),
        (Phase::Running, 1, 0)
    );
    assert!(looks(&host) > 0, "it was looked at, as it is not listed");
    // And of one that has ended it says that it runs: a hint is enough.
    host.stale = Some(host.containers.values().cloned().collect());
    let before = looks(&host);
    host.crash(1);
    host.tick();
    assert_eq!((looks(&host), host.report(1).failures), (before, 0));
    host.hint(1);
    host.tick();
    host.tick();
    assert_eq!((looks(&host), host.report(1).failures), (before + 1, 1));
    host.stale = None;
    host.live(3_000);
    assert_eq!((host.running(1).len(), host.report(1).run), (1, 2));
}

#[test]
fn the_backoff_counts_from_the_end_of_the_run_not_from_when_it_was_noticed() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run)]);
    host.live(3_000);
    host.ended_at = Some(host.now);
    host.crash(1);
    host.pass(600);
    host.tick();
    host.tick();
    let next = host.report(1).next_try_at;
    host.tick();
    let next = next.or(host.report(1).next_try_at).unwrap();
    assert!(
        (300..=400).contains(&next.since_ms(host.now)),
        "{next:?}, now {:?}",
        host.now
    );
}

#[test]
fn a_look_without_an_answer_ends_nothing_and_is_repeated() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run)]);
    host.live(3_000);
    host.stale = Some(Vec::new());
    host.answers_are_lost = true;
    host.live(20_000);
    let report = host.report(1);
    assert_eq!((report.phase, report.run), (Phase::Running, 1));
    assert!(report.message.contains("timed out"), "{}", report.message);
    host.answers_are_lost = false;
    host.live(20_000);
    let report = host.report(1);
    assert_eq!((report.run, report.failures), (1, 0));
    assert_eq!(report.message, "");
}

#[test]
fn a_crash_loop_backs_off_to_the_cap_and_a_healthy_minute_forgives() {
    let mut host = Host::new();
    host.crashing.insert(ReplicaId(1));
    host.assign(&[(1, Want::Run)]);
    host.live(600_000);
    // 1 + 2 + 4 + 8 + 16 + 32 s, then one a minute.
    let runs = host.runs(1).len();
    assert!((13..=18).contains(&runs), "{runs} runs in ten minutes");
    assert!(host.report(1).failures > 8);
    host.crashing.clear();
    host.live(60_000 + 120_000);
    assert_eq!(
        (host.report(1).phase, host.report(1).failures),
        (Phase::Running, 0)
    );
    assert_eq!(host.report(1).message, "");
}

#[test]
fn a_missing_image_is_a_state_with_the_registrys_words() {
    let mut host = Host::new();
    host.registry_is_up = false;
    host.assign(&[(1, Want::Run)]);
    host.tick();
    host.tick();
    let report = host.report(1);
    assert_eq!(report.phase, Phase::BackingOff);
    assert!(
        report.message.contains("manifest unknown"),
        "{}",
        report.message
    );
    assert!(report.next_try_at.is_some());
    host.registry_is_up = true;
    host.live(5_000);
    assert_eq!(host.report(1).phase, Phase::Running);
}

#[test]
fn a_sick_replica_is_down_for_the_load_balancer_long_before_it_is_replaced() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run)]);
    host.live(3_000);
    host.sick.insert(ReplicaId(1));
    let (mut down_at, mut replaced_at) = (None, None);
    let start = host.now;
    while replaced_at.is_none() {
        host.live(100);
        if host.report(1).health == Health::Unhealthy {
            down_at.get_or_insert(host.now);
        }
        if !matches!(
            host.state.records[&ReplicaId(1)].stage,
            Stage::Running { .. }
        ) {
            replaced_at = Some(host.now);
        }
        assert!(host.now.since_ms(start) < 60_000);
    }
    let (down, replaced) = (
        down_at.unwrap().since_ms(start),
        replaced_at.unwrap().since_ms(start),
    );
    assert!(down <= 2 * 2_000 + 200, "down after {down}");
    assert!(
        (4 * 2_000..=5 * 2_000 + 200).contains(&replaced),
        "replaced after {replaced}"
    );
    assert!(host.report(1).message.contains("status 500"));
}

#[test]
fn a_drain_leaves_announces_nothing_and_stops_only_when_told() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run)]);
    host.live(3_000);
    host.assign(&[(1, Want::Drain)]);
    host.live(2_900);
    assert_eq!(
        (host.report(1).phase, host.report(1).drained),
        (Phase::Draining, false)
    );
    host.live(200);
    assert!(host.report(1).drained);
    assert_eq!(host.running(1).len(), 1, "drained is not stopped");
    // Called off: it serves again, and a new drain takes its whole time again.
    host.assign(&[(1, Want::Run)]);
    host.live(100);
    assert_eq!(
        (host.report(1).phase, host.report(1).drained),
        (Phase::Running, false)
    );
    host.assign(&[(1, Want::Drain)]);
    host.live(1_000);
    assert!(!host.report(1).drained);
    host.assign(&[(1, Want::Stop)]);
    host.live(200);
    assert_eq!(host.report(1).phase, Phase::Gone);
    assert!(host.containers.is_empty());
    host.assign(&[]);
    host.tick();
    assert!(host.state.records.is_empty());
}

#[test]
fn what_leaves_is_not_started_again() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run)]);
    host.live(3_000);
    host.assign(&[(1, Want::Drain)]);
    host.live(500);
    host.crash(1);
    host.live(30_000);
    assert!(host.running(1).is_empty());
    assert!(host.report(1).drained);
}

#[test]
fn a_drain_endpoint_that_does_not_answer_never_blocks() {
    let endpoint = r#"{"url_format": "http://{host}:{port}/drain?ns={nerve_ns}",
        "success_codes": "200-399,407"}"#;
    let params = format!(
        r#"{{"drain": {endpoint}, "stop_draining": {endpoint}, "is_draining": {endpoint},
            "is_safe_to_kill": {endpoint}}}"#
    );
    let mut host = Host::new();
    let run = RunSettings {
        drain: DrainMethod::Http { params },
        ..settings()
    };
    host.assign_with(&[(1, Want::Run)], app(), run.clone());
    host.live(3_000);
    host.assign_with(&[(1, Want::Drain)], app(), run);
    host.live(10_000);
    assert!(host.report(1).drained, "{:?}", host.report(1));
    let asked = host.log.iter().find_map(|action| match action {
        Action::Drain { requests, .. } => Some(requests[0].clone()),
        _ => None,
    });
    let asked = asked.unwrap();
    assert_eq!(asked.url, "http://10.0.0.1:31000/drain?ns=main");
    assert_eq!(
        (asked.method.as_str(), &asked.success[..]),
        ("GET", &[(200, 399), (407, 407)][..])
    );
}

#[test]
fn the_agents_restart_touches_no_container() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run), (2, Want::Run)]);
    host.live(5_000);
    let before = host.containers.clone();
    host.log.clear();
    host.restart();
    host.live(60_000);
    assert_eq!(host.containers, before);
    assert!(
        host.log
            .iter()
            .all(|action| matches!(action, Action::Probe { .. }))
    );
}

#[test]
fn with_the_ledger_lost_running_containers_are_adopted_not_doubled() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run), (2, Want::Run)]);
    host.live(5_000);
    let before = host.containers.clone();
    let accepted = host.state.accepted.clone();
    host.state = LocalState {
        accepted,
        ..LocalState::default()
    };
    host.log.clear();
    host.live(10_000_000);
    assert_eq!(
        host.containers, before,
        "without an assignment nothing is reaped"
    );
    host.assign(&[(1, Want::Run)]);
    host.live(10_000);
    assert_eq!(host.running(1)[0].container, before["id1"].container);
    assert_eq!(host.report(1).host_port, before["id1"].host_port);
    assert!(host.running(2).is_empty(), "an orphan, and old enough");
}

#[test]
fn with_an_earlier_ledger_running_containers_are_taken_over() {
    let mut states = Vec::new();
    let mut host = Host::new();
    host.assign(&[(1, Want::Run), (2, Want::Run)]);
    for _ in 0..6 {
        states.push(host.state.clone());
        host.tick();
    }
    host.live(5_000);
    let before = host.containers.clone();
    assert_eq!(before.len(), 2);
    let mut behind = 0;
    for state in states {
        behind += usize::from(state.records.values().any(|record| record.run == 0));
        host.state = state;
        host.restart();
        // The first listing comes before the replica is on its way again.
        host.live(10_000);
        assert_eq!(host.containers, before, "reaped or doubled");
        assert_eq!((host.runs(1), host.runs(2)), (vec![1], vec![1]));
    }
    assert!(behind > 0, "no state was behind a run");
}

#[test]
fn a_run_after_the_recorded_one_is_left_to_its_replica() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run)]);
    host.live(5_000);
    let before = host.containers.clone();
    let record = host.state.records.get_mut(&ReplicaId(1)).unwrap();
    record.run = 0;
    record.stage = Stage::Waiting {
        until: Some(host.now.after_ms(1_000)),
    };
    host.live(900);
    assert_eq!(host.containers, before, "left while its replica waits");
    host.live(5_000);
    assert_eq!(host.containers, before, "and taken over");
    assert_eq!(host.report(1).phase, Phase::Running);
    let record = host.state.records.get_mut(&ReplicaId(1)).unwrap();
    record.run = 0;
    record.stage = Stage::Pulling;
    host.assign(&[(1, Want::Stop)]);
    host.live(10_000);
    assert!(
        host.containers.is_empty(),
        "a stopped replica leaves nothing"
    );
}

#[test]
fn a_start_whose_answer_is_lost_is_found_and_not_doubled() {
    let mut host = Host::new();
    host.answers_are_lost = true;
    host.assign(&[(1, Want::Run)]);
    host.live(5_000);
    assert_eq!(host.containers.len(), 1);
    assert_eq!(host.report(1).phase, Phase::Running);
    assert_eq!(host.report(1).container.as_deref(), Some("id1"));
    assert_eq!(host.runs(1), [1]);
}

#[test]
fn an_agent_that_dies_between_writing_and_acting_starts_the_same_run() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run)]);
    host.tick();
    host.decide();
    assert!(matches!(
        host.state.records[&ReplicaId(1)].stage,
        Stage::Starting { .. }
    ));
    host.restart();
    host.live(2_000);
    assert_eq!((host.running(1).len(), host.running(1)[0].run), (1, 1));
}

#[test]
fn orphans_die_at_the_reap_age_and_strangers_live() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run)]);
    host.live(1_000);
    let ours = host.running(1)[0].clone();
    let mut put = |name: &str, change: fn(&mut Seen)| {
        let mut seen = Seen {
            container: name.to_owned(),
            name: name.to_owned(),
            replica: Some(ReplicaId(77)),
            host_port: None,
            created_at: host.now,
            ..ours.clone()
        };
        change(&mut seen);
        host.containers.insert(name.to_owned(), seen);
    };
    put("orphan", |_| {});
    put("unreadable", |seen| seen.replica = None);
    put("other-cluster", |seen| seen.cluster_id = "c2".to_owned());
    put("other-host", |seen| seen.host = "host2".parse().ok());
    put("no-labels", |seen| {
        seen.cluster_id.clear();
        seen.host = None;
        seen.replica = None;
    });
    put("leftover", |seen| {
        seen.replica = Some(ReplicaId(1));
        seen.run = 0;
    });
    host.tick();
    assert!(!host.containers.contains_key("leftover"));
    host.pass(3_600_000 - 1);
    host.tick();
    assert!(
        host.containers.contains_key("orphan"),
        "younger than the reap age"
    );
    host.degraded = true;
    host.pass(10_000);
    host.tick();
    assert!(
        host.containers.contains_key("orphan"),
        "never while the engine fails"
    );
    host.degraded = false;
    host.tick();
    let left: Vec<&str> = host.containers.keys().map(String::as_str).collect();
    assert_eq!(left, ["id1", "no-labels", "other-cluster", "other-host"]);
}

#[test]
fn a_degraded_runtime_evicts_nothing_starts_nothing_and_health_is_still_known() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run)]);
    host.live(3_000);
    host.degraded = true;
    host.assign(&[(1, Want::Run), (2, Want::Run)]);
    host.sick.insert(ReplicaId(1));
    host.log.clear();
    host.live(60_000);
    assert!(
        host.log
            .iter()
            .all(|action| matches!(action, Action::Probe { .. }))
    );
    assert_eq!(host.report(1).health, Health::Unhealthy);
    assert_eq!(host.running(1).len(), 1);
    host.sick.clear();
    host.live(5_000);
    host.degraded = false;
    host.live(5_000);
    assert_eq!(
        (host.report(1).health, host.report(1).run),
        (Health::Healthy, 1)
    );
    assert_eq!(host.report(2).phase, Phase::Running);
}

#[test]
fn a_fixed_port_is_honoured_and_never_given_twice() {
    let mut host = Host::new();
    let fixed = AppSpec {
        host_port: 31_005,
        ..app()
    };
    host.assign_with(&[(1, Want::Run), (2, Want::Run)], fixed, settings());
    host.live(3_000);
    assert_eq!(host.report(1).host_port, Some(31_005));
    let waiting = host.report(2);
    assert_eq!(waiting.phase, Phase::BackingOff);
    assert!(waiting.message.contains("31005"), "{}", waiting.message);
}

#[test]
fn a_fixed_port_that_another_program_holds_is_told_and_nothing_is_made() {
    let mut host = Host::new();
    host.held_ports.insert(31_005);
    let fixed = AppSpec {
        host_port: 31_005,
        ..app()
    };
    host.assign_with(&[(1, Want::Run)], fixed, settings());
    host.live(20_000);
    let waiting = host.report(1);
    assert_eq!((waiting.phase, waiting.run), (Phase::BackingOff, 0));
    assert!(
        waiting.message.contains("held by another program"),
        "{}",
        waiting.message
    );
    assert!(host.runs(1).is_empty());
    assert!(
        waiting.failures < 7,
        "later and later: {}",
        waiting.failures
    );
    host.held_ports.clear();
    host.live(20_000);
    let report = host.report(1);
    assert_eq!(
        (report.host_port, report.health),
        (Some(31_005), Health::Healthy)
    );
}

#[test]
fn a_range_that_is_used_up_is_the_reason_and_only_then() {
    let mut host = Host::new();
    let all: Vec<_> = (1..=20).map(|id| (id, Want::Run)).collect();
    host.assign(&all);
    host.live(3_000);
    let failures: u32 = all.iter().map(|(id, _)| host.report(*id).failures).sum();
    assert_eq!(
        failures, 0,
        "more than are offered in one step start in several"
    );
    assert!(
        all.iter()
            .all(|(id, _)| host.report(*id).phase == Phase::Running)
    );
    host.held_ports.extend(31_020..31_050);
    host.assign(&(1..=21).map(|id| (id, Want::Run)).collect::<Vec<_>>());
    host.live(1_000);
    let late = host.report(21);
    assert!(
        late.message.contains("agent.port_range"),
        "{}",
        late.message
    );
    host.assign(&(2..=21).map(|id| (id, Want::Run)).collect::<Vec<_>>());
    host.live(20_000);
    assert_eq!(host.report(21).phase, Phase::Running);
}

#[test]
fn an_older_assignment_is_refused() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run)]);
    let older = host.state.assignment.clone().unwrap();
    host.assign(&[]);
    assert!(host.state.accept(older).is_err());
    assert!(host.state.assignment.as_ref().unwrap().replicas.is_empty());
}
