//! A crash loop through a night and two elections.

use paasta_common::{
    id::AppId,
    report::{Health, HostPart, Phase},
    spec::BounceMethod,
};

use super::*;
use crate::{
    build::{Cluster, app_id, host_id, main_instance, spec},
    plan::observed::{HostObserved, PlanSettings},
    state::{
        command::{Place, PlaceReplica},
        event::{Event, EventKind, FAILURES_MAX},
    },
};

const REPLICA: ReplicaId = ReplicaId(1);
const MINUTE: u64 = 60_000;

/// One replica on one host, which reports as it is told to.
struct Night {
    cluster: Cluster,
    observed: Observed,
    watch: Watch,
    counted: Troubles,
    commands: usize,
}

fn report(app: AppId, troubles: &Troubles) -> ReplicaReport {
    ReplicaReport {
        id: REPLICA,
        app,
        phase: Phase::BackingOff,
        health: Health::Unknown,
        started_at: None,
        host_port: None,
        container: None,
        run: 1,
        failures: 1,
        next_try_at: None,
        drained: false,
        in_load_balancer: None,
        message: String::new(),
        last_end: None,
        image: Default::default(),
        troubles: troubles.clone(),
        other_troubles: 0,
    }
}

impl Night {
    fn new() -> Self {
        let mut cluster = Cluster::new(1);
        let id = main_instance();
        cluster.set(&id, spec(&id, 1, 1, BounceMethod::Crossover));
        cluster.must(Command::Place(Place {
            replicas: vec![PlaceReplica {
                id: REPLICA,
                instance: id.clone(),
                app: app_id(&id, 1),
                host: host_id(1),
                failures: 0,
                failed_on: None,
            }],
        }));
        let settings = PlanSettings::default();
        Self {
            observed: Observed::new(cluster.now, settings),
            cluster,
            watch: Watch::default(),
            counted: Troubles::default(),
            commands: 0,
        }
    }

    /// Time passes, with a look every five seconds and a death every so often.
    fn pass(&mut self, ms: u64, every_ms: u64) {
        let end = self.cluster.now.after_ms(ms);
        while self.cluster.now < end {
            self.cluster.now = self.cluster.now.after_ms(5_000);
            if every_ms > 0 && self.cluster.now.0.is_multiple_of(every_ms) {
                self.counted.add(Trouble::Exited, 1);
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let now = self.cluster.now;
        let mut host = HostObserved::new(now, &self.observed.settings);
        host.complete_report = true;
        let app = app_id(&main_instance(), 1);
        let known = self.observed.hosts.get(&host_id(1));
        host.runtime = known.map_or(Runtime::Ok, |known| known.runtime.clone());
        host.replicas.insert(REPLICA, report(app, &self.counted));
        self.observed.hosts.insert(host_id(1), host);
        for command in self.watch.look(&self.cluster.state, &self.observed, now) {
            self.commands += 1;
            self.cluster.must(command);
        }
    }

    fn failures(&self) -> Vec<&Event> {
        let events = self.cluster.state.events();
        events
            .filter(|event| event.kind == EventKind::Failure)
            .collect()
    }

    /// How often it died, as the events add up to.
    fn told(&self) -> u32 {
        let first = |event: &&Event| event.text.split(' ').next()?.parse::<u32>().ok();
        self.failures().iter().filter_map(first).sum()
    }
}

#[test]
fn a_night_of_deaths_is_a_few_lines_that_add_up_also_over_elections() {
    let mut night = Night::new();
    night.pass(MINUTE, 0);
    assert_eq!(night.commands, 0, "nothing befell anybody");
    night.pass(8 * 60 * MINUTE, 20_000);
    let lines = night.failures().len();
    assert!((8..=14).contains(&lines), "{lines} lines");
    assert_eq!(
        night.commands, lines,
        "a command for each line, and no more"
    );
    let first = night.failures()[0].at;
    assert!(first.0 < 1_000_000 + 2 * MINUTE, "the first at once");
    // Two elections: nothing is told twice, and what was pending is told all the same.
    for _ in 0..2 {
        night.watch = Watch::default();
        night.pass(20_000, 20_000);
    }
    assert_eq!(night.failures().len(), lines);
    night.pass(2 * 60 * MINUTE, 0);
    assert_eq!(night.told(), night.counted.of(Trouble::Exited));
    // After a quiet time the next is told at once.
    let before = night.failures().len();
    night.pass(6 * 60 * MINUTE, 0);
    night.counted.add(Trouble::Exited, 1);
    night.look();
    assert_eq!(night.failures().len(), before + 1);
}

#[test]
fn kinds_do_not_wait_for_each_other() {
    let mut night = Night::new();
    night.pass(MINUTE, 5_000);
    assert_eq!(night.failures().len(), 1);
    night.counted.add(Trouble::Memory, 1);
    night.look();
    let texts: Vec<&str> = night
        .failures()
        .iter()
        .map(|event| event.text.as_str())
        .collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[1].contains("killed for its memory"), "{texts:?}");
}

#[test]
fn a_host_that_is_degraded_for_a_while_is_said_to_be_once_and_once_that_it_works_again() {
    let mut night = Night::new();
    night.look();
    let degraded = |night: &mut Night, words: Option<&str>| {
        let runtime = match words {
            None => Runtime::Ok,
            Some(words) => Runtime::Degraded {
                reason: words.to_owned(),
                since: Timestamp(0),
                part: HostPart::Disk,
            },
        };
        let host = night.observed.hosts.get_mut(&host_id(1));
        host.unwrap().runtime = runtime;
    };
    let said = |night: &Night| {
        let events = night.cluster.state.events();
        let of_host = events.filter(|event| event.text.contains("degraded"));
        of_host.map(|event| event.text.clone()).collect::<Vec<_>>()
    };
    degraded(&mut night, Some("full"));
    night.pass(10_000, 0);
    degraded(&mut night, None);
    night.pass(MINUTE, 0);
    assert_eq!(said(&night).len(), 0, "it did not last");
    degraded(&mut night, Some("full"));
    night.pass(MINUTE, 0);
    night.watch = Watch::default();
    night.pass(MINUTE, 0);
    degraded(&mut night, None);
    night.pass(MINUTE, 0);
    assert_eq!(
        said(&night),
        [
            "degraded, gets no new replicas: disk of the agent: full",
            "works again; it was degraded: disk of the agent: full",
        ]
    );
}

#[test]
fn however_much_fails_other_events_are_kept() {
    let mut night = Night::new();
    let others = night.cluster.state.events().count();
    for _ in 0..FAILURES_MAX * 3 {
        night.counted.add(Trouble::Exited, 1);
        night.watch = Watch::default();
        night.cluster.must(Command::NoteTroubles(NoteTroubles {
            instance: main_instance(),
            replicas: BTreeMap::from([(REPLICA, night.counted.clone())]),
            streaks: BTreeMap::new(),
            words: BTreeMap::new(),
        }));
    }
    assert_eq!(night.failures().len(), FAILURES_MAX);
    assert_eq!(night.cluster.state.events().count(), others + FAILURES_MAX);
}
