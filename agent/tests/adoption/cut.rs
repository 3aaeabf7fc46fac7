//! A story of starting, failing, draining, stopping and forgetting. It is told once to learn when
//! anything happens, and then again and again, the agent dying each time at another moment. A new
//! agent then finishes the story, with the ledger or without.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use paasta_agent::agent::View;
use paasta_agent_core::{labels, observed::ContainerState};
use paasta_common::{
    assignment::{Assignment, Want},
    id::ReplicaId,
    report::{Health, Phase},
};

use crate::world::{Host, Life, assignment, fence};

const FIRST_OF_1: &str = "paasta-hello.main-r1-1";
/// Longer than the story.
const TICKS_MAX: u32 = 20_000;
const STRANGERS: [&str; 2] = ["somebodys", "another-clusters"];

/// What is wanted, act after act.
struct Story {
    host: Host,
    act: usize,
    /// Every container ever seen: a name never has two ids, unless it was gone in between.
    seen: BTreeMap<String, String>,
    /// Every line of `seen` that was replaced by another id.
    again: u32,
}

enum End {
    /// The story was told to its end.
    Told,
    /// The agent died before.
    Cut,
}

impl Story {
    fn new() -> Self {
        let host = Host::new();
        host.put(STRANGERS[0], &[], ContainerState::Running);
        let labels = [
            (labels::CLUSTER, "c2"),
            (labels::HOST, "host1"),
            (labels::REPLICA, "r1"),
            (labels::RUN, "1"),
        ];
        host.put(STRANGERS[1], &labels, ContainerState::Running);
        Self {
            host,
            act: 0,
            seen: BTreeMap::new(),
            again: 0,
        }
    }

    fn order(&self) -> Assignment {
        let fence = fence(1, 1, self.act as u64 + 1);
        match self.act {
            0 | 1 => assignment(fence, &[(1, Want::Run), (2, Want::Run)]),
            2 => assignment(fence, &[(1, Want::Drain), (2, Want::Run)]),
            3 => assignment(fence, &[(1, Want::Stop), (2, Want::Run)]),
            _ => assignment(fence, &[]),
        }
    }

    fn is_over(&self, view: &View) -> bool {
        let report = |id| view.reports.get(&ReplicaId(id));
        let healthy =
            |id, run| report(id).is_some_and(|r| r.health == Health::Healthy && r.run == run);
        match self.act {
            0 => healthy(1, 1) && healthy(2, 1),
            // Without its ledger an agent does not know how many runs there were.
            1 => {
                let running = self.host.running();
                let next = report(1).is_some_and(|r| r.health == Health::Healthy);
                let runs = running.keys().any(|name| name.contains("-r1-"));
                next && runs && self.host.engine.created() >= 3
            }
            2 => report(1).is_some_and(|r| r.drained),
            3 => report(1).is_some_and(|r| r.phase == Phase::Gone),
            _ => view.reports.is_empty() && self.host.engine.containers().len() == STRANGERS.len(),
        }
    }

    /// Lets one agent live until the story is told, or until it dies after this many ticks.
    fn tell(&mut self, ticks: u32, mut each: impl FnMut(u32, &Life)) -> End {
        let life = self.host.live();
        life.send(self.order());
        for tick in 0..ticks {
            life.tick();
            self.check();
            each(tick, &life);
            while self.is_over(&life.view()) {
                self.act += 1;
                match self.act {
                    1 => self.host.engine.crash(FIRST_OF_1, 3),
                    5 => return End::Told,
                    _ => {}
                }
                life.send(self.order());
            }
        }
        End::Cut
    }

    /// Nothing is doubled, and no stranger is touched, at any moment.
    fn check(&mut self) {
        let containers = self.host.engine.containers();
        for name in STRANGERS {
            let state = containers.get(name).map(|held| held.state);
            assert_eq!(state, Some(ContainerState::Running), "{name}");
        }
        let mut running = BTreeSet::new();
        for (name, held) in &containers {
            let replica = held.spec.labels.get(labels::REPLICA);
            let ours = held.spec.labels.get(labels::CLUSTER).map(String::as_str) == Some("c1");
            if ours && held.state == ContainerState::Running {
                assert!(running.insert(replica.cloned()), "{replica:?} runs twice");
            }
            if let Some(before) = self.seen.insert(name.clone(), held.id.clone())
                && before != held.id
            {
                self.again += 1;
            }
        }
    }

