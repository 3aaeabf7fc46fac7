//! What is checked before the members are changed, and what the list says.

use std::collections::BTreeMap;

use super::*;
use crate::raft::{Peer, Role};

fn status() -> RaftStatus {
    let at = |id: u64| (id, format!("h{id}:7000"));
    RaftStatus {
        cluster_id: Some("c".to_owned()),
        epoch: 1,
        role: Role::Leader,
        term: 4,
        leader: Some(Peer {
            id: 1,
            address: "h1:7000".to_owned(),
        }),
        last_log: Some(100),
        applied: Some(100),
        snapshot: Some(50),
        voters: BTreeMap::from([at(1), at(2), at(3)]),
        learners: BTreeMap::from([at(4)]),
        since_quorum_ack: Some(Duration::ZERO),
        answered: BTreeMap::from([(2, Duration::from_millis(70)), (3, Duration::from_secs(60))]),
        matched: BTreeMap::from([(2, Some(98)), (3, Some(40)), (4, None)]),
        ..RaftStatus::blank()
    }
}

#[test]
fn the_list_says_what_each_member_is_and_lacks() {
    let members = members(&status());
    let told: Vec<_> = members
        .iter()
        .map(|m| (m.id, m.role(), m.lag, m.last_answer_ms, m.snapshot_index))
        .collect();
    assert_eq!(
        told,
        [
            (1, MemberRole::Leader, Some(0), Some(0), Some(50)),
            (2, MemberRole::Voter, Some(2), Some(70), None),
            (3, MemberRole::Voter, Some(60), Some(60_000), None),
            (4, MemberRole::Learner, None, None, None),
        ]
    );
}

#[test]
fn a_follower_does_not_claim_what_only_the_leader_knows() {
    let mut status = status();
    (status.node_id, status.role) = (2, Role::Follower);
    status.answered.clear();
    status.matched.clear();
    let members = members(&status);
    assert!(members.iter().all(|member| member.last_answer_ms.is_none()));
    assert_eq!(members[0].role(), MemberRole::Leader);
    assert_eq!(members[1].matched_index, Some(100));
}

#[test]
fn the_dead_may_be_removed_and_the_living_only_if_a_majority_stays() {
    let status = status();
    for fine in [3, 4, 9] {
        assert!(check_majority_after(&status, fine).is_ok(), "{fine}");
    }
    let refused = check_majority_after(&status, 2).expect_err("1 alone is no majority of 1 and 3");
    assert!(refused.to_string().contains("dead first"), "{refused}");
}

#[test]
fn leadership_goes_to_who_has_most_of_the_log() {
    assert_eq!(furthest(&status()), Some(2));
}

#[test]
fn addresses_and_waits_are_checked() {
    assert!(check_address("h:7000").is_ok());
    for refused in ["", "h", ":1", "h:", "h:0", "h:x"] {
        assert!(check_address(refused).is_err(), "{refused}");
    }
    assert_eq!(wait(0), WAIT);
    assert_eq!(wait(u64::MAX), WAIT_MAX);
}

#[test]
fn a_member_that_is_refused_says_why_and_holds_nothing() {
    let mut status = status();
    status.matched.remove(&3);
    status.refused.insert(3, "another store".to_owned());
    let refused = &members(&status)[2];
    assert_eq!((refused.id, refused.refused.as_str()), (3, "another store"));
    assert_eq!((refused.matched_index, refused.lag), (None, None));
}

#[test]
fn who_is_silent_has_failed_already() {
    // Two of three answer: a third that fails would be one too many.
    assert_eq!(tolerates(&status()), 0);
    let mut all = status();
    all.answered.insert(3, Duration::from_millis(50));
    assert_eq!(tolerates(&all), 1);
    all.voters.insert(5, "h5:7000".to_owned());
    all.voters.insert(6, "h6:7000".to_owned());
    assert_eq!(tolerates(&all), 0, "two of five are silent");
    // Another coordinator does not know who is silent.
    all.role = Role::Follower;
    assert_eq!(tolerates(&all), 2);
}
