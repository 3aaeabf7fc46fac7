//! Reading after reading: what is proposed, and that nothing is once it was applied.

use std::sync::Arc;

use paasta_common::{
    app::AppSpec,
    id::AppId,
    problem::{Rule, Severity},
    spec::{BounceSpec, DesiredState, Monitoring, RunSettings},
    time::Timestamp,
};

use super::*;
use crate::state::{
    actor::Actor,
    command::{Envelope, Init},
    outcome::Outcome,
};

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

fn declared(instance: &str, git: &str) -> (InstanceId, Declared) {
    let id = id(instance);
    let spec = InstanceSpec {
        app_id: AppId::compose(&id, git, "94232c5b").unwrap(),
        app: Arc::new(AppSpec {
            git_sha: git.to_owned(),
            ..AppSpec::default()
        }),
        run: Arc::new(RunSettings::default()),
        instances: 1,
        desired_state: DesiredState::Start,
        force_bounce: None,
        bounce: BounceSpec::default(),
        replication_threshold: 50,
        team: None,
        monitoring: Monitoring::default(),
        autoscaling: None,
    };
    (id, Declared::Spec(Box::new(spec)))
}

fn problem(text: &str) -> Problem {
    Problem {
        file: "a/marathon-demo.yaml".to_owned(),
        line: Some(3),
        column: None,
        field: "main.mem".to_owned(),
        message: text.to_owned(),
        severity: Severity::Error,
        rule: Rule::Type,
    }
}

fn reading(instances: &[(&str, &str)]) -> Reading {
    let instances = instances
        .iter()
        .map(|(id, git)| declared(id, git))
        .collect();
    Reading {
        instances,
        ..Reading::default()
    }
}

const PATIENCE_MS: u64 = 60_000;
/// How many instances may bounce at once by a change that touches many.
const AT_ONCE: usize = 2;

struct World {
    state: ClusterState,
    index: u64,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            state: ClusterState::new(),
            index: 0,
            now: Timestamp(1_000_000),
        };
        let name = "demo".parse().unwrap();
        world.apply(Command::Init(Init {
            cluster_id: "c".to_owned(),
            name,
        }));
        world
    }

    fn apply(&mut self, command: Command) -> Outcome {
        self.index += 1;
        let at = self.now;
        let envelope = Envelope {
            request_id: None,
            at,
            by: Actor::claimed("test"),
            command,
        };
        self.state.apply(self.index, &envelope)
    }

    fn removing(&self) -> Removing {
        Removing {
            leadership: 3,
            now: self.now,
            patience_ms: PATIENCE_MS,
            guard: RemovalGuard::default(),
        }
    }

    /// Reads the same again and again until the patience is over.
    fn outwait(&mut self, reading: &Reading) {
        for _ in 0..PATIENCE_MS / 5_000 {
            self.now = self.now.after_ms(5_000);
            assert!(self.state.instances().all(|(_, one)| one.declared));
            self.follow(reading);
        }
    }

    /// Applies what the reading leads to; the reading then leads to nothing more.
    fn follow(&mut self, reading: &Reading) -> usize {
        let commands = changes(&self.state, reading, &self.removing(), AT_ONCE);
        let count = commands.len();
        for command in commands {
            assert!(self.apply(command).is_ok());
        }
        let more = changes(&self.state, reading, &self.removing(), AT_ONCE);
        assert_eq!(more, [], "it does not settle");
        count
    }
}

#[test]
fn a_reading_is_followed_once() {
    let mut world = World::new();
    assert_eq!(
        world.follow(&reading(&[("a.main", "aaaaaaaa"), ("b.main", "bbbbbbbb")])),
        2
    );
    assert_eq!(
        world.follow(&reading(&[("a.main", "cccccccc"), ("b.main", "bbbbbbbb")])),
        1
    );
    assert_eq!(
        world
            .state
            .instance(&id("a.main"))
            .unwrap()
            .spec
            .app
            .git_sha,
        "cccccccc"
    );
    let without = reading(&[("b.main", "bbbbbbbb")]);
    assert_eq!(world.follow(&without), 1, "it is missed");
    assert_eq!(world.follow(&without), 0, "and waited for");
    world.outwait(&without);
    let a = world.state.instance(&id("a.main"));
    assert!(!a.is_some_and(|a| a.declared));
}

#[test]
fn what_comes_back_in_time_is_untouched_and_is_waited_for_anew() {
    let mut world = World::new();
    let both = reading(&[("a.main", "aaaaaaaa"), ("b.main", "bbbbbbbb")]);
    world.follow(&both);
    let before = world.state.instance(&id("a.main")).cloned();
    let without = reading(&[("b.main", "bbbbbbbb")]);
    for _ in 0..3 {
        world.follow(&without);
        world.now = world.now.after_ms(PATIENCE_MS - 1);
        assert!(is_due(&world.state, &world.removing()), "time has passed");
        world.follow(&without);
        assert_eq!(world.follow(&both), 1, "it is back");
        assert_eq!(world.state.instance(&id("a.main")).cloned(), before);
        assert!(!is_due(&world.state, &world.removing()));
    }
}

