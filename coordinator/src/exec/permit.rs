//! Which callers may run commands, and how many at a time; and the record of each.

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::{
    id::{HostId, InstanceId, ReplicaId},
    text::beginning,
};
use paasta_identity::{Identity, Role};
use parking_lot::Mutex;

use crate::{
    audit::{self, Audit, AuditOutcome},
    caller::OnBehalf,
    rpc::{guard::shown, status::RpcError},
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

/// A command in a container, for its records.
#[derive(Debug)]
pub struct Command {
    /// The caller.
    pub principal: Identity,
    /// The instance.
    pub instance: InstanceId,
    /// The replica.
    pub replica: ReplicaId,
    /// Its host.
    pub host: HostId,
    /// The program and its arguments.
    pub words: Vec<String>,
}

impl Command {
    /// Writes that it begins, or how it ended, to the log and the audit log. The one place for it.
    pub fn audit(&self, log: &Audit, outcome: &str) {
        let mut words = format!("{:?}", self.words);
        words.truncate(beginning(&words, WORDS_SHOWN).len());
        tracing::info!(
            principal = self.principal.short(),
            instance = %self.instance,
            replica = %self.replica,
            host = %self.host,
            command = words,
            outcome,
            "exec"
        );
        let cluster = self.principal.cluster().to_string();
        let details = format!("{outcome}: replica {}, {words}", self.replica);
        log.write(audit::Record {
            host: self.host.to_string(),
            action_details: details,
            outcome: AuditOutcome::Done,
            ..record(log, cluster, Some(&self.principal), &self.instance)
        });
    }
}

/// Records that a caller may not run a command. `cluster` is empty before it is made.
pub fn refused(
    log: &Audit,
    cluster: String,
    caller: Option<&Identity>,
    instance: &InstanceId,
    error: &RpcError,
) {
    let record = audit::Record {
        action_details: error.to_string(),
        outcome: AuditOutcome::Denied,
        ..record(log, cluster, caller, instance)
    };
    let user = record.user.clone();
    log.refuse(&user, record);
}

/// A record of a command of which nothing has come yet.
fn record(
    log: &Audit,
    cluster: String,
    caller: Option<&Identity>,
    instance: &InstanceId,
) -> audit::Record {
    let principal = caller.map(shown).unwrap_or_default();
    audit::Record {
        cluster,
        service: instance.service.to_string(),
        instance: instance.instance.to_string(),
        user: principal.clone(),
        principal,
        role: caller.map_or_else(String::new, |one| one.role().to_string()),
        action: "Exec.Run".to_owned(),
        objects: vec![instance.to_string()],
        objects_total: 1,
        ..log.record()
    }
}

#[cfg(test)]
mod tests {
    use paasta_common::time::Timestamp;
    use paasta_coordinator_core::access::{Sight, scope::Scopes};
    use paasta_process::{clock::ManualClock, metrics::Meters};

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
    fn records_have_the_cluster_and_name_callers_as_other_calls_do() {
        let dir = tempfile::TempDir::new().unwrap();
        let place = audit::Place {
            dir: dir.path().to_owned(),
            file_bytes: 1 << 20,
            files: 2,
        };
        let clock = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)));
        let meters = audit::AuditMeters::new(&Meters::default());
        let log = Audit::start(place.clone(), 1, clock, meters).unwrap();
        let instance: InstanceId = "web.main".parse().unwrap();
        let command = Command {
            principal: identity("admin/local.root"),
            instance: instance.clone(),
            replica: ReplicaId(7),
            host: "h1".parse().unwrap(),
            words: vec!["é".repeat(WORDS_SHOWN)],
        };
        command.audit(&log, "begins");
        let denied = RpcError::ExecDenied {
            why: "off".to_owned(),
        };
        let reader = identity("reader/r");
        refused(&log, "prod".to_owned(), Some(&reader), &instance, &denied);
        drop(log);
        let records = place.newest(10, |_| true).unwrap();
        let columns = |one: &audit::Record| {
            let each = [&one.cluster, &one.user, &one.principal, &one.role];
            each.map(String::clone)
        };
        let found: Vec<_> = records.iter().map(columns).collect();
        let local = ["prod", "local/root", "local/root", "admin"].map(str::to_owned);
        let other = ["prod", "reader/r", "reader/r", "reader"].map(str::to_owned);
        assert_eq!(found, [local, other]);
        assert_eq!(records[0].host, "h1");
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
