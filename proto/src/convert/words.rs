//! The words of reports and orders as enums of the wire. A new one does not compile until it has a
//! value there; a value without a word here is kept as such in a report, and refused in an order.

use paasta_common::{
    app::Operator,
    assignment::Want,
    report::{EndCause, Health, ImageProblem, Phase},
    unrecognized::UnrecognizedWord,
};

use super::WireError;
use crate::{
    v1,
    words::{Words, kept, known, refusal, unrecognized},
};

/// A value for the wire, or a word that a newer program wrote.
type Known<T> = Result<T, UnrecognizedWord>;

/// Where a replica stands, for the wire.
///
/// # Errors
/// The word of a phase that this version does not know.
pub fn phase_to_wire(phase: Phase) -> Known<v1::ReplicaPhase> {
    match phase {
        Phase::Accepted => Ok(v1::ReplicaPhase::Accepted),
        Phase::Pulling => Ok(v1::ReplicaPhase::Pulling),
        Phase::Starting => Ok(v1::ReplicaPhase::Starting),
        Phase::Running => Ok(v1::ReplicaPhase::Running),
        Phase::BackingOff => Ok(v1::ReplicaPhase::BackingOff),
        Phase::Draining => Ok(v1::ReplicaPhase::Draining),
        Phase::Stopping => Ok(v1::ReplicaPhase::Stopping),
        Phase::Gone => Ok(v1::ReplicaPhase::Gone),
        Phase::Unrecognized(word) => Err(word),
    }
}

pub(super) fn phase_from_wire(value: i32, text: &str) -> Phase {
    match v1::ReplicaPhase::try_from(value) {
        Ok(v1::ReplicaPhase::Accepted) => Phase::Accepted,
        Ok(v1::ReplicaPhase::Pulling) => Phase::Pulling,
        Ok(v1::ReplicaPhase::Starting) => Phase::Starting,
        Ok(v1::ReplicaPhase::Running) => Phase::Running,
        Ok(v1::ReplicaPhase::BackingOff) => Phase::BackingOff,
        Ok(v1::ReplicaPhase::Draining) => Phase::Draining,
        Ok(v1::ReplicaPhase::Stopping) => Phase::Stopping,
        Ok(v1::ReplicaPhase::Gone) => Phase::Gone,
        // The coordinators' own words, or one that only a newer agent knows.
        Ok(
            v1::ReplicaPhase::Unspecified
            | v1::ReplicaPhase::Placed
            | v1::ReplicaPhase::Lost
            | v1::ReplicaPhase::Unrecognized,
        )
        | Err(_) => Phase::Unrecognized(kept(value, text)),
    }
}

/// What the health check of a replica says, for the wire.
///
/// # Errors
/// The word of one that this version does not know.
pub fn health_to_wire(health: Health) -> Known<v1::ReplicaHealth> {
    match health {
        Health::Unknown => Ok(v1::ReplicaHealth::Unknown),
        Health::Unchecked => Ok(v1::ReplicaHealth::Unchecked),
        Health::Healthy => Ok(v1::ReplicaHealth::Healthy),
        Health::Unhealthy => Ok(v1::ReplicaHealth::Unhealthy),
        Health::Unrecognized(word) => Err(word),
    }
}

pub(super) fn health_from_wire(value: i32, text: &str) -> Health {
    match v1::ReplicaHealth::try_from(value) {
        Ok(v1::ReplicaHealth::Unknown) => Health::Unknown,
        Ok(v1::ReplicaHealth::Unchecked) => Health::Unchecked,
        Ok(v1::ReplicaHealth::Healthy) => Health::Healthy,
        Ok(v1::ReplicaHealth::Unhealthy) => Health::Unhealthy,
        Ok(v1::ReplicaHealth::Unspecified | v1::ReplicaHealth::Unrecognized) | Err(_) => {
            Health::Unrecognized(kept(value, text))
        }
    }
}

pub(super) fn cause_to_wire(cause: EndCause) -> Known<v1::EndCause> {
    match cause {
        EndCause::Exited => Ok(v1::EndCause::Exited),
        EndCause::Unhealthy => Ok(v1::EndCause::Unhealthy),
        EndCause::OverDisk { .. } => Ok(v1::EndCause::OverDisk),
        EndCause::Stopped => Ok(v1::EndCause::Stopped),
        EndCause::Removed => Ok(v1::EndCause::Removed),
        EndCause::NotStarted => Ok(v1::EndCause::NotStarted),
        EndCause::Unrecognized(word) => Err(word),
    }
}

