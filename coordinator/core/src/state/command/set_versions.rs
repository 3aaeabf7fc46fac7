//! Which versions of services are deployed, as git says now.

use std::sync::Arc;

use paasta_common::id::ServiceName;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{ClusterState, outcome::Outcome, versions::Versions};

/// Which versions of a service are deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetVersions {
    /// The service.
    pub service: ServiceName,
    /// Its versions; none when the service is gone.
    pub versions: Option<Box<Versions>>,
}

impl SetVersions {
    /// What follows for the instances is another command: the history tells of that one.
    pub(super) fn apply(&self, state: &mut ClusterState, _: &Context<'_>) -> Outcome {
        let known = state.tables.versions.get(&self.service);
        match &self.versions {
            Some(versions) if known.is_some_and(|known| **known == **versions) => {
                Outcome::Unchanged
            }
            Some(versions) => {
                let versions = Arc::new((**versions).clone());
                state.tables.versions.insert(self.service.clone(), versions);
                Outcome::Applied
            }
            None => match state.tables.versions.remove(&self.service) {
                Some(_) => Outcome::Applied,
                None => Outcome::Unchanged,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        build::Cluster,
        state::{actor::Actor, command::Command, versions::Source},
    };

    #[test]
    fn versions_come_change_and_go() {
        let mut cluster = Cluster::new(0);
        let service: ServiceName = "web".parse().unwrap();
        let set = |tag: &str| {
            let source = Source {
                tag: tag.to_owned(),
                by: Actor::default(),
            };
            Some(Box::new(Versions {
                sources: [("all".to_owned(), source)].into(),
                ..Versions::default()
            }))
        };
        let mut apply = |versions| {
            let service = service.clone();
            cluster.apply(Command::SetVersions(SetVersions { service, versions }))
        };
        assert_eq!(apply(set("a")), Outcome::Applied);
        assert_eq!(apply(set("a")), Outcome::Unchanged);
        assert_eq!(apply(set("b")), Outcome::Applied);
        assert_eq!(apply(None), Outcome::Applied);
        assert_eq!(apply(None), Outcome::Unchanged);
        assert_eq!(cluster.state.versions(&service), None);
    }
}
