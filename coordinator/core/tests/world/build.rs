//! Small values to build clusters from: used by the tests inside the crate as well.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::{
    app::{AppSpec, Constraint, Operator, Resources},
    host::HostInfo,
    id::{AppId, HostId, InstanceId},
    spec::{
        BounceMethod, BounceSpec, DesiredState, DrainMethod, InstanceSpec, Monitoring, RunSettings,
    },
    time::Timestamp,
};
use paasta_coordinator_core::plan::touched::Touched;
use paasta_coordinator_core::state::{
    ClusterState,
    actor::Actor,
    command::{Command, Envelope, Init, RegisterHost, SetInstance},
    outcome::Outcome,
};

/// A replicated state with its log position and the time of its next command.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) state: ClusterState,
    pub(crate) index: u64,
    pub(crate) now: Timestamp,
    /// What changed since the last plan.
    pub(crate) touched: Touched,
}

impl Cluster {
    /// Initialised, with hosts `h1` to `h<hosts>` of 8 cores and 8 GiB in the default pool; odd
    /// ones in region `east`, even ones in `west`.
    pub(crate) fn new(hosts: usize) -> Self {
        let state = ClusterState::new();
        let mut cluster = Self {
            state,
            index: 0,
            now: Timestamp(1_000_000),
            touched: Touched::everything(),
        };
        cluster.must(Command::Init(Init {
            cluster_id: "0190f1f4-0000-7000-8000-000000000001".to_owned(),
            name: "demo".parse().unwrap(),
        }));
        for number in 1..=hosts {
            cluster.must(register(host(number)));
        }
        cluster
    }

    pub(crate) fn apply(&mut self, command: Command) -> Outcome {
        self.request(None, command)
    }

    pub(crate) fn request(&mut self, request_id: Option<&str>, command: Command) -> Outcome {
        self.index += 1;
        self.touched.command(&command, &self.state);
        let envelope = Envelope {
            request_id: request_id.map(str::to_owned),
            at: self.now,
            by: Actor::claimed("test"),
            command,
        };
        self.state.apply(self.index, &envelope)
    }

    /// Applies a command of which nothing may be refused.
    pub(crate) fn must(&mut self, command: Command) {
        let outcome = self.apply(command.clone());
        assert!(outcome.is_ok(), "{outcome:?} for {command:?}");
    }

    pub(crate) fn set(&mut self, id: &InstanceId, spec: InstanceSpec) {
        self.must(set(id, spec));
    }
}

pub(crate) fn register(info: HostInfo) -> Command {
    Command::RegisterHost(RegisterHost { info })
}

pub(crate) fn set(id: &InstanceId, spec: InstanceSpec) -> Command {
    Command::SetInstance(SetInstance {
        id: id.clone(),
        spec: Box::new(spec),
        cause: Default::default(),
        extent: Default::default(),
    })
}

pub(crate) fn host_id(number: usize) -> HostId {
    format!("h{number}").parse().unwrap()
}

pub(crate) fn host(number: usize) -> HostInfo {
    let region = if number % 2 == 1 { "east" } else { "west" };
    HostInfo {
        id: host_id(number),
        address: format!("10.0.0.{number}"),
        pool: "default".to_owned(),
        attributes: BTreeMap::from([("region".to_owned(), region.to_owned())]),
        capacity: resources(8_000, 8_192),
        agent_version: "0.1.0".to_owned(),
        machine: None,
    }
}

pub(crate) fn resources(cpus_milli: u64, mem_mb: u64) -> Resources {
    Resources {
        cpus_milli,
        mem_mb,
        disk_mb: 0,
        gpus: 0,
    }
}

pub(crate) fn main_instance() -> InstanceId {
    "hello.main".parse().unwrap()
}

/// The id of a version of an instance.
pub(crate) fn app_id(id: &InstanceId, version: u32) -> AppId {
    AppId::compose(id, &format!("{version:08x}"), "00000001").unwrap()
}

/// Version `version` of an instance: one core and a gigabyte for each of `instances` replicas,
/// with a drain that takes time.
pub(crate) fn spec(
    id: &InstanceId,
    version: u32,
    instances: u32,
    method: BounceMethod,
) -> InstanceSpec {
    let app = AppSpec {
        image: format!("registry/services-{}:paasta-{version:08x}", id.service),
        git_sha: format!("{version:08x}"),
        resources: resources(1_000, 1_024),
        container_port: 8888,
        pool: "default".to_owned(),
        ..AppSpec::default()
    };
    let run = RunSettings {
        drain: DrainMethod::hacheck(1_000),
        drain_timeout_ms: 60_000,
        ..RunSettings::default()
    };
    InstanceSpec {
        app_id: app_id(id, version),
        app: Arc::new(app),
        run: Arc::new(run),
        instances,
        desired_state: DesiredState::Start,
        force_bounce: None,
        bounce: BounceSpec {
            method,
            ..BounceSpec::default()
        },
        replication_threshold: 50,
        team: None,
        monitoring: Monitoring::default(),
        autoscaling: None,
    }
}

/// The same with its app changed; the version must differ from any other.
pub(crate) fn with_app(mut spec: InstanceSpec, change: impl FnOnce(&mut AppSpec)) -> InstanceSpec {
    change(Arc::make_mut(&mut spec.app));
    spec
}

pub(crate) fn constraint(attribute: &str, operator: Operator, value: Option<&str>) -> Constraint {
    Constraint {
        attribute: attribute.to_owned(),
        operator,
        value: value.map(str::to_owned),
    }
}
