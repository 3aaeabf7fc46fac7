//! `paasta bounce status|resume|rollback|force`, against a coordinator that notes what it is asked.

use paasta_proto::v1::{
    BounceMethod, BounceState, BounceStatus, BounceStatusResponse, InstanceBounce, Waiting,
    WaitingKind,
};
use paasta_proto::words::value;

use crate::{
    bouncer::Bouncer,
    paasta::{Ran, paasta_with},
};

fn paasta(bouncer: &Bouncer, args: &[&str]) -> Ran {
    let env = [
        ("PAASTA_COORDINATORS", bouncer.address.as_str()),
        ("USER", "ann"),
        ("SUDO_USER", ""),
    ];
    paasta_with(args, &env, "")
}

fn bouncing(instance: &str, state: &str) -> InstanceBounce {
    InstanceBounce {
        instance: instance.to_owned(),
        desired_app: format!("{instance}.git22222222.config22222222"),
        bounce: Some(BounceStatus {
            method: BounceMethod::Crossover.into(),
            state: value::<BounceState>(state).expect("a word"),
            ..BounceStatus::default()
        }),
        ..InstanceBounce::default()
    }
}

#[test]
fn status_is_2_when_somebody_is_needed() {
    let mut pinned = bouncing("c.main", "going");
    pinned.waiting.push(Waiting {
        kind: WaitingKind::Pinned.into(),
        ..Waiting::default()
    });
    let instances = vec![
        bouncing("a.main", "going"),
        bouncing("b.main", "held"),
        pinned,
    ];
    let bouncer = Bouncer::start(BounceStatusResponse {
        instances,
        now_ms: 1_000,
    });
    let all = paasta(&bouncer, &["bounce", "status"]).exits(2);
    for named in ["a.main", "b.main", "crossover, held"] {
        assert!(all.stdout.contains(named), "{all:?}");
    }
    paasta(&bouncer, &["bounce", "status", "a.main"]).exits(0);
    paasta(&bouncer, &["bounce", "status", "b.main"]).exits(2);
    paasta(&bouncer, &["bounce", "status", "c.main"]).exits(2);
    paasta(&bouncer, &["bounce", "status", "d.main"]).exits(1);
    let json = paasta(&bouncer, &["--json", "bounce", "status"])
        .exits(2)
        .json();
    assert_eq!(json["instances"][1]["bounce"]["state"], "held");
    let quiet = Bouncer::start(BounceStatusResponse::default());
    let ran = paasta(&quiet, &["bounce", "status"]).exits(0);
    assert!(ran.stdout.contains("No bounce is under way"), "{ran:?}");
}

#[test]
fn each_instance_is_a_request_with_its_author_and_its_reason() {
    let bouncer = Bouncer::start(BounceStatusResponse::default());
    let back = "hello.main.git11111111.config11111111";
    let resume = ["bounce", "resume", "nobody.main", "a.main", "b.main"];
    let ran = paasta(&bouncer, &resume).exits(1);
    assert!(ran.stderr.contains("nobody.main"), "{ran:?}");
    assert_eq!(ran.stdout.lines().count(), 2, "{ran:?}");
    let rollback = [
        "bounce", "rollback", "a.main", "--to", back, "--reason", "slow",
    ];
    paasta(&bouncer, &rollback).exits(0);
    paasta(&bouncer, &["bounce", "rollback", "refused.main"]).exits(1);
    let json = paasta(&bouncer, &["--json", "bounce", "force", "a.main"])
        .exits(0)
        .json();
    assert_eq!(
        (&json[0]["instance"], &json[0]["outcome"]),
        (&"a.main".into(), &"done".into())
    );
    let asked = bouncer.asked();
    let what: Vec<&str> = asked.iter().map(|(what, _)| what.as_str()).collect();
    let named = format!("roll back a.main to {back:?}: slow");
    assert_eq!(
        what,
        [
            "resume a.main: by hand",
            "resume b.main: by hand",
            &named,
            "roll back refused.main to \"\": by hand",
            "force a.main: by hand",
        ]
    );
    assert!(asked.iter().all(|(_, asker)| asker.by.starts_with("ann@")));
    assert_ne!(asked[0].1.request_id, asked[1].1.request_id);
    let wrong = paasta(
        &bouncer,
        &["bounce", "rollback", "a.main", "--to", "nonsense"],
    );
    assert!(wrong.exits(1).stderr.contains("nonsense"));
}
