//! The life of a bounce record, step by step.

use paasta_common::spec::InstanceSpec;

use super::*;
use crate::{
    build::{Cluster, app_id, main_instance, spec},
    state::command::Command,
};

fn wish(version: u32) -> InstanceSpec {
    let mut spec = spec(&main_instance(), version, 2, BounceMethod::Crossover);
    spec.bounce.progress_deadline_ms = 10_000;
    spec.bounce.start_deadline_ms = 4_000;
    spec
}

fn step(cluster: &mut Cluster, version: u32, step: BounceStep) -> Outcome {
    let instance = main_instance();
    let to = app_id(&instance, version);
    cluster.apply(Command::Bounce(Bounce {
        instance,
        to,
        step,
        counts: BounceCounts::default(),
    }))
}

fn start() -> BounceStep {
    BounceStep::Start {
        from: Vec::new(),
        method: BounceMethod::Crossover,
        happy: 0,
    }
}

fn record(cluster: &Cluster) -> Option<&BounceRecord> {
    cluster
        .state
        .instance(&main_instance())
        .unwrap()
        .bounce
        .as_ref()
}

#[test]
fn deadlines_follow_progress_and_outlive_their_notice() {
    let mut cluster = Cluster::new(0);
    cluster.set(&main_instance(), wish(1));
    let begun = cluster.now;
    assert!(step(&mut cluster, 1, start()).is_ok());
    // Until the first replica is placed, the shorter deadline counts.
    assert_eq!(
        record(&cluster).unwrap().deadline(),
        Some(begun.after_ms(4_000))
    );
    cluster.now = begun.after_ms(4_000);
    assert!(
        step(
            &mut cluster,
            1,
            BounceStep::Expired {
                then: OnDeadline::GoOn
            }
        )
        .is_ok()
    );
    assert_eq!(record(&cluster).unwrap().deadline(), None);
    cluster.now = begun.after_ms(5_000);
    assert!(step(&mut cluster, 1, BounceStep::Progress { happy: 1 }).is_ok());
    let bounce = record(&cluster).unwrap();
    assert_eq!((bounce.phase, bounce.happy_most), (BouncePhase::Running, 1));
    assert_eq!(bounce.progress_deadline, begun.after_ms(15_000));
    // Longer patience takes effect at once.
    let mut patient = wish(1);
    patient.bounce.progress_deadline_ms = 60_000;
    patient.bounce.start_deadline_ms = 0;
    cluster.set(&main_instance(), patient);
    assert_eq!(
        record(&cluster).unwrap().deadline(),
        Some(begun.after_ms(65_000))
    );
}

#[test]
fn steps_of_a_bounce_that_is_not_under_way_are_refused() {
    let mut cluster = Cluster::new(0);
    cluster.set(&main_instance(), wish(1));
    let instance = main_instance();
    let none = Outcome::Refused(Reason::NoSuchBounce {
        instance: instance.clone(),
    });
    assert_eq!(
        step(&mut cluster, 1, BounceStep::Finish { wholly_happy: true }),
        none
    );
    let not_desired = Outcome::Refused(Reason::AppNotDesired {
        app: app_id(&instance, 2),
    });
    assert_eq!(step(&mut cluster, 2, start()), not_desired);
    assert!(step(&mut cluster, 1, start()).is_ok());
    let nothing = Outcome::Refused(Reason::NothingToRollBackTo { instance });
    assert_eq!(
        step(
            &mut cluster,
            1,
            BounceStep::Expired {
                then: OnDeadline::Rollback
            }
        ),
        nothing
    );
    cluster.set(&main_instance(), wish(2));
    assert_eq!(
        record(&cluster),
        None,
        "a new version ends the bounce to the old one"
    );
    assert_eq!(
        step(&mut cluster, 1, BounceStep::Progress { happy: 1 }),
        none
    );
}

#[test]
fn the_last_good_app_is_kept_and_rolled_back_to() {
    let mut cluster = Cluster::new(0);
    cluster.set(&main_instance(), wish(1));
    step(&mut cluster, 1, start());
    step(&mut cluster, 1, BounceStep::Finish { wholly_happy: true });
    cluster.set(&main_instance(), wish(2));
    step(&mut cluster, 2, start());
    assert!(
        step(
            &mut cluster,
            2,
            BounceStep::Expired {
                then: OnDeadline::Rollback
            }
        )
        .is_ok()
    );
    let instance = cluster.state.instance(&main_instance()).unwrap();
    assert_eq!(instance.desired_app(), &app_id(&main_instance(), 1));
    assert_eq!(
        (instance.bounce.as_ref(), instance.spec.app_id.clone()),
        (None, app_id(&main_instance(), 2))
    );
    // The third version is good, so the first is needed no more.
    cluster.set(&main_instance(), wish(3));
    step(&mut cluster, 3, start());
    step(&mut cluster, 3, BounceStep::Finish { wholly_happy: true });
    let apps: Vec<AppId> = cluster.state.apps().map(|(app, _)| app.clone()).collect();
    assert_eq!(apps, [app_id(&main_instance(), 3)]);
}
