//! Tells teams that the configuration of a service is broken, and that it is mended. What is broken
//! is replicated state; how long it has been so, and which events were sent, is the leader's memory. A new
//! leader tells again what is broken, and of what was mended lately, as the one before it may not
//! have come to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use paasta_common::{
    id::InstanceId,
    problem::{Problem, Severity},
    soa::SoaDir,
    time::Timestamp,
};
use paasta_coordinator_core::state::{
    ClusterState,
    event::{EventKind, Subject},
    problems::ProblemScope,
};

use super::{
    AGAIN_MS,
    event::{About, Check, Event, compose},
};

/// Looks in a row that must find a configuration broken.
const LOOKS: u32 = 2;
/// New alarms of one look, at most; the others come with the next.
const CHANGES_MAX: usize = 64;
const MENDED: &str = "OK: the configuration is accepted";
const GONE: &str = "OK: no longer declared";

/// What one leader remembers.
#[derive(Default)]
pub(super) struct Broken {
    looks: BTreeMap<Scope, Trend>,
    told: BTreeMap<Scope, Event>,
    /// Whether what was mended before this leader was told.
    caught_up: bool,
}

/// What an alarm is about: an instance, or a service that has none yet.
type Scope = ProblemScope;

#[derive(Debug, Clone, Copy)]
struct Trend {
    since: Timestamp,
    looks: u32,
}

/// When a look is made, and how patient it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) now: Timestamp,
    /// When this leader began.
    pub(super) begun: Timestamp,
    /// For how long a configuration must be broken, in milliseconds.
    pub(super) after_ms: u64,
    /// Between two looks.
    pub(super) every: Duration,
}

impl Broken {
    /// What is to be told now.
    pub(super) fn look(&mut self, state: &ClusterState, soa: &Path, look: Look) -> Vec<Event> {
        let found = broken(state);
        let mut events = Vec::new();
        let mut looks = BTreeMap::new();
        for (scope, problem) in &found {
            if self.told.contains_key(scope) {
                continue;
            }
            let before = self.looks.get(scope);
            let trend = Trend {
                since: before.map_or(look.now, |before| before.since),
                looks: before.map_or(1, |before| before.looks.saturating_add(1)),
            };
            looks.insert(scope.clone(), trend);
            let lasted = look.now.since_ms(trend.since) >= look.after_ms;
            if trend.looks >= LOOKS && lasted && events.len() < CHANGES_MAX {
                let event = critical(state, soa, scope, problem, look.every);
                events.push(event.clone());
                self.told.insert(scope.clone(), event);
            }
        }
        self.looks = looks;
        let mended: Vec<Scope> = self
            .told
            .keys()
            .filter(|scope| !found.contains_key(*scope))
            .cloned()
            .collect();
        for scope in mended {
            if let Some(event) = self.told.remove(&scope) {
                events.push(event.over(if is_known(state, &scope) {
                    MENDED
                } else {
                    GONE
                }));
            }
        }
        if !std::mem::replace(&mut self.caught_up, true) {
            events.extend(lately(state, soa, look, &found));
        }
        events
    }
}

/// What is broken, with the first thing to mend: an instance by its own fault or its service's, a
/// service of which no instance is known.
fn broken(state: &ClusterState) -> BTreeMap<Scope, &Problem> {
    let mut found = BTreeMap::new();
    for (scope, problems) in state.problems() {
        let first = problems
            .iter()
            .find(|problem| problem.severity == Severity::Error);
        if let Some(first) = first {
            for scope in concerned(state, scope) {
                found.entry(scope).or_insert(first);
            }
        }
    }
    found
}

/// The instances that the problems of a scope concern.
fn concerned(state: &ClusterState, scope: &ProblemScope) -> BTreeSet<Scope> {
    let ProblemScope::Service(service) = scope else {
        return [scope.clone()].into();
    };
    let of_it = |id: &&InstanceId| id.service == *service;
    let known = state.instances().map(|(id, _)| id).filter(of_it);
    let known: BTreeSet<Scope> = known.cloned().map(ProblemScope::Instance).collect();
    match known.is_empty() {
        true => [scope.clone()].into(),
        false => known,
    }
}

