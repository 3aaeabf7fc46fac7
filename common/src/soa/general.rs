//! What a service says for all of its instances: the defaults under each of them.

use std::path::Path;

use super::{
    files,
    marathon::INSTANCE,
    monitoring::{self, Monitoring},
    node::{Map, Mark, Node, Value},
    service::{self, Service},
};
use crate::{
    id::{InstanceName, ServiceName},
    problem::{Problem, Severity},
};

/// The general configuration of a service.
#[derive(Debug)]
pub(super) struct General {
    /// What service.yaml says of the service itself.
    pub(super) service: Service,
    /// The fields of service.yaml that instances have, too.
    pub(super) defaults: Node,
    /// Alerting settings, the strongest last.
    layers: Vec<Node>,
    /// What is wrong, short of keeping the service from being read.
    pub(super) problems: Vec<Problem>,
}

impl General {
    /// Reads service.yaml and monitoring.yaml.
    ///
    /// # Errors
    /// The problem that keeps one of them from being read. Going on without it would change what
    /// instances run: their last good state is better.
    pub(super) fn read(root: &Path, name: &ServiceName) -> Result<Self, Problem> {
        let file = format!("{name}/service.yaml");
        let service = files::parse(root, &file)?;
        let monitoring = files::parse(root, &format!("{name}/monitoring.yaml"))?;
        let mut problems = Vec::new();
        let of_service = service.as_map().and_then(|map| map.get("monitoring"));
        let mut defaults = Map::default();
        if let Some(map) = service.as_map() {
            let shared = map.entries.iter();
            for (key, entry) in shared.filter(|(key, _)| INSTANCE.get(key).is_some()) {
                defaults.entries.insert(key.clone(), entry.clone());
            }
        }
        // Taken up in the layers, where monitoring.yaml is stronger.
        defaults.entries.remove("monitoring");
        let layers = [Some(&service), of_service, Some(&monitoring)];
        let described = service::decode(&service, &mut problems);
        // A registry of the wrong type would silently become the cluster's: a different image.
        let fatal = |problem: &&Problem| problem.severity == Severity::Error;
        if let Some(problem) = problems.iter().find(fatal) {
            return Err(problem.clone());
        }
        service.faults("", &mut problems);
        monitoring.faults("", &mut problems);
        Ok(Self {
            layers: layers.into_iter().flatten().cloned().collect(),
            defaults: Node {
                mark: Mark::file(&file),
                value: Value::Map(defaults),
            },
            service: described,
            problems,
        })
    }

    /// The alerting settings of the service as a whole.
    pub(super) fn monitoring(&self) -> Monitoring {
        let layers: Vec<&Node> = self.layers.iter().collect();
        // Their faults are told with every instance.
        monitoring::merged(&layers, "monitoring", &mut Vec::new())
    }

    /// The alerting settings of an instance.
    pub(super) fn monitoring_of(
        &self,
        own: &Node,
        name: &InstanceName,
        problems: &mut Vec<Problem>,
    ) -> Monitoring {
        let over = own.as_map().and_then(|map| map.get("monitoring"));
        let layers: Vec<&Node> = self.layers.iter().chain(over).collect();
        monitoring::merged(&layers, &format!("{name}.monitoring"), problems)
    }
}
