//! Runs that use more disk than their limit are ended and come again.

use paasta_common::{
    assignment::Want,
    disk::DiskLimits,
    id::ReplicaId,
    report::{EndCause, Health, Phase, Trouble},
};

use super::*;

const MIB: u64 = 1 << 20;

/// A host with one healthy replica whose limit is 1024 MiB.
fn limited() -> Host {
    let mut host = Host::new();
    let mut app = app();
    app.resources.disk_mb = 1024;
    host.assign_with(&[(1, Want::Run)], app, settings());
    host.live(3_000);
    assert_eq!(host.report(1).health, Health::Healthy);
    host
}

/// The present run is found to use so many MiB.
fn measured(host: &mut Host, used_mb: u64) {
    let run = host.report(1).run;
    host.events.push(Event::DiskMeasured {
        replica: ReplicaId(1),
        run,
        used_bytes: used_mb * MIB,
    });
    host.tick();
}

#[test]
fn a_run_above_its_limit_twice_in_a_row_is_ended_with_the_amounts_and_comes_again() {
    let mut host = limited();
    host.remains.exit_code = Some(143);
    for used_mb in [1200, 1024, 1200] {
        measured(&mut host, used_mb);
        assert_eq!(host.report(1).phase, Phase::Running);
    }
    measured(&mut host, 1201);
    let report = host.report(1);
    assert_eq!((report.phase, report.failures), (Phase::BackingOff, 1));
    assert_eq!(
        report.message,
        "used 1201 MiB of disk, its limit is 1024 MiB"
    );
    host.tick();
    let report = host.report(1);
    let end = report.last_end.unwrap();
    let (used_mb, limit_mb) = (1201, 1024);
    assert_eq!(end.cause, EndCause::OverDisk { used_mb, limit_mb });
    assert_eq!(
        end.to_string(),
        "run 1 was ended: it used 1201 MiB of disk, its limit is 1024 MiB, exit code 143"
    );
    assert_eq!(report.message, end.to_string());
    assert_eq!(report.troubles.of(Trouble::OverDisk), 1);
    assert_eq!(report.troubles.of(Trouble::Exited), 0);
    assert!(report.next_try_at.is_some());
    host.live(5_000);
    let report = host.report(1);
    assert_eq!((report.phase, report.run), (Phase::Running, 2));
    // The next run begins with no measurement behind it.
    measured(&mut host, 1200);
    assert_eq!(host.report(1).run, 2);
    assert_eq!(host.report(1).phase, Phase::Running);
}

#[test]
fn measurements_of_an_earlier_run_and_of_what_leaves_end_nothing() {
    let mut host = limited();
    for _ in 0..3 {
        host.events.push(Event::DiskMeasured {
            replica: ReplicaId(1),
            run: 7,
            used_bytes: 1 << 60,
        });
        host.tick();
    }
    assert_eq!(host.report(1).phase, Phase::Running);
    let mut app = app();
    app.resources.disk_mb = 1024;
    host.assign_with(&[(1, Want::Drain)], app, settings());
    measured(&mut host, 1200);
    measured(&mut host, 1200);
    assert_eq!(host.report(1).phase, Phase::Draining);
}

#[test]
fn without_a_limit_or_with_limits_off_nothing_is_ended() {
    let mut off = Host::new();
    off.settings.disk_limits = DiskLimits::Off;
    let mut limited = app();
    limited.resources.disk_mb = 1024;
    off.assign_with(&[(1, Want::Run)], limited, settings());
    let mut without = Host::new();
    without.assign(&[(1, Want::Run)]);
    for host in [&mut off, &mut without] {
        host.live(3_000);
        for _ in 0..3 {
            measured(host, 1_000_000);
        }
        assert_eq!(
            (host.report(1).phase, host.report(1).run),
            (Phase::Running, 1)
        );
    }
}

#[test]
fn a_runtime_that_does_not_work_is_no_reason_to_end_a_run() {
    let mut host = limited();
    host.degraded = true;
    measured(&mut host, 1200);
    measured(&mut host, 1200);
    assert_eq!(host.report(1).phase, Phase::Running);
    host.degraded = false;
    host.tick();
    assert_eq!(host.report(1).phase, Phase::BackingOff);
}