#[test]
fn what_cannot_be_read_stays_as_it_was() {
    let mut world = World::new();
    world.follow(&reading(&[
        ("a.main", "aaaaaaaa"),
        ("a.web", "aaaaaaaa"),
        ("b.main", "bbbbbbbb"),
    ]));
    let before = world.state.instance(&id("a.main")).cloned();

    let mut broken = reading(&[("b.main", "cccccccc")]);
    broken.incomplete.insert("a".parse().unwrap());
    broken
        .problems
        .insert("a".parse().unwrap(), vec![problem("not YAML")]);
    assert_eq!(world.follow(&broken), 2, "b moves on and a's fault is told");
    assert_eq!(world.state.instance(&id("a.main")).cloned(), before);
    assert_eq!(world.state.problems_of(&id("a.web")).count(), 1);

    let mut one_bad = reading(&[
        ("a.main", "aaaaaaaa"),
        ("a.web", "aaaaaaaa"),
        ("b.main", "cccccccc"),
    ]);
    let web = one_bad.instances.get_mut(&id("a.web")).unwrap();
    *web = Declared::Broken {
        problems: vec![problem("must be more than 32")],
    };
    assert_eq!(
        world.follow(&one_bad),
        2,
        "the file's fault goes, the instance's comes"
    );
    assert!(world.state.instance(&id("a.web")).unwrap().declared);
    assert_eq!(world.state.problems_of(&id("a.main")).count(), 0);
}

#[test]
fn an_emptied_directory_removes_nothing() {
    let mut world = World::new();
    world.follow(&reading(&[("a.main", "aaaaaaaa"), ("b.main", "bbbbbbbb")]));
    let nothing = Reading::default();
    world.follow(&nothing);
    let held = world.state.held_back().copied();
    assert_eq!(held.map(|held| (held.removed, held.total)), Some((2, 2)));
    world.outwait(&nothing);
    world.now = world.now.after_ms(10 * PATIENCE_MS);
    world.follow(&nothing);
    assert!(world.state.instances().all(|(_, one)| one.declared));
    assert!(
        !is_due(&world.state, &world.removing()),
        "nothing but a change helps"
    );
    assert_eq!(overdue(&world.state, &world.removing()).len(), 2);
}

#[test]
fn what_was_deployed_and_is_no_more_goes_and_what_never_was_is_only_said() {
    let mut world = World::new();
    world.follow(&reading(&[("a.main", "aaaaaaaa"), ("b.main", "bbbbbbbb")]));
    let mut undeployed = reading(&[("a.main", "aaaaaaaa")]);
    for never in ["b.main", "c.main"] {
        let problem = problem("nothing is deployed");
        let declared = Declared::NotDeployed { problem };
        undeployed.instances.insert(id(never), declared);
    }
    let removed = removals(&world.state, &undeployed);
    assert_eq!(
        removed,
        BTreeMap::from([(id("b.main"), Removal::Undeployed)])
    );
    assert_eq!(
        world.follow(&undeployed),
        3,
        "one is missed, both are told of"
    );
    world.outwait(&undeployed);
    assert!(!world.state.instance(&id("b.main")).unwrap().declared);
    assert!(world.state.instance(&id("c.main")).is_none());
    assert!(world.state.instance(&id("a.main")).unwrap().declared);

    assert_eq!(
        world.follow(&reading(&[("a.main", "aaaaaaaa"), ("b.main", "bbbbbbbb")])),
        3
    );
    assert!(world.state.instance(&id("b.main")).unwrap().declared);
}

#[test]
fn deployments_that_cannot_be_read_remove_nothing() {
    let mut world = World::new();
    world.follow(&reading(&[("a.main", "aaaaaaaa"), ("b.main", "bbbbbbbb")]));
    let mut unread = reading(&[("b.main", "bbbbbbbb")]);
    let broken = Declared::Broken {
        problems: Vec::new(),
    };
    unread.instances.insert(id("a.main"), broken);
    assert_eq!(world.follow(&unread), 0);
}

/// The same instances, with another hash of their configuration.
fn reconfigured(instances: &[(&str, &str)], config: &str) -> Reading {
    let mut changed = reading(instances);
    for (id, declared) in &mut changed.instances {
        if let Declared::Spec(spec) = declared {
            let git = spec.app.git_sha.clone();
            spec.app_id = AppId::compose(id, &git, config).unwrap();
        }
    }
    changed
}

fn extents(world: &World, reading: &Reading) -> Vec<Extent> {
    let commands = changes(&world.state, reading, &world.removing(), AT_ONCE);
    let extents = commands.iter().filter_map(|command| match command {
        Command::SetInstance(set) => Some(set.extent),
        _ => None,
    });
    extents.collect()
}

#[test]
fn a_change_says_whether_it_is_one_of_many() {
    let mut world = World::new();
    let all = [
        ("a.main", "aaaaaaaa"),
        ("b.main", "bbbbbbbb"),
        ("c.main", "cccccccc"),
    ];
    world.follow(&reading(&all));
    let many = reconfigured(&all, "00000002");
    assert_eq!(extents(&world, &many), [Extent::Many; 3]);
    let mut few = reading(&all);
    few.instances
        .extend(reconfigured(&all[..2], "00000002").instances);
    assert_eq!(
        extents(&world, &few),
        [Extent::Own; 2],
        "so many may at once"
    );
    let deploys = all.map(|(id, _)| (id, "dddddddd"));
    assert_eq!(extents(&world, &reading(&deploys)), [Extent::Own; 3]);
    // By the settings of the cluster alone, however few they are.
    let mut by_settings = few;
    let known = world
        .state
        .instance(&id("a.main"))
        .unwrap()
        .spec
        .app_id
        .clone();
    by_settings.under_before.insert(id("a.main"), known);
    assert_eq!(
        extents(&world, &by_settings),
        [Extent::Settings, Extent::Own]
    );
    world.follow(&many);
    assert_eq!(world.state.paced().len(), 3);
    let desired = world
        .state
        .instance(&id("a.main"))
        .unwrap()
        .desired_app()
        .clone();
    assert!(
        desired.to_string().ends_with("config94232c5b"),
        "it runs on: {desired}"
    );
}
