//! `service.yaml`: what is true of a service as a whole. Its keys that an instance may have, too,
//! are defaults for every instance; [`super::reader`] lays them under.

use super::{
    marathon::INSTANCE,
    monitoring::MONITORING,
    node::{Map, Node},
    table::{Default::Said, Field, Kind, Record, Table},
};
use crate::{
    config::{REGISTRY, SystemConfig},
    id::ServiceName,
    problem::Problem,
    url::Url,
};

/// The fields of the file.
pub static SERVICE: Table = Table {
    beside: &[&INSTANCE, &MONITORING],
    ..Table::open(
        "a service as a whole, and defaults of its instances",
        FIELDS,
    )
};

const FIELDS: &[Field] = &[
    Field::new(
        "deployed_to",
        Kind::Any,
        "Hosts of before PaaSTA; does nothing here.",
    ),
    Field::new("description", Kind::Text, "What it is."),
    Field::new(
        "docker_registry",
        Kind::Pattern(&REGISTRY),
        "The registry of its images, HOST[:PORT] and perhaps a path, when it is not the \
         cluster's.",
    ),
    Field::new(
        "encryption_key",
        Kind::Text,
        "The secret provider's key; does nothing here.",
    ),
    Field::new("external_link", Kind::Text, "Where to read more."),
    Field::new("git_url", Kind::Text, "The repository of its source.")
        .or(Said("by deployments.git_url_template, else none")),
    Field::new(
        "monitoring",
        Kind::Layer(&MONITORING),
        "Under monitoring.yaml.",
    ),
    Field::new(
        "runs_on",
        Kind::Any,
        "Hosts of before PaaSTA; does nothing here.",
    ),
];

/// What paasta needs of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `git_url`: where its source is, as its author says.
    pub git_url: Option<Url>,
    /// What it is, in words.
    pub description: Option<String>,
    /// Where to read more.
    pub external_link: Option<String>,
    /// The registry of its images, when it is not the cluster's.
    pub docker_registry: Option<String>,
}

/// Takes the settings out of the file's tree.
pub fn decode(root: &Node, problems: &mut Vec<Problem>) -> Service {
    let empty = Map::default();
    let map = root.as_map().unwrap_or(&empty);
    let mut fields = Record::open(map, &SERVICE, "", &root.mark, problems);
    Service {
        git_url: fields.text("git_url").map(Url::new),
        description: fields.text("description"),
        external_link: fields.text("external_link"),
        docker_registry: fields.text("docker_registry"),
    }
}

impl Service {
    /// The repository of `service`: its own, else the one that the operator's template names. One
    /// that has neither has no repository.
    pub fn repository(&self, service: &ServiceName, system: &SystemConfig) -> Option<Url> {
        let template = system.deployments.git_url_template.as_deref();
        let named = template.map(|text| Url::new(text.replace("{service}", service.as_str())));
        self.git_url.clone().or(named)
    }
}
