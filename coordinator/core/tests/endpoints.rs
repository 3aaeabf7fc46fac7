//! What subscribers get is what is so, however it came to be; and what an election leaves unknown
//! stays as it was.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use paasta_common::{
    assignment::Want,
    endpoints::{
        BackendReport, BackendState, Endpoint, EndpointState, EndpointUpdate, EndpointVersion,
        Extent, OptionsUpdate, ProxyReport, Received,
    },
    id::{HostId, InstanceId, ReplicaId},
    report::{Health, ImageReport, Phase, ReplicaReport},
    smartstack::{Namespace, NamespaceOptions},
    spec::{BounceMethod, InstanceSpec},
    time::Timestamp,
};
use proptest::prelude::*;

use paasta_coordinator_core::{
    endpoints::{
        CHANGES_MAX, Endpoints, Heard, Sight, Subscriber,
        locations::locations,
        proxies::{ProxyObserved, Standing},
    },
    state::command::{Command, HostBack, HostLost, Place, PlaceReplica, SetWant},
};
use world::build::{Cluster, app_id, host_id, spec};

type Reports = BTreeMap<HostId, BTreeMap<ReplicaId, ReplicaReport>>;

fn name() -> Namespace {
    "hello.main".parse().unwrap()
}

fn options(advertise: &[&str]) -> Arc<NamespaceOptions> {
    Arc::new(NamespaceOptions {
        proxy_port: Some(20_001),
        advertise: advertise.iter().map(|one| one.parse().unwrap()).collect(),
        ..NamespaceOptions::default()
    })
}

fn instance(number: usize) -> InstanceId {
    ["hello.main", "hello.canary"][number % 2].parse().unwrap()
}

fn announced(id: &InstanceId, options: &Arc<NamespaceOptions>) -> InstanceSpec {
    InstanceSpec {
        namespaces: BTreeMap::from([(name(), options.clone())]),
        ..spec(id, 1, 3, BounceMethod::Crossover)
    }
}

fn report(id: ReplicaId, instance: &InstanceId, phase: Phase, health: Health) -> ReplicaReport {
    ReplicaReport {
        id,
        app: app_id(instance, 1),
        phase,
        health,
        started_at: Some(Timestamp(1)),
        host_port: Some(31_000 + u16::try_from(id.0).unwrap()),
        container: None,
        run: 1,
        failures: 0,
        next_try_at: None,
        drained: false,
        in_load_balancer: None,
        message: String::new(),
        image: ImageReport::default(),
        last_end: None,
        troubles: Default::default(),
        other_troubles: 0,
    }
}

/// A cluster of four hosts in two regions, with two instances in one namespace.
struct Scene {
    cluster: Cluster,
    reports: Reports,
    endpoints: Endpoints,
}

impl Scene {
    fn new() -> Self {
        let mut cluster = Cluster::new(4);
        for number in 0..2 {
            let id = instance(number);
            cluster.set(&id, announced(&id, &options(&["region"])));
        }
        let reports = (1..=4).map(|number| (host_id(number), BTreeMap::new()));
        Self {
            cluster,
            reports: reports.collect(),
            endpoints: Endpoints::default(),
        }
    }

    fn place(&mut self, id: u64, of: usize, host: usize) {
        let placed = PlaceReplica {
            id: ReplicaId(id),
            instance: instance(of),
            app: app_id(&instance(of), 1),
            host: host_id(host),
            failures: 0,
            failed_on: None,
        };
        self.cluster.apply(Command::Place(Place {
            replicas: vec![placed],
        }));
    }

    fn says(&mut self, id: u64, phase: Phase, health: Health) {
        let id = ReplicaId(id);
        let Some(replica) = self.cluster.state.replica(id) else {
            return;
        };
        let said = report(id, &replica.instance, phase, health);
        self.cluster.touched.replica(id);
        let host = self.reports.get_mut(&replica.host);
        host.map(|reports| reports.insert(id, said));
    }

    fn want(&mut self, id: u64, want: Want) {
        let id = ReplicaId(id);
        let Some(replica) = self.cluster.state.replica(id) else {
            return;
        };
        let instance = replica.instance.clone();
        self.cluster.apply(Command::SetWant(SetWant {
            instance,
            want,
            replicas: vec![id],
            reason: "a test".to_owned(),
        }));
    }

    fn update(&mut self, only: Option<&BTreeSet<InstanceId>>) -> bool {
        let Self {
            cluster,
            reports,
            endpoints,
        } = self;
        let heard = |host: &HostId| {
            Some(Heard {
                complete: true,
                replicas: reports.get(host)?,
                proxy: None,
            })
        };
        endpoints.update(&cluster.state, heard, only, cluster.now)
    }

