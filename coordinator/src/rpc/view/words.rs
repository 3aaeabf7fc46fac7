//! The planner's words on the wire. A new one does not compile until it has a value there.

use paasta_common::{
    problem::Severity,
    report::{Health, Phase},
    spec::{BounceMethod, OnDeadline},
};
use paasta_coordinator_core::{
    plan::{class::Class, maintenance::Standing, replication::Verdict},
    state::{absence::Removal, overrides::OverrideKind},
};
use paasta_proto::{convert, v1};

use crate::raft::{Role, Speed};

pub(crate) fn class(class: Class) -> v1::ReplicaClass {
    match class {
        Class::Happy => v1::ReplicaClass::Happy,
        Class::AtRisk => v1::ReplicaClass::AtRisk,
        Class::Unknown => v1::ReplicaClass::Unknown,
        Class::Starting => v1::ReplicaClass::Starting,
        Class::Unhappy => v1::ReplicaClass::Unhappy,
        Class::Draining => v1::ReplicaClass::Draining,
        Class::Stopping => v1::ReplicaClass::Stopping,
        Class::Lost => v1::ReplicaClass::Lost,
    }
}

pub(super) fn phase(phase: Phase) -> v1::ReplicaPhase {
    convert::phase_to_wire(phase).unwrap_or(v1::ReplicaPhase::Unrecognized)
}

pub(super) fn health(health: Health) -> v1::ReplicaHealth {
    convert::health_to_wire(health).unwrap_or(v1::ReplicaHealth::Unrecognized)
}

pub(super) fn severity(severity: Severity) -> v1::Severity {
    match severity {
        Severity::Error => v1::Severity::Error,
        Severity::Warning => v1::Severity::Warning,
    }
}

pub(super) fn standing(standing: Standing) -> v1::HostState {
    match standing {
        Standing::Up => v1::HostState::Up,
        Standing::Draining => v1::HostState::Draining,
        Standing::Silent => v1::HostState::Silent,
        Standing::Lost => v1::HostState::Lost,
    }
}

pub(super) fn method(method: BounceMethod) -> v1::BounceMethod {
    match method {
        BounceMethod::Brutal => v1::BounceMethod::Brutal,
        BounceMethod::UpThenDown => v1::BounceMethod::Upthendown,
        BounceMethod::Crossover => v1::BounceMethod::Crossover,
        BounceMethod::DownThenUp => v1::BounceMethod::Downthenup,
        BounceMethod::Down => v1::BounceMethod::Down,
    }
}

pub(super) fn override_kind(kind: OverrideKind) -> v1::OverrideKind {
    match kind {
        OverrideKind::Stop => v1::OverrideKind::Stop,
        OverrideKind::Start => v1::OverrideKind::Start,
        OverrideKind::Restart => v1::OverrideKind::Restart,
        OverrideKind::Scale { .. } => v1::OverrideKind::Scale,
        OverrideKind::Pin { .. } => v1::OverrideKind::Pin,
    }
}

pub(super) fn speed(speed: Speed) -> v1::LinkSpeed {
    match speed {
        Speed::Fast => v1::LinkSpeed::Fast,
        Speed::Slow => v1::LinkSpeed::Slow,
        Speed::TooSlow => v1::LinkSpeed::TooSlow,
    }
}

pub(super) fn verdict(verdict: Verdict) -> v1::ReplicationLevel {
    match verdict {
        Verdict::Ok => v1::ReplicationLevel::Ok,
        Verdict::Critical => v1::ReplicationLevel::Critical,
        Verdict::Unknown => v1::ReplicationLevel::Unknown,
    }
}

pub(crate) fn role(role: Role) -> v1::NodeRole {
    match role {
        Role::Leader => v1::NodeRole::Leader,
        Role::NoQuorum => v1::NodeRole::NoQuorum,
        Role::Follower => v1::NodeRole::Follower,
        Role::Candidate => v1::NodeRole::Candidate,
        Role::Learner => v1::NodeRole::Learner,
        Role::Stopped => v1::NodeRole::Stopped,
    }
}

pub(crate) fn removal(removal: Removal) -> v1::RemovalReason {
    match removal {
        Removal::Undeclared => v1::RemovalReason::Undeclared,
        Removal::Undeployed => v1::RemovalReason::Undeployed,
    }
}

pub(super) fn on_deadline(action: OnDeadline) -> v1::DeadlineAction {
    match action {
        OnDeadline::GoOn => v1::DeadlineAction::GoOn,
        OnDeadline::Hold => v1::DeadlineAction::Hold,
        OnDeadline::Rollback => v1::DeadlineAction::Rollback,
    }
}

#[cfg(test)]
mod tests {
    use paasta_proto::words::Words as _;

    use super::*;

    #[test]
    fn reasons_and_events_use_the_words_of_the_wire() {
        for word in [
            Class::Happy,
            Class::AtRisk,
            Class::Unknown,
            Class::Starting,
            Class::Unhappy,
            Class::Draining,
            Class::Stopping,
            Class::Lost,
        ] {
            assert_eq!(class(word).word(), word.as_str());
        }
        for word in BounceMethod::ALL {
            assert_eq!(method(word).word(), word.as_str());
        }
        let instances = 1;
        for word in [
            OverrideKind::Stop,
            OverrideKind::Start,
            OverrideKind::Restart,
            OverrideKind::Scale { instances },
            OverrideKind::Pin { instances },
        ] {
            assert_eq!(override_kind(word).word(), word.as_str());
        }
        for word in [Speed::Fast, Speed::Slow, Speed::TooSlow] {
            assert_eq!(speed(word).word(), word.as_str());
        }
        for word in [
            Role::Leader,
            Role::NoQuorum,
            Role::Follower,
            Role::Candidate,
            Role::Learner,
            Role::Stopped,
        ] {
            assert_eq!(role(word).word(), word.as_str());
        }
        for word in [Removal::Undeclared, Removal::Undeployed] {
            assert_eq!(removal(word).word(), word.as_str());
        }
        for word in [
            Standing::Up,
            Standing::Draining,
            Standing::Silent,
            Standing::Lost,
        ] {
            assert_eq!(standing(word).word(), word.as_str());
        }
    }
}