fn is_known(state: &ClusterState, scope: &Scope) -> bool {
    match scope {
        ProblemScope::Instance(id) => state.instance(id).is_some(),
        ProblemScope::Service(service) => state.instances().any(|(id, _)| id.service == *service),
    }
}

/// What was mended lately, before this leader began.
fn lately(
    state: &ClusterState,
    soa: &Path,
    look: Look,
    found: &BTreeMap<Scope, &Problem>,
) -> Vec<Event> {
    let mut mended = BTreeSet::new();
    let recent = |at: Timestamp| look.begun.since_ms(at) <= AGAIN_MS;
    for event in state
        .events()
        .filter(|event| event.kind == EventKind::Config)
    {
        if let Subject::Config(scope) = &event.subject
            && recent(event.at)
            && let Ok(scope) = ProblemScope::try_from(scope.clone())
        {
            mended.extend(concerned(state, &scope));
        }
    }
    mended.retain(|scope| !found.contains_key(scope));
    let ok = |scope| {
        let event = critical(state, soa, &scope, &NOTHING, look.every);
        event.over(if is_known(state, &scope) {
            MENDED
        } else {
            GONE
        })
    };
    mended.into_iter().take(CHANGES_MAX).map(ok).collect()
}

/// Stands where there is no problem any more.
static NOTHING: Problem = Problem {
    file: String::new(),
    line: None,
    column: None,
    field: String::new(),
    message: String::new(),
    severity: Severity::Error,
    rule: paasta_common::problem::Rule::Syntax,
};

fn critical(
    state: &ClusterState,
    soa: &Path,
    scope: &Scope,
    problem: &Problem,
    every: Duration,
) -> Event {
    let spec = match scope {
        ProblemScope::Instance(id) => state.instance(id).map(|known| &known.spec),
        ProblemScope::Service(_) => None,
    };
    let (team, monitoring) = match spec {
        Some(spec) => (spec.team.clone(), spec.monitoring.clone()),
        None => declared(soa, scope),
    };
    let goes_on = match spec {
        Some(_) => "It goes on as it was configured before.",
        None => "Nothing of it runs.",
    };
    let about = About {
        check: Check::Configuration,
        name: scope.to_string(),
        tip: match scope {
            ProblemScope::Instance(id) => format!("paasta why {id}"),
            ProblemScope::Service(service) => format!("paasta status -s {service}"),
        },
    };
    let output = format!("CRITICAL: the configuration of {scope} is broken: {problem}\n{goes_on}");
    compose(state, about, true, output, (team, monitoring), every)
}

