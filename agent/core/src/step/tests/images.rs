//! Fetching: how often a registry is asked, and when no more.

use paasta_common::{
    assignment::Want,
    report::{ImageProblem, Phase},
};

use super::{Host, IMAGE};
use crate::actions::Action;

fn pulls(host: &Host) -> usize {
    let pulls = host.log.iter();
    pulls
        .filter(|action| matches!(action, Action::Pull { .. }))
        .count()
}

#[test]
fn a_missing_image_is_asked_for_at_one_pace_however_many_wait_for_it() {
    let mut host = Host::new();
    host.registry_is_up = false;
    let all: Vec<(u64, Want)> = (1..=5).map(|id| (id, Want::Run)).collect();
    host.assign(&all);
    host.live(60_000);
    // At 0, 2, 6, 14 and 30 s, less some chance.
    assert!((4..=6).contains(&pulls(&host)), "{}", pulls(&host));
    for (id, _) in &all {
        let report = host.report(*id);
        assert_eq!(report.phase, Phase::BackingOff);
        assert_eq!(report.image.problem, Some(ImageProblem::Missing));
        assert!(
            report.message.starts_with("image missing: "),
            "{}",
            report.message
        );
        assert_eq!(report.next_try_at, host.report(1).next_try_at);
    }
    // One that comes in the pause waits with the others.
    let before = pulls(&host);
    let more: Vec<(u64, Want)> = (1..=6).map(|id| (id, Want::Run)).collect();
    host.assign(&more);
    host.tick();
    host.tick();
    assert_eq!(pulls(&host), before);
    assert_eq!(host.report(6).image.problem, Some(ImageProblem::Missing));
    host.registry_is_up = true;
    host.live(120_000);
    assert_eq!(pulls(&host), before + 1);
    for (id, _) in more {
        let report = host.report(id);
        assert_eq!(report.phase, Phase::Running);
        assert_eq!(report.image.digest.as_deref(), Some("sha256:0"));
        assert_eq!(report.image.problem, None);
    }
    host.restart();
    assert_eq!(host.report(1).image.digest.as_deref(), Some("sha256:0"));
}

#[test]
fn a_fetch_that_nobody_waits_for_is_called_off_and_begun_again_for_the_next() {
    let mut host = Host::new();
    host.pulls_are_slow = true;
    host.assign(&[(1, Want::Run), (2, Want::Run)]);
    host.tick();
    host.assign(&[(2, Want::Run)]);
    host.live(1_000);
    assert!(host.pulling.contains(IMAGE), "one replica still waits");
    host.assign(&[]);
    host.live(1_000);
    assert!(host.pulling.is_empty());
    assert!(host.state.images.is_empty());
    host.assign(&[(3, Want::Run)]);
    host.live(1_000);
    assert!(host.pulling.contains(IMAGE));
    assert_eq!(pulls(&host), 2);
}

#[test]
fn failures_of_images_that_nothing_needs_are_forgotten() {
    let mut host = Host::new();
    host.registry_is_up = false;
    host.assign(&[(1, Want::Run)]);
    host.live(5_000);
    assert_eq!(host.state.images.len(), 1);
    host.assign(&[]);
    host.live(1_000);
    assert!(host.state.images.is_empty());
}
