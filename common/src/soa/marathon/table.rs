//! The fields of an instance: PaaSTA's of its last release with Marathon, then our own.

use super::{
    forms::{
        AUTOSCALING, DOCKER_ARGS, DRAIN, ENVIRONMENT, FRACTION, HAPPINESS, INSTANCE_NAME, NETWORK,
        REGISTRATION, SECONDS, SECONDS_MAX, SECURITY, ULIMITS, URI, VOLUME,
    },
    placement::{CONSTRAINT, LOCATION, WHITELIST},
};
use crate::soa::{
    monitoring::MONITORING,
    table::{
        Default::{Number as Num, Said, Text as Word, Whole as Int},
        Entries, Field, Kind, Range, Table,
    },
};

/// The most replicas of one instance.
const INSTANCES_MAX: f64 = 100_000.0;
/// The most cores, MB or GPUs that one replica may ask for; no host is larger.
const AMOUNT_MAX: f64 = 100_000_000.0;

static CONSTRAINTS: Kind = Kind::Shape(&CONSTRAINT);
static LOCATIONS: Kind = Kind::Shape(&LOCATION);
static VOLUMES: Kind = Kind::Map(&VOLUME);
static REGISTRATIONS: Kind = Kind::Pattern(&REGISTRATION);
const SECONDS_FROM_1: Kind = Kind::Number(Range::within(1.0, SECONDS_MAX));
const COUNT: Kind = Kind::Whole(Range::within(0.0, INSTANCES_MAX));

/// An instance that runs for ever: an entry of `marathon-CLUSTER.yaml`.
pub static INSTANCE: Table = Table::strict("one instance", FIELDS).filled();

/// An instance that is run by hand: an entry of `adhoc-CLUSTER.yaml`.
pub static ADHOC: Table = Table {
    only: Some(&[
        "args",
        "branch",
        "cap_add",
        "cfs_period_us",
        "cmd",
        "constraints",
        "cpu_burst_add",
        "cpu_burst_pct",
        "cpus",
        "dependencies_reference",
        "deploy_blacklist",
        "deploy_group",
        "deploy_whitelist",
        "disk",
        "env",
        "extra_constraints",
        "extra_docker_args",
        "extra_volumes",
        "gpus",
        "mem",
        "monitoring",
        "net",
        "pool",
        "role",
        "security",
        "ulimit",
    ]),
    ..Table::strict("one instance that is run by hand", FIELDS).filled()
};

/// The instances of a cluster.
pub static INSTANCES: Entries = Entries {
    about: "the instances of a service in one cluster, by their names; names that begin with _ are \
            templates for YAML's merge keys",
    names: Some(&INSTANCE_NAME),
    templates: true,
    kind: Kind::Map(&INSTANCE),
    filled: false,
};

/// The instances of a cluster that are run by hand.
pub static ADHOCS: Entries = Entries {
    about: "the instances of a service in one cluster that are run by hand",
    kind: Kind::Map(&ADHOC),
    ..INSTANCES
};

