//! How the state is written and read: the tables alone. On reading, the index is built anew and
//! equal names are made to share their memory again.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ClusterState, Tables, index::Index};

impl Serialize for ClusterState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.tables.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ClusterState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut tables = Tables::deserialize(deserializer)?;
        share(&mut tables);
        let index = Index::build(&tables);
        Ok(Self { tables, index })
    }
}

/// A million replicas that each hold their own copy of five names would double the state.
fn share(tables: &mut Tables) {
    let hosts: BTreeMap<_, _> = tables
        .hosts
        .keys()
        .map(|id| (id.clone(), id.clone()))
        .collect();
    let instances: BTreeMap<_, _> = tables
        .instances
        .keys()
        .map(|id| (id.clone(), id.clone()))
        .collect();
    let apps: BTreeMap<_, _> = tables
        .apps
        .keys()
        .map(|id| (id.clone(), id.clone()))
        .collect();
    for replica in tables.replicas.values_mut() {
        if let Some(id) = hosts.get(&replica.host) {
            replica.host = id.clone();
        }
        if let Some(id) = instances.get(&replica.instance) {
            replica.instance = id.clone();
        }
        if let Some(id) = apps.get(&replica.app) {
            replica.app = id.clone();
        }
    }
    for instance in tables.instances.values_mut() {
        if let Some(app) = tables.apps.get(&instance.spec.app_id) {
            instance.spec.app = Arc::clone(&app.spec);
        }
    }
}
