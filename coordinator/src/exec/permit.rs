//! Which callers may run commands, and how many at a time; and the record of each.

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::id::InstanceId;
use paasta_identity::{Identity, Role};
use parking_lot::Mutex;

use crate::{
    audit::{self, Audit, AuditOutcome},
    caller::OnBehalf,
    rpc::status::RpcError,
};

/// Commands at a time, of all callers.
const COMMANDS_MAX: usize = 64;
/// Commands at a time, of one caller.
const COMMANDS_PER_CALLER: usize = 8;
/// Characters of a command in the log, at most.
const WORDS_SHOWN: usize = 1_000;

/// The caller, if it may run a command in the instance's containers. The one place where that is
/// decided beyond the table of roles: the instance must be in the caller's scopes.
///
/// # Errors
/// [`RpcError::ExecDenied`].
pub fn caller(
    enabled: bool,
    OnBehalf { principal, sight }: OnBehalf,
    instance: &InstanceId,
) -> Result<Identity, RpcError> {
    let denied = |why: String| RpcError::ExecDenied { why };
    if !enabled {
        return Err(denied(
            "exec is off in this cluster: coordinator.exec is not set".to_owned(),
        ));
    }
    let principal = principal.ok_or_else(|| {
        denied(
            "a command in a container takes a proven caller, and this cluster has no TLS"
                .to_owned(),
        )
    })?;
    if !sight.covers_instance(instance) {
        return Err(denied(format!(
            "{instance} is not in the scopes of {}: `paasta auth show` lists them",
            principal.short()
        )));
    }
    match principal.role() {
        Role::Admin | Role::Deployer => Ok(principal),
        Role::Coordinator | Role::Agent | Role::Reader | Role::Metrics => Err(denied(format!(
            "{} may not run commands in {instance}: that takes the role admin or deployer",
            principal.short()
        ))),
    }
}

/// The commands that run, by caller. Clones are the same.
#[derive(Clone, Default)]
pub struct Places(Arc<Mutex<BTreeMap<Identity, usize>>>);

/// A place for a command; dropped, it is free.
pub struct Place {
    places: Places,
    caller: Identity,
}

impl Places {
    /// A place for one more command of the caller.
    ///
    /// # Errors
    /// [`RpcError::Busy`].
    pub fn take(&self, caller: &Identity) -> Result<Place, RpcError> {
        let mut taken = self.0.lock();
        if taken.values().sum::<usize>() >= COMMANDS_MAX {
            return Err(RpcError::Busy {
                what: "64 commands run in containers already",
            });
        }
        let own = taken.entry(caller.clone()).or_default();
        if *own >= COMMANDS_PER_CALLER {
            return Err(RpcError::Busy {
                what: "this caller runs 8 commands in containers already",
            });
        }
        *own += 1;
        Ok(Place {
            places: self.clone(),
            caller: caller.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock();
        if let Some(own) = taken.get_mut(&self.caller) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.remove(&self.caller);
            }
        }
    }
}

/// A command that begins, or its end.
#[derive(Debug)]
pub struct Record<'a> {
    /// The caller.
    pub principal: &'a Identity,
    /// The instance.
    pub instance: &'a InstanceId,
    /// The replica.
    pub replica: String,
    /// Its host.
    pub host: String,
    /// The program and its arguments.
    pub command: &'a [String],
    /// `begins`, or how it ended.
    pub outcome: &'a str,
}

/// Writes the record, to the log and the audit log. The one place for it.
pub fn audit(log: &Audit, record: &Record<'_>, outcome: AuditOutcome) {
    let command: String = format!("{:?}", record.command)
        .chars()
        .take(WORDS_SHOWN)
        .collect();
    tracing::info!(
        principal = record.principal.short(),
        instance = %record.instance,
        replica = record.replica,
        host = record.host,
        command,
        outcome = record.outcome,
        "exec"
    );
    let identity = record.principal;
    log.write(audit::Record {
        service: record.instance.service.to_string(),
        instance: record.instance.instance.to_string(),
        user: identity.short(),
        principal: identity.short(),
        role: identity.role().to_string(),
        host: record.host.clone(),
        action: "Exec.Run".to_owned(),
        action_details: format!("{}: replica {}, {command}", record.outcome, record.replica),
        objects: vec![record.instance.to_string()],
        objects_total: 1,
        outcome,
        ..log.record()
    });
}

/// Records that a caller may not run a command.
pub fn refused(log: &Audit, call: &OnBehalf, instance: &InstanceId, error: &RpcError) {
    let principal = call.principal.as_ref().map(Identity::short);
    let principal = principal.unwrap_or_default();
    let record = audit::Record {
        service: instance.service.to_string(),
        instance: instance.instance.to_string(),
        user: principal.clone(),
        principal: principal.clone(),
        action: "Exec.Run".to_owned(),
        action_details: error.to_string(),
        objects: vec![instance.to_string()],
        objects_total: 1,
        outcome: AuditOutcome::Denied,
        ..log.record()
    };
    log.refuse(&principal, record);
}

#[cfg(test)]
mod tests {
    use paasta_coordinator_core::access::{Sight, scope::Scopes};

    use super::*;

    fn identity(text: &str) -> Identity {
        format!("paasta://prod/{text}").parse().unwrap()
    }

    #[test]
    fn admins_and_deployers_may_where_it_is_on() {
        let instance: InstanceId = "web.main".parse().unwrap();
        let ask = |enabled, who: Option<&str>| {
            let call = OnBehalf {
                principal: who.map(identity),
                sight: Sight::Everything,
            };
            caller(enabled, call, &instance)
                .map(|found| found.short())
                .map_err(|error| error.to_string())
        };
        assert_eq!(ask(true, Some("admin/a")).unwrap(), "admin/a");
        assert_eq!(ask(true, Some("deployer/d")).unwrap(), "deployer/d");
        for other in ["reader/r", "metrics/m", "agent/h", "coordinator/1"] {
            let refused = ask(true, Some(other)).unwrap_err();
            assert!(refused.contains(other), "{refused}");
        }
        let elsewhere = OnBehalf {
            principal: Some(identity("deployer/d")),
            sight: Sight::Within(Scopes::new(["api"]).unwrap()),
        };
        let refused = caller(true, elsewhere, &instance).unwrap_err().to_string();
        assert!(refused.contains("scopes of deployer/d"), "{refused}");
        assert!(ask(true, None).unwrap_err().contains("no TLS"));
        assert!(
            ask(false, Some("admin/a"))
                .unwrap_err()
                .contains("coordinator.exec")
        );
    }

    #[test]
    fn places_are_bounded_by_caller_and_in_all_and_come_back() {
        let places = Places::default();
        let mut held: Vec<Place> = (0..COMMANDS_PER_CALLER)
            .map(|_| places.take(&identity("admin/a")).unwrap())
            .collect();
        assert!(places.take(&identity("admin/a")).is_err());
        for number in 0..COMMANDS_MAX - COMMANDS_PER_CALLER {
            let other = identity(&format!("deployer/d{}", number / COMMANDS_PER_CALLER));
            held.push(places.take(&other).unwrap());
        }
        assert!(places.take(&identity("admin/b")).is_err());
        held.clear();
        assert!(places.0.lock().is_empty());
    }
}