    fn finish(&mut self, cut: &str) {
        match self.tell(TICKS_MAX, |_, _| {}) {
            End::Told => {}
            End::Cut => panic!(
                "cut when {cut}: the story never ended, it is in act {}",
                self.act
            ),
        }
        assert_eq!(self.host.engine.created(), 3, "cut when {cut}: doubled");
    }
}

/// The ticks at which something happened, and what it was.
fn moments() -> BTreeMap<u32, String> {
    let mut story = Story::new();
    let (notes, mark) = (
        story.host.notes.clone(),
        story.host.state_dir().join("ledger"),
    );
    let mut moments = BTreeMap::new();
    let (mut noted, mut saved) = (0, Vec::new());
    let told = story.tell(TICKS_MAX, |tick, _| {
        let notes = notes.lock().unwrap();
        let now = fs::read(&mark).unwrap_or_default();
        if now != saved {
            moments.insert(tick, "the ledger is written".to_owned());
            saved = now;
        }
        if notes.len() > noted {
            noted = notes.len();
            moments.insert(tick, notes.last().unwrap().clone());
        }
    });
    assert!(matches!(told, End::Told), "the story has no end");
    assert_eq!((story.host.engine.created(), story.again), (3, 0));
    moments
}

#[test]
fn an_agent_that_dies_at_any_moment_is_followed_by_one_that_finishes_its_work() {
    let moments = moments();
    let kinds: BTreeSet<&str> = moments.values().map(String::as_str).collect();
    for deed in [
        "list", "pull", "create", "start", "exec", "inspect", "stop", "remove",
    ] {
        for end in ["begins", "is done"] {
            let moment = format!("{deed} {end}");
            assert!(
                kinds.contains(moment.as_str()),
                "never cut when {moment}: {kinds:?}"
            );
        }
    }
    assert!(kinds.contains("the ledger is written"), "{kinds:?}");
    let mut last = "";
    for (tick, moment) in &moments {
        // Looking changes nothing: of lists and probes in a row the first will do.
        let looks = moment.starts_with("list") || moment.starts_with("exec");
        if looks && last.split(' ').next() == moment.split(' ').next() {
            continue;
        }
        last = moment;
        let mut story = Story::new();
        let ended = story.tell(tick + 1, |_, _| {});
        let running = story.host.running();
        assert!(matches!(ended, End::Cut) || story.act == 5);
        if story.act == 5 {
            continue;
        }
        let act = story.act;
        story.finish(moment);
        assert_eq!(
            story.again, 0,
            "cut when {moment}: a container was made anew"
        );
        // What ran when the agent died ran on, unless the story ended it.
        assert!(
            act > 0
                || running
                    .values()
                    .all(|id| story.seen.values().any(|seen| seen == id))
        );
    }
}

#[test]
fn an_agent_that_dies_and_loses_its_ledger_is_followed_by_one_that_finds_all_by_labels() {
    let mut cuts = BTreeMap::new();
    for (tick, moment) in moments() {
        // The first of each kind in each act would need the act; the first three will do.
        let of_kind: &mut Vec<u32> = cuts.entry(moment).or_default();
        if of_kind.len() < 3 {
            of_kind.push(tick);
        }
    }
    for (moment, ticks) in cuts {
        for tick in ticks {
            let mut story = Story::new();
            if let End::Told = story.tell(tick + 1, |_, _| {}) {
                continue;
            }
            fs::remove_dir_all(story.host.state_dir()).unwrap();
            story.finish(&moment);
        }
    }
}

#[test]
fn an_agent_with_a_damaged_ledger_goes_on_from_the_save_before() {
    let mut cuts: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (tick, moment) in moments() {
        let of_kind = cuts.entry(moment).or_default();
        if of_kind.len() < 6 {
            of_kind.push(tick);
        }
    }
    let mut used = 0;
    for (moment, ticks) in cuts {
        for tick in ticks {
            let mut story = Story::new();
            if let End::Told = story.tell(tick + 1, |_, _| {}) {
                continue;
            }
            let path = story.host.state_dir().join("ledger");
            let Ok(bytes) = fs::read(&path) else { continue };
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            used += 1;
            story.finish(&moment);
            assert_eq!(
                story.again, 0,
                "cut when {moment}: a container was made anew"
            );
        }
    }
    assert!(used > 20, "{used} cuts");
}
