//! How runs ended is told as it was, and what is no longer so is no longer said.

use paasta_common::{
    assignment::Want,
    id::ReplicaId,
    report::{EndCause, Health, Phase, RunEnd, Trouble},
};

use super::*;

/// A host with one healthy replica.
fn healthy() -> Host {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run)]);
    host.live(3_000);
    assert_eq!(host.report(1).health, Health::Healthy);
    host
}

fn memory_kill(host: &mut Host) {
    let run = host.report(1).run;
    host.events.push(Event::Hinted {
        replica: ReplicaId(1),
        run,
        memory_kill_at: Some(host.now),
    });
}

/// Ends the run with this exit code, as an engine that saw some process killed for memory.
fn end(host: &mut Host, exit_code: i64) -> RunEnd {
    host.remains = Remains {
        exit_code: Some(exit_code),
        memory_killed: true,
        ended_at: Some(host.now),
        ..Remains::default()
    };
    host.crash(1);
    host.live(100);
    host.report(1).last_end.unwrap()
}

#[test]
fn a_run_that_outlives_a_kill_for_memory_is_not_said_to_have_died_of_it() {
    let mut host = healthy();
    memory_kill(&mut host);
    host.live(15_000);
    let report = host.report(1);
    assert_eq!((report.run, report.failures), (1, 0));
    assert!(
        report.message.contains("the run goes on"),
        "{}",
        report.message
    );
    assert_eq!(report.troubles.of(Trouble::ChildMemory), 1);
    let ended = end(&mut host, 3);
    assert_eq!((ended.out_of_memory, ended.memory_kills), (false, 1));
    let text = ended.to_string();
    assert_eq!(
        text,
        "run 1 exited by itself, exit code 3; a process in it was killed for its memory before"
    );
    let troubles = host.report(1).troubles;
    assert_eq!(troubles.of(Trouble::Exited), 1);
    assert_eq!(troubles.of(Trouble::ChildMemory), 1, "counted once");
    assert_eq!(troubles.of(Trouble::Memory), 0);
}

#[test]
fn a_run_whose_main_process_is_killed_for_memory_is_said_to_have_died_of_it() {
    let mut host = healthy();
    memory_kill(&mut host);
    let ended = end(&mut host, 137);
    assert_eq!((ended.out_of_memory, ended.memory_kills), (true, 0));
    assert_eq!(
        ended.to_string(),
        "run 1 was killed for its memory, exit code 137"
    );
    assert_eq!(host.report(1).troubles.of(Trouble::Memory), 1);
    assert_eq!(host.report(1).troubles.of(Trouble::ChildMemory), 0);
}

#[test]
fn without_hints_the_exit_code_decides() {
    let mut host = healthy();
    assert!(end(&mut host, 137).out_of_memory);
    let mut host = healthy();
    let ended = end(&mut host, 3);
    assert_eq!((ended.out_of_memory, ended.memory_kills), (false, 1));
}

#[test]
fn a_run_that_somebody_kills_long_after_a_kill_for_memory_did_not_die_of_it() {
    let mut host = healthy();
    memory_kill(&mut host);
    host.live(60_000);
    // A new agent knows it from the ledger.
    host.restart();
    host.live(3_000);
    let ended = end(&mut host, 137);
    assert_eq!((ended.out_of_memory, ended.memory_kills), (false, 1));
}

#[test]
fn a_paused_run_is_shown_as_such_is_not_happy_and_is_replaced_like_any_that_does_not_answer() {
    let mut host = healthy();
    let set = |host: &mut Host, state| {
        for seen in host.containers.values_mut() {
            seen.state = state;
        }
    };
    set(&mut host, ContainerState::Paused);
    host.live(500);
    let report = host.report(1);
    assert_eq!(
        (report.phase, report.health, report.run),
        (Phase::Running, Health::Unhealthy, 1)
    );
    assert!(report.message.contains("paused"), "{}", report.message);
    let probes = |host: &Host| {
        let sent = host.log.iter();
        sent.filter(|action| matches!(action, Action::Probe { .. }))
            .count()
    };
    let before = probes(&host);
    host.live(4_000);
    assert_eq!(probes(&host), before, "a frozen run is not probed");
    set(&mut host, ContainerState::Running);
    host.live(4_000);
    let report = host.report(1);
    assert_eq!((report.health, report.run), (Health::Healthy, 1));
    assert_eq!(report.message, "");
    set(&mut host, ContainerState::Paused);
    host.live(20_000);
    let report = host.report(1);
    assert_eq!(report.run, 2);
    assert_eq!(report.troubles.of(Trouble::Unhealthy), 1);
    assert!(report.troubles.of(Trouble::CheckFailed) >= 1);
}

