//! Whatever happens: one container per replica, strangers live, and after the faults every
//! replica runs or says why not.

use paasta_common::{assignment::Want, report::Phase};
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Happening {
    Assign(Vec<(u64, u8)>),
    Crash(u64),
    Sick(u64),
    Well(u64),
    Crashing(u64),
    Registry(bool),
    Answers(bool),
    Engine(bool),
    Lists(bool),
    Restart,
    LoseLedger,
    Pass(u64),
    Tick,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => prop::collection::vec((1..6u64, 0..3u8), 0..5).prop_map(Happening::Assign),
        2 => (1..6u64).prop_map(Happening::Crash),
        1 => (1..6u64).prop_map(Happening::Sick),
        1 => (1..6u64).prop_map(Happening::Well),
        1 => (1..6u64).prop_map(Happening::Crashing),
        1 => any::<bool>().prop_map(Happening::Registry),
        2 => any::<bool>().prop_map(Happening::Answers),
        1 => any::<bool>().prop_map(Happening::Engine),
        1 => any::<bool>().prop_map(Happening::Lists),
        2 => Just(Happening::Restart),
        1 => Just(Happening::LoseLedger),
        4 => (1..20_000u64).prop_map(Happening::Pass),
        4 => Just(Happening::Tick),
    ]
}

fn wants(codes: &[(u64, u8)], stopped: &BTreeSet<u64>) -> Vec<(u64, Want)> {
    let want = |(id, code): &(u64, u8)| {
        // A replica that was once told to stop is never wanted again.
        let want = match code {
            _ if stopped.contains(id) => Want::Stop,
            0 => Want::Run,
            1 => Want::Drain,
            _ => Want::Stop,
        };
        (*id, want)
    };
    codes.iter().map(want).collect()
}

fn happen(host: &mut Host, what: Happening, stopped: &mut BTreeSet<u64>) {
    match what {
        Happening::Assign(codes) => {
            let wants = wants(&codes, stopped);
            let held: BTreeSet<u64> = wants
                .iter()
                .filter(|(_, want)| *want != Want::Stop)
                .map(|(id, _)| *id)
                .collect();
            stopped.extend(
                (1..6).filter(|id| {
                    !held.contains(id) && host.state.assigned(ReplicaId(*id)).is_some()
                }),
            );
            stopped.extend(
                wants
                    .iter()
                    .filter(|(_, w)| *w == Want::Stop)
                    .map(|(id, _)| *id),
            );
            let wants: BTreeMap<u64, Want> = wants.into_iter().collect();
            host.assign(&wants.into_iter().collect::<Vec<_>>());
        }
        Happening::Crash(id) => host.crash(id),
        Happening::Sick(id) => drop(host.sick.insert(ReplicaId(id))),
        Happening::Well(id) => drop(host.sick.remove(&ReplicaId(id))),
        Happening::Crashing(id) => drop(host.crashing.insert(ReplicaId(id))),
        Happening::Registry(up) => host.registry_is_up = up,
        Happening::Answers(lost) => host.answers_are_lost = lost,
        Happening::Engine(degraded) => host.degraded = degraded,
        // The engine goes on listing what there is now, whatever becomes of it.
        Happening::Lists(late) => {
            host.stale = late.then(|| host.containers.values().cloned().collect());
        }
        Happening::Restart => host.restart(),
        Happening::LoseLedger => {
            let (accepted, assignment) =
                (host.state.accepted.clone(), host.state.assignment.clone());
            host.state = LocalState {
                accepted,
                assignment,
                ..LocalState::default()
            };
            // Neither memory nor lists: then nobody could know.
            host.stale = None;
            host.restart();
        }
        Happening::Pass(ms) => host.pass(ms),
        Happening::Tick => drop(host.tick()),
    }
}

fn heal(host: &mut Host) {
    host.registry_is_up = true;
    host.answers_are_lost = false;
    host.degraded = false;
    host.stale = None;
    host.sick.clear();
    host.crashing.clear();
    host.live(host.settings.reap_age_ms + 400_000);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]
    #[test]
    fn faults_end_and_everything_assigned_runs_once(
        script in prop::collection::vec(happening(), 1..60),
    ) {
        let mut host = Host::new();
        let stranger = Seen {
            container: "stranger".to_owned(),
            name: "paasta-hello.main-r1-1".to_owned() + "-of-another",
            cluster_id: "another".to_owned(),
            host: "host1".parse().ok(),
            replica: Some(ReplicaId(1)),
            run: 1,
            state: ContainerState::Running,
            created_at: Timestamp(0),
            host_port: Some(31_000),
        };
        host.containers.insert("stranger".to_owned(), stranger.clone());
        let mut stopped = BTreeSet::new();
        for what in script {
            happen(&mut host, what, &mut stopped);
            let ours = |id| host.running(id).into_iter().filter(|seen| seen.cluster_id == "c1");
            for id in 1..6 {
                prop_assert!(ours(id).count() <= 1, "replica r{id} runs twice");
            }
        }
        heal(&mut host);
        prop_assert_eq!(&host.containers["stranger"], &stranger);
        for id in 1..6u64 {
            let running = host.running(id).into_iter().filter(|s| s.cluster_id == "c1").count();
            match host.state.assigned(ReplicaId(id)).map(|replica| replica.want) {
                Some(Want::Run) => {
                    prop_assert_eq!(running, 1, "{:?}", host.report(id));
                    prop_assert_eq!(host.report(id).phase, Phase::Running);
                    prop_assert_eq!(host.report(id).failures, 0);
                }
                Some(Want::Drain) => {
                    prop_assert!(running <= 1);
                    prop_assert!(host.report(id).drained, "{:?}", host.report(id));
                }
                Some(Want::Stop) => {
                    prop_assert_eq!(running, 0);
                    prop_assert_eq!(host.report(id).phase, Phase::Gone);
                }
                None => {
                    prop_assert_eq!(running, 0);
                    prop_assert!(!host.state.records.contains_key(&ReplicaId(id)));
                }
            }
        }
        // Level-triggered: with nothing new to see there is nothing to do but to probe.
        let again = host.tick().actions;
        prop_assert!(again.iter().all(|action| matches!(action, Action::Probe { .. })), "{again:?}");
    }

    #[test]
    fn without_faults_every_waiting_replica_says_why(down in any::<bool>(), crash in any::<bool>()) {
        let mut host = Host::new();
        host.registry_is_up = !down;
        if crash {
            host.crashing.insert(ReplicaId(1));
        }
        host.assign(&[(1, Want::Run)]);
        host.live(20_000);
        let report = host.report(1);
        match report.phase {
            Phase::Running => prop_assert!(!down && !crash),
            Phase::BackingOff => prop_assert!(!report.message.is_empty() && report.next_try_at.is_some()),
            Phase::Pulling | Phase::Starting => {}
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
