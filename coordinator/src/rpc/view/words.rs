//! The planner's words on the wire. A new one does not compile until it has a value there.

use paasta_common::{
    problem::Severity,
    report::{Health, Phase},
    spec::OnDeadline,
};
use paasta_coordinator_core::plan::{class::Class, maintenance::Standing};
use paasta_proto::{convert, v1};

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
