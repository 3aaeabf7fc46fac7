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

struct World {
    state: ClusterState,
    index: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            state: ClusterState::new(),
            index: 0,
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
        let at = Timestamp(self.index);
        let envelope = Envelope {
            request_id: None,
            at,
            by: "test".to_owned(),
            command,
        };
        self.state.apply(self.index, &envelope)
    }

    /// Applies what the reading leads to; the reading then leads to nothing more.
    fn follow(&mut self, reading: &Reading) -> usize {
        let commands = changes(&self.state, reading);
        let count = commands.len();
        for command in commands {
            assert!(self.apply(command).is_ok());
        }
        assert_eq!(changes(&self.state, reading), [], "it does not settle");
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
    assert_eq!(world.follow(&reading(&[("b.main", "bbbbbbbb")])), 1);
    assert!(
        !world
            .state
            .instance(&id("a.main"))
            .is_some_and(|a| a.declared)
    );
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
    let commands = changes(&world.state, &Reading::default());
    let [remove] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert!(!world.apply(remove.clone()).is_ok());
    assert!(
        world
            .state
            .instances()
            .all(|(_, instance)| instance.declared)
    );
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
    assert_eq!(world.follow(&undeployed), 3, "one goes, both are told of");
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
