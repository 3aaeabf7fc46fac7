//! `service.yaml`: what is true of a service as a whole. Its keys that an instance may have, too,
//! are defaults for every instance; [`super::reader`] lays them under.

use super::{
    decode::Fields,
    node::{Map, Node},
};
use crate::{id::ServiceName, problem::Problem};

/// What paasta needs of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Where its source is.
    pub git_url: String,
    /// What it is, in words.
    pub description: Option<String>,
    /// Where to read more.
    pub external_link: Option<String>,
    /// The registry of its images, when it is not the cluster's.
    pub docker_registry: Option<String>,
}

/// Takes the settings out of the file's tree.
pub fn decode(root: &Node, service: &ServiceName, problems: &mut Vec<Problem>) -> Service {
    let empty = Map::default();
    let map = root.as_map().unwrap_or(&empty);
    let mut fields = Fields::new(map, "", problems);
    Service {
        git_url: fields
            .text("git_url")
            .unwrap_or_else(|| format!("git@git.yelpcorp.com:services/{service}")),
        description: fields.text("description"),
        external_link: fields.text("external_link"),
        docker_registry: fields.text("docker_registry"),
    }
}