pub(super) fn cause_from_wire(wire: &v1::RunEnd) -> EndCause {
    match v1::EndCause::try_from(wire.cause) {
        Ok(v1::EndCause::Exited) => EndCause::Exited,
        Ok(v1::EndCause::Unhealthy) => EndCause::Unhealthy,
        Ok(v1::EndCause::OverDisk) => EndCause::OverDisk {
            used_mb: wire.disk_used_mb,
            limit_mb: wire.disk_limit_mb,
        },
        Ok(v1::EndCause::Stopped) => EndCause::Stopped,
        Ok(v1::EndCause::Removed) => EndCause::Removed,
        Ok(v1::EndCause::NotStarted) => EndCause::NotStarted,
        Ok(v1::EndCause::Unspecified) | Err(_) => {
            EndCause::Unrecognized(kept(wire.cause, &wire.cause_word))
        }
    }
}

pub(super) fn image_problem_to_wire(problem: ImageProblem) -> Known<v1::ImageProblem> {
    match problem {
        ImageProblem::Missing => Ok(v1::ImageProblem::Missing),
        ImageProblem::Denied => Ok(v1::ImageProblem::Denied),
        ImageProblem::Unreachable => Ok(v1::ImageProblem::RegistryUnreachable),
        ImageProblem::Failed => Ok(v1::ImageProblem::Failed),
        ImageProblem::Unrecognized(word) => Err(word),
    }
}

/// None where there is no problem.
pub(super) fn image_problem_from_wire(value: i32, text: &str) -> Option<ImageProblem> {
    match v1::ImageProblem::try_from(value) {
        Ok(v1::ImageProblem::Missing) => Some(ImageProblem::Missing),
        Ok(v1::ImageProblem::Denied) => Some(ImageProblem::Denied),
        Ok(v1::ImageProblem::RegistryUnreachable) => Some(ImageProblem::Unreachable),
        Ok(v1::ImageProblem::Failed) => Some(ImageProblem::Failed),
        Ok(v1::ImageProblem::Unspecified) if text.is_empty() => None,
        Ok(v1::ImageProblem::Unspecified) | Err(_) => {
            Some(ImageProblem::Unrecognized(kept(value, text)))
        }
    }
}

/// A value and the text beside it: of a word that this version does not know, what came.
pub(super) fn passed_on<T: Words>(known: Known<T>) -> (i32, String) {
    match known {
        Ok(value) => (value.into(), String::new()),
        Err(word) => unrecognized::<T>(word),
    }
}

/// What should become of a replica, as a word.
///
/// # Errors
/// [`WireError`] when it is none of run, drain and stop.
pub fn want_from_wire(value: i32, text: &str) -> Result<Want, WireError> {
    match ordered::<v1::Want>("want", value, text)? {
        v1::Want::Run => Ok(Want::Run),
        v1::Want::Drain => Ok(Want::Drain),
        v1::Want::Stop => Ok(Want::Stop),
        v1::Want::Unspecified => Err(WireError::not_given::<v1::Want>("want")),
    }
}

/// What should become of a replica, for the wire.
pub fn want_to_wire(want: Want) -> v1::Want {
    match want {
        Want::Run => v1::Want::Run,
        Want::Drain => v1::Want::Drain,
        Want::Stop => v1::Want::Stop,
    }
}

pub(super) fn operator_from_wire(wire: &v1::Constraint) -> Result<Operator, WireError> {
    let field = "operator";
    match ordered::<v1::ConstraintOperator>(field, wire.operator, &wire.operator_word)? {
        v1::ConstraintOperator::Unique => Ok(Operator::Unique),
        v1::ConstraintOperator::Cluster => Ok(Operator::Cluster),
        v1::ConstraintOperator::GroupBy => Ok(Operator::GroupBy),
        v1::ConstraintOperator::Like => Ok(Operator::Like),
        v1::ConstraintOperator::Unlike => Ok(Operator::Unlike),
        v1::ConstraintOperator::MaxPer => Ok(Operator::MaxPer),
        v1::ConstraintOperator::Unspecified => {
            Err(WireError::not_given::<v1::ConstraintOperator>(field))
        }
    }
}

pub(super) fn operator_to_wire(operator: Operator) -> v1::ConstraintOperator {
    match operator {
        Operator::Unique => v1::ConstraintOperator::Unique,
        Operator::Cluster => v1::ConstraintOperator::Cluster,
        Operator::GroupBy => v1::ConstraintOperator::GroupBy,
        Operator::Like => v1::ConstraintOperator::Like,
        Operator::Unlike => v1::ConstraintOperator::Unlike,
        Operator::MaxPer => v1::ConstraintOperator::MaxPer,
    }
}

/// A value of an order, which must be known.
pub(super) fn ordered<T: Words + TryFrom<i32>>(
    field: &str,
    value: i32,
    text: &str,
) -> Result<T, WireError> {
    let unknown = || match value {
        0 => WireError::new(field, refusal::<T>(text)),
        number => WireError::new(field, refusal::<T>(&number.to_string())),
    };
    if known::<T>(value).is_none() {
        return Err(unknown());
    }
    T::try_from(value).map_err(|_| unknown())
}

impl WireError {
    /// A field of an order that is not given.
    pub(super) fn not_given<T: Words>(field: &str) -> Self {
        Self::new(field, refusal::<T>(""))
    }
}