    fn touched(&mut self) -> Option<BTreeSet<InstanceId>> {
        let touched = std::mem::take(&mut self.cluster.touched);
        let scope = touched.scope(&self.cluster.state, &Default::default());
        scope.map(|scope| scope.instances)
    }
}

/// What a host has that applies every message as it is.
#[derive(Debug, Clone, Default, PartialEq)]
struct Mirror {
    namespaces: BTreeMap<Namespace, (Arc<NamespaceOptions>, BTreeMap<ReplicaId, Endpoint>)>,
}

impl Mirror {
    fn apply(&mut self, update: EndpointUpdate) {
        match &update.extent {
            Extent::Part { number: 0, .. } => self.namespaces.clear(),
            Extent::Part { .. } => {}
            Extent::Changes { removed } => {
                self.namespaces.retain(|name, _| !removed.contains(name));
            }
        }
        for (name, update) in update.namespaces {
            let (options, endpoints) = self.namespaces.entry(name).or_default();
            if let OptionsUpdate::Given(given) = update.options {
                *options = given;
            }
            update
                .removed
                .iter()
                .for_each(|id| drop(endpoints.remove(id)));
            endpoints.extend(update.endpoints);
        }
    }

    fn catch_up(&mut self, subscriber: &mut Subscriber, scene: &Scene, host: usize) {
        let info = &scene.cluster.state.host(&host_id(host)).unwrap().info;
        while subscriber.is_behind(&scene.endpoints) {
            let next = subscriber.next(&scene.endpoints, info);
            next.into_iter().for_each(|update| self.apply(update));
        }
    }

    fn whole(scene: &Scene, host: usize) -> Self {
        let mut whole = Self::default();
        whole.catch_up(&mut Subscriber::new(1, 1), scene, host);
        whole
    }
}

