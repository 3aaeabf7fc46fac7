//! What is wrong with the configuration, by what it is wrong for. Shown in status; the last good
//! desired state stays.

use std::fmt;

use paasta_common::id::{IdError, InstanceId, ServiceName};
use serde::{Deserialize, Serialize};

/// The most problems kept for one scope; the first ones are the ones to mend first.
pub const PROBLEMS_MAX: usize = 50;

/// What a set of problems is about: a whole service or one instance. Written `service` or
/// `service.instance`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ProblemScope {
    /// Every instance of the service.
    Service(ServiceName),
    /// One instance.
    Instance(InstanceId),
}

impl fmt::Display for ProblemScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => service.fmt(f),
            Self::Instance(instance) => instance.fmt(f),
        }
    }
}

impl TryFrom<String> for ProblemScope {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        match text.contains('.') {
            true => text.parse().map(Self::Instance),
            false => text.parse().map(Self::Service),
        }
    }
}

impl From<ProblemScope> for String {
    fn from(scope: ProblemScope) -> Self {
        scope.to_string()
    }
}
