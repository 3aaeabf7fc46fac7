//! Which host an agent may speak for.

use paasta_common::id::HostId;
use paasta_identity::{Identity, Role};
use tonic::Status;

use crate::rpc::status::RpcError;

/// An agent speaks for the host that its certificate names, and for no other.
pub(super) fn check_host(principal: Option<&Identity>, host: &HostId) -> Result<(), Status> {
    match principal {
        Some(identity) if identity.role() != Role::Agent || identity.name() != host.as_str() => {
            let text = format!(
                "its certificate is that of {}: correct `agent.host_id` there, or give the host a certificate of its own",
                identity.short()
            );
            Err(RpcError::OtherHost {
                host: host.to_string(),
                message: text,
            }
            .into())
        }
        Some(_) | None => Ok(()),
    }
}
