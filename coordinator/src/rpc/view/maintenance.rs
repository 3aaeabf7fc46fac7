//! Hosts that are being emptied, and hosts that are silent.

use std::collections::BTreeSet;

use paasta_common::{
    id::{HostId, cut},
    typo::close_matches,
};
use paasta_coordinator_core::plan::{
    brake::silent_hosts,
    maintenance::{Emptying, emptying},
};
use paasta_proto::v1;

use super::{View, hosts::number, words};
use crate::rpc::status::RpcError;

impl View<'_> {
    /// How far hosts are emptied: the named ones, or all that are being drained.
    ///
    /// # Errors
    /// [`RpcError::NotFound`] when one of them is not registered.
    pub fn maintenance(
        &self,
        request: &v1::MaintenanceStatusRequest,
    ) -> Result<v1::MaintenanceStatusResponse, RpcError> {
        let hosts: Vec<HostId> = match request.hosts.is_empty() {
            false => request
                .hosts
                .iter()
                .map(|name| self.host_named(name))
                .collect::<Result<_, _>>()?,
            true => self
                .state
                .hosts()
                .filter(|(_, host)| host.maintenance.is_some())
                .map(|(id, _)| id.clone())
                .collect(),
        };
        let hosts = hosts.iter().filter_map(|id| {
            let found = emptying(self.state, self.observed, self.report, id, self.now)?;
            Some(self.host_maintenance(id, &found))
        });
        Ok(v1::MaintenanceStatusResponse {
            hosts: hosts.collect(),
            now_ms: self.now.0,
        })
    }

    /// The silent hosts, and whether they are too many to be believed.
    pub fn brake(&self) -> v1::BrakeStatusResponse {
        let brake = self.report.brake.as_ref();
        let silent = silent_hosts(self.state, self.observed, self.now);
        v1::BrakeStatusResponse {
            brake: brake.map(ToString::to_string).unwrap_or_default(),
            hosts: silent
                .into_iter()
                .map(|silent| v1::SilentHost {
                    host: silent.host.to_string(),
                    last_seen_ms: silent.last_seen.map(|at| at.0),
                    replicas: number(silent.replicas),
                })
                .collect(),
            now_ms: self.now.0,
        }
    }

    /// The registered host of that name.
    ///
    /// # Errors
    /// [`RpcError::NotFound`] with the names that come closest.
    pub fn host_named(&self, name: &str) -> Result<HostId, RpcError> {
        let known: BTreeSet<&str> = self.state.hosts().map(|(id, _)| id.as_str()).collect();
        let id = name.parse::<HostId>().ok();
        if let Some(id) = id.clone().filter(|_| known.contains(name)) {
            return Ok(id);
        }
        // How near two texts are costs as much as both are long: only for what could be a name.
        let close = match id {
            Some(_) => close_matches(name, known),
            None => Vec::new(),
        };
        let hint = match close.is_empty() {
            true => "; `paasta metastatus -v` lists the hosts".to_owned(),
            false => format!("; did you mean {}?", close.join(", ")),
        };
        Err(RpcError::NotFound {
            what: format!("host {:?}", cut(name)),
            hint,
        })
    }

    fn host_maintenance(&self, id: &HostId, found: &Emptying) -> v1::HostMaintenance {
        let wish = self
            .state
            .host(id)
            .and_then(|host| host.maintenance.clone());
        let seen = found.leaving.iter();
        let seen = seen.filter(|leaving| self.sight.covers_instance(&leaving.instance));
        let replicas = seen.map(|leaving| v1::LeavingReplica {
            id: leaving.id.to_string(),
            instance: leaving.instance.to_string(),
            app: leaving.app.to_string(),
            class: words::class(leaving.class).into(),
            waits_for: leaving.waits_for.clone(),
        });
        v1::HostMaintenance {
            host: id.to_string(),
            state: words::standing(found.standing).into(),
            safe: found.is_safe(),
            text: found.to_string(),
            since_ms: wish.as_ref().map_or(0, |wish| wish.since.0),
            until_ms: wish.as_ref().and_then(|wish| wish.until).map(|at| at.0),
            reason: wish.map(|wish| wish.reason).unwrap_or_default(),
            replicas: replicas.collect(),
        }
    }
}
