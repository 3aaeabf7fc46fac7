//! What must hold of every state, checked by code that did not make it. Invariants that need to see
//! two states or the agents (the floor of a bounce, fencing) are checked by the tests.

use std::fmt;

use paasta_common::assignment::Want;

use super::{
    ClusterState,
    auth::{NODES_MAX, TOKENS_MAX},
    departed::{DEPARTED_MAX, RECORDS_MAX},
    event::{EVENTS_MAX, FAILURES_MAX},
    failed::FAILED_HOSTS_MAX,
    history::CHANGES_MAX,
    index::Index,
    instance::PinKind,
    principal::PRINCIPALS_MAX,
    problems::PROBLEMS_MAX,
    request::REQUESTS_MAX,
    revoked::REVOKED_MAX,
};

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant, as named in the design: `I2`.
    pub invariant: &'static str,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// Everything that is wrong with a state; nothing, when all is well.
pub fn check(state: &ClusterState) -> Vec<Violation> {
    let mut found = Vec::new();
    check_placements(state, &mut found);
    check_apps(state, &mut found);
    check_bounces(state, &mut found);
    check_bounds(state, &mut found);
    found
}

fn violation(found: &mut Vec<Violation>, invariant: &'static str, what: String) {
    found.push(Violation { invariant, what });
}

/// I2: a replica is one placement of a known app on a known host, under an id of its own.
fn check_placements(state: &ClusterState, found: &mut Vec<Violation>) {
    for (id, replica) in &state.tables.replicas {
        let app = state.app(&replica.app);
        if app.is_none_or(|app| app.instance != replica.instance) {
            violation(
                found,
                "I2",
                format!("{id} is of unknown app {}", replica.app),
            );
        }
        if state.instance(&replica.instance).is_none() {
            violation(
                found,
                "I2",
                format!("{id} is of unknown instance {}", replica.instance),
            );
        }
        match state.host(&replica.host) {
            None => violation(
                found,
                "I2",
                format!("{id} is on unknown host {}", replica.host),
            ),
            Some(host) if host.generation < replica.want_index => {
                violation(
                    found,
                    "I3",
                    format!("the assignment of {} is older than {id}", replica.host),
                );
            }
            Some(_) => {}
        }
        if id.0 >= state.tables.next_replica {
            violation(found, "I2", format!("{id} could be given again"));
        }
    }
    for (host, port) in state.index.clashing_ports() {
        violation(found, "I2", format!("port {port} is given twice on {host}"));
    }
    if state.index != Index::build(&state.tables) {
        violation(
            found,
            "I12",
            "the index does not follow from the tables".to_owned(),
        );
    }
    if state.cluster().is_none()
        && !(state.tables.hosts.is_empty() && state.tables.instances.is_empty())
    {
        violation(
            found,
            "I3",
            "hosts or instances without a cluster".to_owned(),
        );
    }
}

/// Every app that something refers to is there, and nothing else is.
fn check_apps(state: &ClusterState, found: &mut Vec<Violation>) {
    for (id, instance) in state.instances() {
        let named = [
            Some(instance.desired_app()),
            Some(&instance.spec.app_id),
            instance.last_good.as_ref(),
        ];
        for app in named.into_iter().flatten() {
            if state.app(app).is_none_or(|app| app.instance != *id) {
                violation(
                    found,
                    "I4",
                    format!("{id} refers to app {app}, which is not there"),
                );
            }
        }
    }
    for (id, app) in state.apps() {
        let referred = state
            .instance(&app.instance)
            .is_some_and(|i| i.refers_to(id));
        if !referred && !state.index.app_in_use(id) {
            violation(found, "I9", format!("app {id} is kept for nothing"));
        }
    }
}