fn act(scene: &mut Scene, (kind, id, at): (u8, u64, usize)) {
    let health = [Health::Healthy, Health::Unhealthy, Health::Unknown][at % 3];
    match kind {
        0 => scene.place(id, at, at % 4 + 1),
        1 => scene.says(id, Phase::Running, health),
        2 => scene.says(id, Phase::BackingOff, health),
        3 => scene.want(id, [Want::Run, Want::Drain, Want::Stop][at % 3]),
        4 => {
            let host = host_id(at % 4 + 1);
            scene.cluster.apply(Command::HostLost(HostLost { host }));
        }
        5 => {
            let host = host_id(at % 4 + 1);
            scene.cluster.apply(Command::HostBack(HostBack { host }));
        }
        _ => {
            let advertise = [&["region"][..], &["region", "pool"], &["pool"]][at % 3];
            let id = instance(at);
            scene.cluster.set(&id, announced(&id, &options(advertise)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn changes_lead_to_the_complete_set(
        acts in prop::collection::vec((0_u8..7, 1_u64..12, 0_usize..12), 1..60),
        looks in prop::collection::vec(any::<bool>(), 60),
    ) {
        let mut scene = Scene::new();
        let mut hosts: Vec<(Subscriber, Mirror)> =
            (0..4).map(|_| (Subscriber::new(1, 1), Mirror::default())).collect();
        for (act_of, looks) in acts.into_iter().zip(looks) {
            act(&mut scene, act_of);
            let only = scene.touched();
            scene.update(only.as_ref());
            if looks {
                let (subscriber, mirror) = &mut hosts[0];
                mirror.catch_up(subscriber, &scene, 1);
            }
        }
        for (at, (subscriber, mirror)) in hosts.iter_mut().enumerate() {
            mirror.catch_up(subscriber, &scene, at + 1);
            prop_assert_eq!(&*mirror, &Mirror::whole(&scene, at + 1));
        }
        // Nothing was left out by looking only at what was touched.
        prop_assert!(!scene.update(None));
    }
}

fn states(scene: &Scene, host: usize) -> Vec<(u64, EndpointState, bool)> {
    let whole = Mirror::whole(scene, host);
    let all = whole
        .namespaces
        .values()
        .flat_map(|(_, endpoints)| endpoints);
    all.map(|(id, one)| (id.0, one.state, one.backup)).collect()
}

#[test]
fn a_replica_is_an_endpoint_once_it_passed_its_check_and_until_it_is_to_stop() {
    let mut scene = Scene::new();
    scene.place(1, 0, 1);
    let rows = [
        (Phase::Starting, Health::Unknown, None),
        (Phase::Running, Health::Unknown, None),
        (Phase::Running, Health::Healthy, Some(EndpointState::Up)),
        (Phase::Running, Health::Unhealthy, Some(EndpointState::Down)),
        (Phase::BackingOff, Health::Unknown, None),
        (Phase::Running, Health::Unchecked, Some(EndpointState::Up)),
    ];
    for (phase, health, expected) in rows {
        scene.says(1, phase, health);
        scene.update(None);
        let found = states(&scene, 1).first().map(|one| one.1);
        assert_eq!(found, expected, "{phase:?} {health:?}");
    }
    scene.want(1, Want::Drain);
    scene.update(None);
    assert_eq!(states(&scene, 1), [(1, EndpointState::Drain, false)]);
    scene.want(1, Want::Run);
    scene.update(None);
    assert_eq!(states(&scene, 1), [(1, EndpointState::Up, false)]);
    scene.want(1, Want::Stop);
    scene.update(None);
    assert_eq!(states(&scene, 1), []);
}

#[test]
fn a_host_sees_its_own_location_and_wider_ones_as_backups() {
    let mut scene = Scene::new();
    for (id, host) in [(1, 1), (2, 2)] {
        scene.place(id, 0, host);
        scene.says(id, Phase::Running, Health::Healthy);
    }
    scene.update(None);
    assert_eq!(states(&scene, 1), [(1, EndpointState::Up, false)]);
    assert_eq!(states(&scene, 3), [(1, EndpointState::Up, false)]);
    assert_eq!(states(&scene, 4), [(2, EndpointState::Up, false)]);
    let id = instance(0);
    let wider = options(&["region", "pool"]);
    scene.cluster.set(&id, announced(&id, &wider));
    scene.update(None);
    let both = [(1, EndpointState::Up, false), (2, EndpointState::Up, true)];
    assert_eq!(states(&scene, 1), both);
    let mut extra = NamespaceOptions::clone(&options(&["region"]));
    let to = BTreeSet::from(["region:east".parse().unwrap()]);
    extra.extra_advertise = BTreeMap::from([("region:west".parse().unwrap(), to)]);
    scene.cluster.set(&id, announced(&id, &Arc::new(extra)));
    scene.update(None);
    let both = [(1, EndpointState::Up, false), (2, EndpointState::Up, false)];
    assert_eq!(states(&scene, 1), both);
}

#[test]
fn a_new_leader_makes_no_set_smaller_before_the_hosts_have_reported() {
    let mut scene = Scene::new();
    for id in 1..=2 {
        scene.place(id, 0, 1);
        scene.says(id, Phase::Running, Health::Healthy);
    }
    scene.update(None);
    let info = scene.cluster.state.host(&host_id(3)).unwrap().info.clone();
    let mut received = Received::default();
    let sent = Subscriber::new(1, 1).next(&scene.endpoints, &info);
    received.take(sent.unwrap()).unwrap();
    let before = received.set().unwrap().namespaces.clone();
    scene.want(2, Want::Drain);
    // The next leader has heard from no host.
    let mut next = Endpoints::default();
    next.update(&scene.cluster.state, |_| None, None, scene.cluster.now);
    received.begin_session();
    let sent = Subscriber::new(1, 2).next(&next, &info);
    received.take(sent.unwrap()).unwrap();
    let after = &received.set().unwrap().namespaces;
    let of = |set: &BTreeMap<_, Arc<paasta_common::endpoints::NamespaceSet>>, id| {
        set[&name()].endpoints[&ReplicaId(id)].clone()
    };
    assert_eq!(of(after, 1), of(&before, 1));
    assert_eq!(of(after, 2).state, EndpointState::Drain);
    assert_eq!(of(after, 2).port, of(&before, 2).port);
}

#[test]
fn a_subscriber_that_is_too_far_behind_gets_everything_again() {
    let mut scene = Scene::new();
    scene.place(1, 0, 1);
    scene.says(1, Phase::Running, Health::Healthy);
    scene.update(None);
    let info = scene.cluster.state.host(&host_id(1)).unwrap().info.clone();
    let mut subscriber = Subscriber::new(1, 1);
    subscriber.next(&scene.endpoints, &info).unwrap();
    for turn in 0..CHANGES_MAX + 10 {
        let health = [Health::Unhealthy, Health::Healthy][turn % 2];
        scene.says(1, Phase::Running, health);
        assert!(scene.update(None));
    }
    let again = subscriber.next(&scene.endpoints, &info).unwrap();
    assert!(matches!(
        again.extent,
        Extent::Part {
            number: 0,
            more: false
        }
    ));
}

#[test]
fn a_drain_is_over_when_every_load_balancer_answered_with_nothing_left() {
    let mut scene = Scene::new();
    scene.place(1, 0, 1);
    scene.says(1, Phase::Running, Health::Healthy);
    scene.update(None);
    scene.want(1, Want::Drain);
    scene.update(None);
    let number = scene.endpoints.number();
    let reports = BTreeMap::new();
    let info = |host| {
        scene
            .cluster
            .state
            .host(&host_id(host))
            .unwrap()
            .info
            .clone()
    };
    let infos = [info(1), info(3), info(2)];
    let look = |proxies: [Option<&ProxyObserved>; 3]| {
        let heard = infos.iter().zip(proxies).map(|(info, proxy)| {
            let heard = Heard {
                complete: true,
                replicas: &reports,
                proxy,
            };
            (info, Some(heard))
        });
        Standing::of(&scene.endpoints, &instance(0), ReplicaId(1), heard).unwrap()
    };
    let mut proxy = ProxyObserved {
        sent: number,
        looked: number,
        ..ProxyObserved::default()
    };
    // The third host is in another region: it does not have it.
    let standing = look([Some(&proxy), None, Some(&proxy)]);
    assert_eq!((standing.busy, standing.hosts), (1, vec![host_id(1)]));
    let backend = BackendReport {
        state: BackendState::Maint,
        sessions: 3,
    };
    let report = |term, backend: Option<BackendReport>| ProxyReport {
        version: Some(EndpointVersion {
            epoch: 1,
            term,
            number,
        }),
        complete: true,
        backends: backend.map(|one| (ReplicaId(1), one)).into_iter().collect(),
        ..ProxyReport::default()
    };
    proxy.take(report(6, None), (1, 7));
    assert_eq!(
        look([Some(&proxy), None, None]).busy,
        1,
        "of another leader"
    );
    proxy.take(report(7, Some(backend)), (1, 7));
    let standing = look([Some(&proxy), None, None]);
    assert_eq!((standing.busy, standing.sessions), (1, 3));
    proxy.take(report(7, None), (1, 7));
    assert_eq!(look([Some(&proxy), None, None]).busy, 0);
}

#[test]
fn hosts_without_the_attribute_are_one_location() {
    let mut scene = Scene::new();
    scene.place(1, 0, 1);
    scene.says(1, Phase::Running, Health::Healthy);
    scene.update(None);
    let (_, announced, entry) = scene
        .endpoints
        .named(&instance(0), ReplicaId(1))
        .next()
        .unwrap();
    let options = announced.options(&name()).unwrap();
    let mut client = scene.cluster.state.host(&host_id(1)).unwrap().info.clone();
    assert_eq!(entry.seen_from(&client, options), Some(Sight::Near));
    client.attributes.clear();
    assert_eq!(entry.seen_from(&client, options), None);
}

#[test]
fn a_location_counts_what_half_of_its_load_balancers_have_in_service() {
    let mut scene = Scene::new();
    for (id, host) in [(1, 1), (2, 1), (3, 3)] {
        scene.place(id, 0, host);
        scene.says(id, Phase::Running, Health::Healthy);
    }
    scene.want(3, Want::Drain);
    scene.update(None);
    let number = scene.endpoints.number();
    let answered = ProxyObserved {
        acknowledged: number,
        sent: number,
        looked: number,
        ..ProxyObserved::default()
    };
    let mut other = answered.clone();
    let down = BackendReport {
        state: BackendState::Down,
        sessions: 0,
    };
    other.backends = BTreeMap::from([(ReplicaId(2), down)]);
    let mut first = other.clone();
    let info = |host| {
        scene
            .cluster
            .state
            .host(&host_id(host))
            .unwrap()
            .info
            .clone()
    };
    let (east, west) = ([info(1), info(3)], info(2));
    let count = |first: &ProxyObserved| {
        let balancers = [(&east[0], first), (&east[1], &other), (&west, &answered)];
        locations(&scene.endpoints, &name(), &balancers)
    };
    let counts = count(&first)["east"];
    assert_eq!(
        (counts.balancers, counts.up, counts.down, counts.maint),
        (2, 1, 1, 1)
    );
    first.backends.clear();
    assert_eq!(count(&first)["east"].up, 2, "one of two has it");
    let west = count(&first)["west"];
    assert_eq!((west.balancers, west.up), (1, 0), "another region");
    first.acknowledged = 0;
    assert_eq!(count(&first)["east"].unanswered, 0, "one of two answered");
}