#[test]
fn a_paused_run_without_a_check_is_not_happy_and_stays() {
    let mut host = Host::new();
    let mut app = app();
    app.health = None;
    host.assign_with(&[(1, Want::Run)], app, settings());
    host.live(1_000);
    for seen in host.containers.values_mut() {
        seen.state = ContainerState::Paused;
    }
    host.live(60_000);
    let report = host.report(1);
    assert_eq!((report.health, report.run), (Health::Unhealthy, 1));
    // A new agent finds it so.
    host.restart();
    host.live(1_000);
    assert_eq!(host.report(1).health, Health::Unhealthy);
}

#[test]
fn a_message_goes_when_what_it_was_about_succeeds() {
    let mut host = healthy();
    host.removals_fail = Some("device busy".to_owned());
    host.crash(1);
    host.live(1_000);
    let message = host.report(1).message;
    assert!(message.contains("could not be removed"), "{message}");
    host.removals_fail = None;
    host.live(6_000);
    let message = host.report(1).message;
    assert_eq!(message, "run 1 exited by itself, exit code 1");

    host.answers_are_lost = true;
    host.crash(1);
    host.live(7_000);
    assert!(!host.report(1).message.is_empty());
    host.answers_are_lost = false;
    host.live(20_000);
    let report = host.report(1);
    assert_eq!(report.health, Health::Healthy);
    assert!(
        report.message.starts_with("run ") && report.failures > 0,
        "{}",
        report.message
    );
    host.live(host.settings.healthy_reset_ms + 1_000);
    assert_eq!(host.report(1).message, "");

    // A check that fails once and passes again, behind failures: the failures are said.
    host.crash(1);
    host.live(5_000);
    host.sick.insert(ReplicaId(1));
    host.live(3_000);
    assert!(host.report(1).message.contains("health check failed"));
    host.sick.clear();
    host.live(3_000);
    assert!(host.report(1).message.starts_with("run "));

    let mut host = Host::new();
    host.registry_is_up = false;
    host.assign(&[(1, Want::Run)]);
    host.live(500);
    assert!(!host.report(1).message.is_empty());
    host.registry_is_up = true;
    host.live(10_000);
    let report = host.report(1);
    assert_eq!(
        (report.phase, report.message.as_str()),
        (Phase::Running, "")
    );
}

#[test]
fn so_many_failures_in_a_row_are_a_crash_loop_once() {
    let mut host = Host::new();
    host.crashing.insert(ReplicaId(1));
    host.assign(&[(1, Want::Run)]);
    while host.report(1).failures < 7 {
        host.live(100);
    }
    let troubles = host.report(1).troubles;
    assert_eq!(troubles.of(Trouble::CrashLoop), 1);
    assert!((6..=7).contains(&troubles.of(Trouble::Exited)));
}

#[test]
fn the_image_says_where_its_paths_count_from() {
    let mut host = Host::new();
    host.image_working_dir = Some("/app".to_owned());
    host.assign(&[(1, Want::Run)]);
    host.live(1_000);
    let of = |host: &Host, run: u64| host.specs[&format!("paasta-hello.main-r1-{run}")].clone();
    let spec = of(&host, 1);
    assert_eq!(spec.working_dir, "/app");
    assert_eq!(spec.env["MESOS_SANDBOX"], crate::compose::SANDBOX);
    let mounted = |path: &str| spec.mounts.iter().any(|one| one.container_path == path);
    assert!(mounted(crate::compose::SANDBOX));
    // The next image of that name sets none.
    host.image_working_dir = None;
    host.crash(1);
    host.live(5_000);
    assert_eq!(of(&host, 2).working_dir, crate::compose::SANDBOX);
    assert_eq!(
        host.report(1).last_end.map(|end| end.cause),
        Some(EndCause::Exited)
    );
}