/// The team that the files name for a service without an accepted configuration.
fn declared(soa: &Path, scope: &Scope) -> (Option<String>, paasta_common::spec::Monitoring) {
    let service = match scope {
        ProblemScope::Instance(id) => &id.service,
        ProblemScope::Service(service) => service,
    };
    let soa = SoaDir::open(soa).ok();
    let told = soa.and_then(|soa| soa.monitoring(service).ok());
    told.map(|told| (told.team, told.settings))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use paasta_coordinator_core::state::{
        actor::Actor,
        command::{Command, Envelope, SetProblems},
    };

    use super::{super::event::Severity as Said, *};

    const LOOK: Look = Look {
        now: Timestamp(10_000),
        begun: Timestamp(9_000),
        after_ms: 5_000,
        every: Duration::from_secs(1),
    };

    fn at(now: u64) -> Look {
        Look {
            now: Timestamp(now),
            ..LOOK
        }
    }

    fn set(state: &mut ClusterState, scope: &str, severities: &[Severity]) {
        let problem = |severity: &Severity| Problem {
            file: "hello/marathon-demo.yaml".to_owned(),
            line: Some(3),
            message: "expected a number".to_owned(),
            severity: *severity,
            ..NOTHING.clone()
        };
        let command = Command::SetProblems(SetProblems {
            scope: scope.to_owned().try_into().unwrap(),
            problems: severities.iter().map(problem).collect(),
        });
        let envelope = Envelope {
            request_id: None,
            at: Timestamp(9_500),
            by: Actor::claimed("test"),
            command,
        };
        let index = state.last_index() + 1;
        assert!(state.apply(index, &envelope).is_ok());
    }

    fn said(events: Vec<Event>) -> Vec<(String, Said, Option<String>)> {
        events
            .into_iter()
            .map(|event| {
                let json: serde_json::Value = serde_json::from_str(&event.json()).unwrap();
                let name = json["name"].as_str().unwrap().to_owned();
                (name, event.severity(), event.team)
            })
            .collect()
    }

    #[test]
    fn a_team_is_told_once_and_again_when_it_is_mended_or_gone() {
        let soa = tempfile::tempdir().unwrap();
        let mut state = super::super::tests::state(Some("greeters"), false);
        let mut broken = Broken::default();
        let mut tell = |state: &ClusterState, now| said(broken.look(state, soa.path(), at(now)));
        assert_eq!(tell(&state, 10_000), []);
        // A warning is no alarm.
        set(&mut state, "hello.main", &[Severity::Warning]);
        for now in [11_000, 17_000, 18_000] {
            assert_eq!(tell(&state, now), []);
        }
        let one = |severity| {
            let name = "setup_marathon_job.hello.main".to_owned();
            vec![(name, severity, Some("greeters".to_owned()))]
        };
        set(
            &mut state,
            "hello.main",
            &[Severity::Warning, Severity::Error],
        );
        assert_eq!(tell(&state, 20_000), []);
        assert_eq!(tell(&state, 24_000), [], "it has not lasted yet");
        assert_eq!(tell(&state, 25_000), one(Said::Critical));
        assert_eq!(tell(&state, 26_000), [], "once");
        // The same by its service's fault, while its own is mended, is still the same alarm.
        set(&mut state, "hello", &[Severity::Error]);
        set(&mut state, "hello.main", &[]);
        assert_eq!(tell(&state, 27_000), []);
        set(&mut state, "hello", &[]);
        assert_eq!(tell(&state, 28_000), one(Said::Ok));
        assert_eq!(tell(&state, 29_000), []);
        // Gone with its instance.
        set(&mut state, "hello", &[Severity::Error]);
        assert_eq!(tell(&state, 30_000), []);
        assert_eq!(tell(&state, 36_000), one(Said::Critical));
        assert_eq!(tell(&ClusterState::new(), 37_000), one(Said::Ok));
    }

    #[test]
    fn a_new_leader_tells_of_what_was_mended_lately() {
        let soa = tempfile::tempdir().unwrap();
        let mut state = super::super::tests::state(Some("greeters"), false);
        set(&mut state, "hello.main", &[Severity::Error]);
        set(&mut state, "hello.main", &[]);
        let mut broken = Broken::default();
        let first = said(broken.look(&state, soa.path(), at(10_000)));
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].1, Said::Ok);
        assert_eq!(said(broken.look(&state, soa.path(), at(11_000))), []);
        let late = Look {
            begun: Timestamp(9_500 + AGAIN_MS + 1),
            ..LOOK
        };
        assert_eq!(said(Broken::default().look(&state, soa.path(), late)), []);
    }

    #[test]
    fn a_service_that_never_ran_has_the_team_of_its_files() {
        let soa = tempfile::tempdir().unwrap();
        fs::create_dir(soa.path().join("fresh")).unwrap();
        fs::write(soa.path().join("fresh/monitoring.yaml"), "team: makers\n").unwrap();
        let mut state = super::super::tests::state(None, false);
        set(&mut state, "fresh", &[Severity::Error]);
        set(&mut state, "fresh.one", &[Severity::Error]);
        let mut broken = Broken::default();
        let mut told = Vec::new();
        for now in [10_000, 16_000, 17_000] {
            told.extend(said(broken.look(&state, soa.path(), at(now))));
        }
        let name = |name: &str| {
            let name = format!("setup_marathon_job.{name}");
            (name, Said::Critical, Some("makers".to_owned()))
        };
        assert_eq!(told, [name("fresh"), name("fresh.one")]);
    }
}
