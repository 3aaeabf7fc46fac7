//! Who may see and change what: principals and their scopes, and which refusals are written down.

pub mod refusals;
pub mod scope;

use paasta_common::id::{InstanceId, ServiceName};

use scope::Scopes;

/// What a caller may see and change, as far as its role lets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// Everything.
    Everything,
    /// What one of these scopes covers.
    Within(Scopes),
}

impl Sight {
    /// Whether the instance is covered.
    pub fn covers_instance(&self, id: &InstanceId) -> bool {
        match self {
            Self::Everything => true,
            Self::Within(scopes) => scopes.covers_instance(id),
        }
    }

    /// Whether all instances of the service are covered, also those to come.
    pub fn covers_service(&self, name: &ServiceName) -> bool {
        match self {
            Self::Everything => true,
            Self::Within(scopes) => scopes.covers_service(name),
        }
    }

    /// Whether an instance of the service can be covered.
    pub fn touches_service(&self, name: &ServiceName) -> bool {
        match self {
            Self::Everything => true,
            Self::Within(scopes) => scopes.touches_service(name),
        }
    }
}
