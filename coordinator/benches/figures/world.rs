//! Clusters of a given size, and agents that report everything as running.

use std::collections::BTreeMap;

use paasta_common::{
    app::{Constraint, Operator, Resources},
    host::HostInfo,
    id::InstanceId,
    report::{Health, Phase, ReplicaReport},
    spec::{BounceMethod, InstanceSpec},
    time::Timestamp,
};
use paasta_coordinator_core::{
    plan::{
        Plan,
        observed::{HostObserved, Observed, PlanSettings},
        plan,
    },
    state::command::{Command, RegisterHost},
};

#[path = "../../core/tests/world/build.rs"]
#[allow(dead_code, reason = "the tests of the core use the rest")]
mod build;

pub(crate) use build::{Cluster, set, spec};

/// What is asked of the planner.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) hosts: usize,
    pub(crate) instances: usize,
    pub(crate) replicas_each: u32,
    /// Whether each instance wants only hosts of one kind, spread over three locations.
    pub(crate) constrained: bool,
}

/// A host with room for everything.
pub(crate) fn host(number: usize) -> HostInfo {
    let location = format!("z{}", number % 3);
    let disk = if number.is_multiple_of(10) {
        "hdd"
    } else {
        "ssd"
    };
    HostInfo {
        id: format!("host-{number:05}").parse().expect("a host's name"),
        address: format!(
            "10.{}.{}.{}",
            number >> 16,
            (number >> 8) & 255,
            number & 255
        ),
        pool: "default".to_owned(),
        attributes: BTreeMap::from([
            ("location".to_owned(), location),
            ("disk".to_owned(), disk.to_owned()),
        ]),
        capacity: Resources {
            cpus_milli: 1_000_000,
            mem_mb: 4_000_000,
            disk_mb: 0,
            gpus: 0,
        },
        agent_version: "0.1.0".to_owned(),
        machine: None,
    }
}

/// The instance with this number.
pub(crate) fn instance(number: usize) -> InstanceId {
    format!("service-{number:05}.main")
        .parse()
        .expect("an instance's name")
}

/// What that instance should be, in some version.
pub(crate) fn wanted(shape: Shape, number: usize, version: u32) -> InstanceSpec {
    let id = instance(number);
    let spec = spec(&id, version, shape.replicas_each, BounceMethod::Crossover);
    build::with_app(spec, |app| {
        app.resources.cpus_milli = 100;
        app.resources.mem_mb = 64;
        if shape.constrained {
            let constraint = |attribute: &str, operator, value: Option<&str>| Constraint {
                attribute: attribute.to_owned(),
                operator,
                value: value.map(str::to_owned),
            };
            app.constraints = vec![
                constraint("disk", Operator::Like, Some("ssd")),
                constraint("location", Operator::GroupBy, Some("3")),
            ];
        }
    })
}

/// The hosts are registered and the instances asked for; nothing is placed.
pub(crate) fn declared(shape: Shape) -> Cluster {
    let mut cluster = Cluster::new(0);
    for number in 0..shape.hosts {
        let info = host(number);
        cluster.must(Command::RegisterHost(RegisterHost { info }));
    }
    for number in 0..shape.instances {
        cluster.must(set(&instance(number), wanted(shape, number, 1)));
    }
    cluster
}

/// Everything that was placed runs and is healthy, and every host has said so.
pub(crate) fn all_well(cluster: &Cluster) -> Observed {
    let mut observed = Observed::new(cluster.now, PlanSettings::default());
    for (id, host) in cluster.state.hosts() {
        let mut heard = HostObserved::new(cluster.now, &observed.settings);
        heard.complete_report = true;
        heard.accepted_generation = host.generation;
        for (replica, record) in cluster.state.replicas_on(id) {
            let report = ReplicaReport {
                id: replica,
                app: record.app.clone(),
                phase: Phase::Running,
                health: Health::Healthy,
                started_at: Some(Timestamp(1)),
                host_port: Some(31_000),
                container: Some("0123456789ab".to_owned()),
                run: 1,
                failures: 0,
                next_try_at: None,
                drained: false,
                in_load_balancer: Some(true),
                message: String::new(),
                image: Default::default(),
                last_end: None,
                troubles: Default::default(),
                other_troubles: 0,
            };
            heard.replicas.insert(replica, report);
        }
        observed.hosts.insert(id.clone(), heard);
    }
    observed
}

/// How many replicas a plan places.
pub(crate) fn placements(plan: &Plan) -> usize {
    let places = plan.commands.iter().map(|command| match command {
        Command::Place(place) => place.replicas.len(),
        _ => 0,
    });
    places.sum()
}

/// Plans and applies until everything is placed.
pub(crate) fn fill(cluster: &mut Cluster) {
    loop {
        let observed = all_well(cluster);
        let planned = plan(&cluster.state, &observed, cluster.now);
        if placements(&planned) == 0 {
            return;
        }
        for command in planned.commands {
            cluster.must(command);
        }
    }
}
