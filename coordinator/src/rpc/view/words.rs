//! The planner's words on the wire. A new one does not compile until it has a value there.

use paasta_common::{
    assignment::Want,
    problem::Severity,
    report::{Health, Phase},
    spec::OnDeadline,
};
use paasta_coordinator_core::plan::{class::Class, maintenance::Standing};
use paasta_proto::v1;

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
    match phase {
        Phase::Accepted => v1::ReplicaPhase::Accepted,
        Phase::Pulling => v1::ReplicaPhase::Pulling,
        Phase::Starting => v1::ReplicaPhase::Starting,
        Phase::Running => v1::ReplicaPhase::Running,
        Phase::BackingOff => v1::ReplicaPhase::BackingOff,
        Phase::Draining => v1::ReplicaPhase::Draining,
        Phase::Stopping => v1::ReplicaPhase::Stopping,
        Phase::Gone => v1::ReplicaPhase::Gone,
        Phase::Unrecognized(_) => v1::ReplicaPhase::Unrecognized,
    }
}

pub(super) fn health(health: Health) -> v1::ReplicaHealth {
    match health {
        Health::Unknown => v1::ReplicaHealth::Unknown,
        Health::Unchecked => v1::ReplicaHealth::Unchecked,
        Health::Healthy => v1::ReplicaHealth::Healthy,
        Health::Unhealthy => v1::ReplicaHealth::Unhealthy,
        Health::Unrecognized(_) => v1::ReplicaHealth::Unrecognized,
    }
}

pub(super) fn want(want: Want) -> v1::Want {
    match want {
        Want::Run => v1::Want::Run,
        Want::Drain => v1::Want::Drain,
        Want::Stop => v1::Want::Stop,
    }
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
            Phase::Accepted,
            Phase::Pulling,
            Phase::Starting,
            Phase::Running,
            Phase::BackingOff,
            Phase::Draining,
            Phase::Stopping,
            Phase::Gone,
        ] {
            assert_eq!(phase(word).word(), word.as_str());
        }
        for word in [
            Health::Unknown,
            Health::Unchecked,
            Health::Healthy,
            Health::Unhealthy,
        ] {
            assert_eq!(health(word).word(), word.as_str());
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
