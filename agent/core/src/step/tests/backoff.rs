//! What failed waits, is moved, is told to try now; and how its runs ended is told.

use paasta_common::{
    assignment::{Tried, Want},
    id::ReplicaId,
    report::{EndCause, Phase},
};

use super::*;

/// A replica that fails as soon as it starts, this often.
fn failed(times: u32) -> Host {
    let mut host = Host::new();
    host.crashing.insert(ReplicaId(1));
    host.assign(&[(1, Want::Run)]);
    while host.report(1).failures < times || host.report(1).phase != Phase::BackingOff {
        host.live(100);
    }
    host
}

#[test]
fn an_order_to_forget_failures_starts_what_waits_once() {
    let mut host = failed(5);
    let runs = host.runs(1).len();
    assert!(host.report(1).next_try_at.unwrap() > host.now.after_ms(5_000));
    host.tried.reset = 40;
    host.assign(&[(1, Want::Run)]);
    host.crashing.clear();
    host.live(50);
    assert_eq!((host.runs(1).len(), host.report(1).failures), (runs + 1, 0));
    assert_eq!(host.report(1).phase, Phase::Running);
    // It is carried out once, whatever is sent again and whichever agent is started again.
    host.crashing.insert(ReplicaId(1));
    host.crash(1);
    host.live(100);
    let waits = host.report(1);
    assert_eq!((waits.phase, waits.failures), (Phase::BackingOff, 1));
    host.restart();
    host.assign(&[(1, Want::Run)]);
    host.tick();
    assert_eq!(host.report(1).failures, 1);
    assert_eq!(host.report(1).next_try_at, waits.next_try_at);
}

#[test]
fn one_that_replaces_a_failing_one_is_tried_at_once_and_its_delays_go_on() {
    let mut host = Host::new();
    host.crashing.insert(ReplicaId(1));
    host.tried = Tried {
        failures: 4,
        reset: 0,
    };
    host.assign(&[(1, Want::Run)]);
    host.live(400);
    assert_eq!(host.runs(1), [1]);
    let report = host.report(1);
    assert_eq!(report.failures, 5);
    // One second doubled four times, less a tenth at most.
    let delay = report.next_try_at.unwrap().since_ms(host.now);
    assert!((14_000..=16_000).contains(&delay), "{delay}");
}

#[test]
fn who_ended_a_run_is_told() {
    let mut host = Host::new();
    host.assign(&[(1, Want::Run), (2, Want::Run), (3, Want::Run)]);
    host.live(3_000);
    assert_eq!(host.report(1).last_end, None);
    host.crash(1);
    host.sick.insert(ReplicaId(2));
    host.containers
        .retain(|_, seen| seen.replica != Some(ReplicaId(3)));
    host.live(100);
    let cause = |host: &Host, id| host.report(id).last_end.map(|end| (end.run, end.cause));
    assert_eq!(cause(&host, 1), Some((1, EndCause::Exited)));
    assert_eq!(cause(&host, 3), Some((1, EndCause::Removed)));
    let message = host.report(1).message;
    assert_eq!(message, "run 1 exited by itself, exit code 1");
    host.live(20_000);
    assert_eq!(
        cause(&host, 2).map(|(_, cause)| cause),
        Some(EndCause::Unhealthy)
    );
    let text = host.report(2).last_end.unwrap().to_string();
    assert!(
        text.contains("was ended for its failing health check"),
        "{text}"
    );
    // Well for a while, it is forgotten with the failures.
    host.live(host.settings.healthy_reset_ms + 30_000);
    assert_eq!((cause(&host, 1), host.report(1).failures), (None, 0));
    host.assign(&[(1, Want::Stop)]);
    host.live(500);
    assert_eq!(cause(&host, 1), Some((2, EndCause::Stopped)));
}
