//! What a host says about itself when its agent registers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    app::Resources,
    id::{HostId, MachineId},
};

/// A host as its agent describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInfo {
    /// Its id, unique in the cluster.
    pub id: HostId,
    /// The address at which its containers' ports are reached.
    pub address: String,
    /// The pool it belongs to.
    pub pool: String,
    /// Everything else that constraints may name: `habitat`, `region` and so on.
    pub attributes: BTreeMap<String, String>,
    /// What it offers to replicas.
    pub capacity: Resources,
    /// The version of its agent.
    pub agent_version: String,
    /// The machine; `None` from an agent of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineId>,
}

impl HostInfo {
    /// The value of an attribute as constraints see it: `hostname` and `pool` are built in.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        match name {
            "hostname" => Some(self.id.as_str()),
            "pool" => Some(&self.pool),
            _ => self.attributes.get(name).map(String::as_str),
        }
    }
}
