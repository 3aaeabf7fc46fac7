//! A host and what it offers.

use paasta_common::{app::Resources, host::HostInfo};

use super::{WireError, parsed, required};
use crate::v1;

/// The host as a word.
///
/// # Errors
/// [`WireError`] names the field: a bad id, no address, no pool or no capacity.
pub fn host_from_wire(wire: v1::Host) -> Result<HostInfo, WireError> {
    for (field, text) in [("address", &wire.address), ("pool", &wire.pool)] {
        if text.is_empty() {
            return Err(WireError::new(field, "is empty"));
        }
    }
    Ok(HostInfo {
        id: parsed(&wire.id, "id")?,
        address: wire.address,
        pool: wire.pool,
        attributes: wire.attributes,
        capacity: resources_from_wire(required(wire.capacity, "capacity")?),
        agent_version: wire.agent_version,
        machine: match wire.machine.as_str() {
            "" => None,
            text => Some(parsed(text, "machine")?),
        },
    })
}

/// The host for the wire.
pub fn host_to_wire(host: &HostInfo) -> v1::Host {
    v1::Host {
        id: host.id.to_string(),
        address: host.address.clone(),
        pool: host.pool.clone(),
        attributes: host.attributes.clone(),
        capacity: Some(resources_to_wire(host.capacity)),
        agent_version: host.agent_version.clone(),
        machine: host
            .machine
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

/// Amounts as words.
pub fn resources_from_wire(wire: v1::Resources) -> Resources {
    Resources {
        cpus_milli: wire.cpus_milli,
        mem_mb: wire.mem_mb,
        disk_mb: wire.disk_mb,
        gpus: wire.gpus,
    }
}

/// Amounts for the wire.
pub fn resources_to_wire(resources: Resources) -> v1::Resources {
    v1::Resources {
        cpus_milli: resources.cpus_milli,
        mem_mb: resources.mem_mb,
        disk_mb: resources.disk_mb,
        gpus: resources.gpus,
    }
}