/// I8: a bounce has a deadline, and its marks lie within its time.
fn check_bounces(state: &ClusterState, found: &mut Vec<Violation>) {
    for (id, instance) in state.instances() {
        if instance.spec.bounce.progress_deadline_ms == 0 {
            violation(found, "I8", format!("{id} has no progress deadline"));
        }
        let Some(bounce) = &instance.bounce else {
            continue;
        };
        if bounce.progress_deadline < bounce.last_progress_at {
            violation(
                found,
                "I8",
                format!("the bounce of {id} has no deadline ahead"),
            );
        }
        if bounce.from.contains(&bounce.to) {
            violation(
                found,
                "I4",
                format!("the bounce of {id} goes from an app to itself"),
            );
        }
    }
    for (id, replica) in &state.tables.replicas {
        if replica.want == Want::Drain && replica.want_index == 0 {
            violation(found, "I8", format!("{id} drains since no known moment"));
        }
    }
}

/// I9: what is kept is bounded.
fn check_bounds(state: &ClusterState, found: &mut Vec<Violation>) {
    let tables = &state.tables;
    let problems = tables.problems.values().map(Vec::len).max().unwrap_or(0);
    let changes = tables
        .instances
        .values()
        .map(|one| one.history.iter().len());
    let changes = changes.max().unwrap_or(0);
    let failed = tables.instances.values().flat_map(|one| &one.failed);
    let failed = failed.map(|failed| failed.hosts.len()).max().unwrap_or(0);
    let departed = &tables.departed;
    let records = departed.values().filter(|one| one.record.is_some());
    let records = records.count();
    let bounds = [
        ("events", tables.events.len(), EVENTS_MAX),
        ("request outcomes", tables.requests.len(), REQUESTS_MAX),
        ("problems of one scope", problems, PROBLEMS_MAX),
        ("changes of one instance", changes, CHANGES_MAX),
        ("hosts where an app failed", failed, FAILED_HOSTS_MAX),
        ("removed instances", departed.len(), DEPARTED_MAX),
        ("records of removed instances", records, RECORDS_MAX),
        ("principals", tables.principals.len(), PRINCIPALS_MAX),
        ("revoked identities", tables.revoked.len(), REVOKED_MAX),
    ];
    for (what, is, most) in bounds {
        if is > most {
            violation(
                found,
                "I9",
                format!("{is} {what} are kept, at most {most} may be"),
            );
        }
    }
    check_auth(state, found);
    check_owners(state, found);
}

/// I9: what decides who may be in the cluster is bounded.
fn check_auth(state: &ClusterState, found: &mut Vec<Violation>) {
    let (tokens, nodes) = (state.tokens().len(), state.nodes().len());
    if tokens > TOKENS_MAX || nodes > NODES_MAX {
        let what = format!(
            "{tokens} join tokens and {nodes} names are kept, at most {TOKENS_MAX} and {NODES_MAX} may be"
        );
        violation(found, "I9", what);
    }
}

/// I8, I9: what is kept beside an instance has that instance.
fn check_owners(state: &ClusterState, found: &mut Vec<Violation>) {
    let tables = &state.tables;
    for instance in tables.paced.keys() {
        if state.instance(instance).is_none_or(|one| !one.declared) {
            violation(
                found,
                "I9",
                format!("{instance} waits for its turn, and is not declared"),
            );
        }
    }
    for (id, instance) in state.instances() {
        let waits = instance.pin.as_ref();
        let waits = waits.is_some_and(|pin| pin.kind == PinKind::Paced);
        if waits && tables.paced.get(id).is_none_or(|one| one.going) {
            violation(
                found,
                "I8",
                format!("{id} waits for a turn that never comes"),
            );
        }
    }
    let failures = tables.events.failures();
    if failures > FAILURES_MAX {
        let text = format!("{failures} events of failures are kept, at most {FAILURES_MAX} may be");
        violation(found, "I9", text);
    }
    for instance in tables.troubles.keys() {
        if state.instance(instance).is_none() {
            let text = format!("troubles of {instance} are kept, which is not known");
            violation(found, "I9", text);
        }
    }
    for instance in tables.alerts.keys() {
        if state.instance(instance).is_none() {
            violation(
                found,
                "I9",
                format!("an alarm of {instance} is kept, which is not known"),
            );
        }
    }
}