const FIELDS: &[Field] = &[
    Field::new(
        "accepted_resource_roles",
        Kind::List(&Kind::Text),
        "Of Mesos; does nothing here.",
    ),
    Field::new(
        "args",
        Kind::List(&Kind::Text),
        "Arguments for the image's entrypoint. Not with cmd.",
    ),
    Field::new(
        "autoscaling",
        Kind::Map(&AUTOSCALING),
        "How an autoscaler decides; there is none yet.",
    ),
    Field::new(
        "backoff_factor",
        Kind::Whole(Range::within(1.0, 1000.0)),
        "By what the delay between two starts of a failing replica grows.",
    )
    .or(Int(2)),
    Field::new(
        "bounce_health_params",
        Kind::Map(&HAPPINESS),
        "When a replica of a new version counts as happy. Given, it replaces the default whole.",
    )
    .or(Said(
        "{check_haproxy: true} with a proxy_port; min_task_uptime of one healthcheck interval",
    )),
    Field::new(
        "bounce_margin_factor",
        FRACTION,
        "The fraction of the instances that crossover keeps happy.",
    )
    .or(Num(1.0)),
    Field::new(
        "bounce_method",
        Kind::Text,
        "The way from one version to the next: crossover, upthendown, brutal or downthenup.",
    )
    .or(Word("crossover")),
    Field::new(
        "bounce_on_deadline",
        Kind::Choice(&["go_on", "hold", "rollback"]),
        "What happens when a bounce makes no progress until its deadline.",
    )
    .or(Word("go_on")),
    Field::new(
        "bounce_priority",
        Kind::Whole(Range::within(-1.0e9, 1.0e9)),
        "Does nothing here: bounces do not wait for each other.",
    )
    .or(Int(0)),
    Field::new(
        "bounce_progress_deadline",
        SECONDS_FROM_1,
        "Seconds without progress until bounce_on_deadline.",
    )
    .or(Said("600")),
    Field::new(
        "bounce_start_deadline",
        SECONDS,
        "Seconds in which the first replica of a new version must be placed; 0 for no deadline.",
    )
    .or(Num(0.0)),
    Field::new(
        "branch",
        Kind::Text,
        "The git branch of the oldest PaaSTA's deployments.",
    )
    .or(Said("CLUSTER.INSTANCE")),
    Field::new(
        "cap_add",
        Kind::List(&Kind::Text),
        "Capabilities given back to the container, of those that Docker gives by default.",
    ),
    Field::new(
        "cfs_period_us",
        Kind::Whole(Range::within(1_000.0, 1_000_000.0)),
        "The period of the CPU quota, in microseconds.",
    )
    .or(Int(100_000)),
    Field::new(
        "cmd",
        Kind::Text,
        "A command for /bin/sh -c, instead of the image's. Not with args.",
    ),
    Field::new(
        "constraints",
        Kind::Set(&CONSTRAINTS),
        "Replaces every computed constraint. The pool stays, unless the list names another by [pool, LIKE, NAME].",
    )
    .or(Said("computed from pool, discover and the deploy lists")),
    Field::new(
        "container_port",
        Kind::Whole(Range::within(1.0, 65_535.0)),
        "The port inside the container.",
    )
    .or(Int(8888)),
    Field::new(
        "cpu_burst_add",
        Kind::Number(Range::within(0.0, 1000.0)),
        "Cores above cpus before the quota holds the container back.",
    )
    .or(Num(1.0)),
    Field::new(
        "cpu_burst_pct",
        Kind::Number(Range::within(0.0, 100_000.0)),
        "The same in percent of cpus, when cpu_burst_add is not given.",
    ),
    Field::new(
        "cpus",
        Kind::Number(Range::above(0.0, AMOUNT_MAX)),
        "Cores.",
    )
    .or(Num(0.25)),
    Field::new(
        "dependencies_reference",
        Kind::Text,
        "A key of dependencies.yaml; needed by outbound_firewall.",
    ),
    Field::new(
        "deploy_blacklist",
        Kind::List(&LOCATIONS),
        "Locations to stay out of, [[attribute, value], ...].",
    ),
    Field::new(
        "deploy_group",
        Kind::Text,
        "Whose deployments it gets; {cluster}, {instance} and {service} are filled in.",
    )
    .or(Said("CLUSTER.INSTANCE")),
    Field::new(
        "deploy_whitelist",
        Kind::Shape(&WHITELIST),
        "The only locations to run in, [attribute, [value, ...]].",
    )
    .or_null(),
    Field::new(
        "disk",
        Kind::Number(Range::above(0.0, AMOUNT_MAX)),
        "MB of disk; the container ends when its writable layer and its sandbox hold more.",
    )
    .or(Num(1024.0)),
    Field::new(
        "drain_method",
        Kind::Choice(&["noop", "hacheck", "http", "test"]),
        "How a replica leaves the load balancer.",
    )
    .or(Said("hacheck with a proxy_port, else noop")),
    Field::new(
        "drain_method_params",
        Kind::Map(&DRAIN),
        "The settings of drain_method.",
    )
    .or(Said("{delay: 60} with a proxy_port")),
    Field::new(
        "drain_timeout",
        SECONDS_FROM_1,
        "Seconds that a drain may take.",
    )
    .or(Said("the delay and 60 s; 600 s by http")),
    Field::new(
        "env",
        Kind::Entries(&ENVIRONMENT),
        "The container's environment; every value is text.",
    ),
    Field::new(
        "extra_constraints",
        Kind::Set(&CONSTRAINTS),
        "Put before the computed constraints.",
    ),
    Field::new(
        "extra_docker_args",
        Kind::Entries(&DOCKER_ARGS),
        "Docker's own arguments that give no rights: add-host, dns, dns-option, dns-search, label, read-only, shm-size, stop-signal, user.",
    ),
    Field::new(
        "extra_volumes",
        Kind::Set(&VOLUMES),
        "Mounts below the directories that the operator allows.",
    ),
    Field::new(
        "gpus",
        Kind::Whole(Range::within(0.0, 1024.0)),
        "Whole GPUs.",
    )
    .or(Int(0)),
    Field::new(
        "healthcheck_cmd",
        Kind::Text,
        "The command of mode cmd, run in the container.",
    ),
    Field::new(
        "healthcheck_grace_period_seconds",
        SECONDS,
        "Seconds after a start in which failures do not count.",
    )
    .or(Num(60.0)),
    Field::new(
        "healthcheck_interval_seconds",
        SECONDS,
        "Seconds between two probes.",
    )
    .or(Num(10.0)),
    Field::new(
        "healthcheck_max_consecutive_failures",
        Kind::Whole(Range::within(0.0, 1_000_000.0)),
        "Failures in a row until the container is replaced; 0 for never.",
    )
    .or(Int(30)),
    Field::new(
        "healthcheck_mode",
        Kind::Choice(&["cmd", "tcp", "http", "https"]),
        "What a probe speaks.",
    )
    .or(Said("smartstack.yaml's; without one there is no check")),
    Field::new(
        "healthcheck_timeout_seconds",
        SECONDS,
        "Seconds until a probe has failed.",
    )
    .or(Num(10.0)),
    Field::new(
        "healthcheck_uri",
        Kind::Pattern(&URI),
        "The path that http and https request.",
    )
    .or(Said("smartstack.yaml's, else /status")),
    Field::new(
        "host_port",
        Kind::Whole(Range::within(0.0, 65_535.0)),
        "A fixed port of the host, and so one replica on each; 0 for any.",
    )
    .or(Int(0)),
    Field::new("instances", COUNT, "How many replicas; 0 for none.").or(Int(1)),
    Field::new(
        "marathon_shard",
        Kind::Any,
        "Of Marathon; does nothing here.",
    ),
    Field::new(
        "max_instances",
        COUNT,
        "The most replicas that an autoscaler starts. Given, it counts instead of instances.",
    ),
    Field::new(
        "max_launch_delay_seconds",
        Kind::Whole(Range::within(1.0, SECONDS_MAX)),
        "The longest delay between two starts, in seconds.",
    )
    .or(Int(300)),
    Field::new(
        "mem",
        Kind::Number(Range::above(32.0, AMOUNT_MAX)),
        "MB of memory; the container ends when it takes more.",
    )
    .or(Num(1024.0)),
    Field::new(
        "min_instances",
        COUNT,
        "The fewest replicas that an autoscaler leaves.",
    )
    .or(Int(1)),
    Field::new(
        "monitoring",
        Kind::Layer(&MONITORING),
        "Overrides monitoring.yaml, key by key.",
    ),
    Field::new(
        "monitoring_blacklist",
        Kind::List(&LOCATIONS),
        "Does nothing here: locations without replicas are not watched.",
    ),
    Field::new(
        "nerve_ns",
        Kind::Text,
        "The older form of registrations: [SERVICE.NERVE_NS].",
    ),
    Field::new(
        "net",
        Kind::Pattern(&NETWORK),
        "bridge, host, none or the name of a Docker network.",
    )
    .or(Word("bridge")),
    Field::new("pool", Kind::Text, "The pool of hosts to run in.").or(Word("default")),
    Field::new(
        "previous_marathon_shards",
        Kind::Any,
        "Of Marathon; does nothing here.",
    ),
    Field::new(
        "registrations",
        Kind::Set(&REGISTRATIONS),
        "Where it is announced, SERVICE.NAMESPACE; the first is the main one.",
    )
    .or(Said("[SERVICE.INSTANCE]")),
    Field::new(
        "replication_threshold",
        Kind::Whole(Range::within(0.0, 100.0)),
        "Percent of the replicas below which an alarm begins.",
    )
    .or(Int(50)),
    Field::new("role", Kind::Text, "Of Mesos; does nothing here.").or_null(),
    Field::new(
        "security",
        Kind::Map(&SECURITY),
        "The firewall of the container; not enforced yet.",
    ),
    Field::new(
        "stop_timeout",
        Kind::Number(Range::within(0.0, 3600.0)),
        "Seconds from SIGTERM to SIGKILL, at most an hour: a bounce waits for it.",
    )
    .or(Num(10.0)),
    Field::new(
        "ulimit",
        Kind::Entries(&ULIMITS),
        "Limits of resources, {NAME: {soft, hard}}.",
    ),
];
