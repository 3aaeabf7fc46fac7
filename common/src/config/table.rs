//! The keys of the system configuration: the fields of each section stand with its decoder.

use super::{
    COORDINATOR_LISTEN_DEFAULT,
    agent::AGENT,
    alerts::ALERTS,
    authors::{CAPABILITY, CEILINGS, REGISTRY, SHM_MAX_MB},
    coordinator::COORDINATOR,
    deployments::DEPLOYMENTS,
    pools::POOLS,
};
use crate::{
    id::ClusterName,
    soa::{
        marathon::{LOCATION, VOLUME, WHITELIST},
        node::{Node, Value},
        reader::SOA_DIR_DEFAULT,
        table::{
            Default::{Bool, Said, Text as Word, Texts, Whole as Int},
            Entries, Field, Kind, Pattern, Range, Shape, Table, Unknown,
        },
    },
};

/// The whole of it, as in any of its files: they are merged key by key.
pub static SYSTEM: Kind = Kind::Map(&SETTINGS);

/// Its keys.
pub(super) static SETTINGS: Table = Table {
    unknown: Unknown::Warned,
    beside: &[&PAASTA],
    ..Table::strict(
        "the system configuration of paasta, /etc/paasta/*.{yaml,json}; the files are \
             merged key by key",
        &[
            Field::new("agent", Kind::Map(&AGENT), "The settings of paasta-agent.")
                .or(Said("each of its settings has its own"))
                .or_null(),
            Field::new(
                "alerts",
                Kind::Map(&ALERTS),
                "How instances are watched and where the leader sends alerts.",
            )
            .or(Said("each of its settings has its own"))
            .or_null(),
            Field::new(
                "allow_host_network",
                Kind::Bool,
                "Whether services may run in the host's own network, by `net: host`.",
            )
            .or(Bool(false)),
            Field::new(
                "allowed_cap_add",
                Kind::List(&CAPABILITY_NAME),
                "Capabilities that services may ask for by cap_add, beside those that Docker gives \
                 by default.",
            )
            .or(Said("none beside those")),
            Field::new(
                "allowed_extra_volumes",
                Kind::List(&HOST_DIRECTORY),
                "Directories of the hosts that services may mount by extra_volumes.",
            )
            .or(Said("none, and extra_volumes are refused")),
            Field::new(
                "auto_hostname_unique_size",
                Kind::Whole(Range::within(-1.0, 100_000.0)),
                "Instances of at most this many replicas never have two on a host; -1 is off.",
            )
            .or(Int(-1)),
            Field::new("cli", Kind::Map(&CLI), "The settings of the command line.")
                .or(Said("each of its settings has its own"))
                .or_null(),
            Field::new(
                "cluster",
                CLUSTER_NAME,
                "The cluster this machine belongs to.",
            )
            .or(Said("none: programs that need it ask for it")),
            Field::new(
                "clusters",
                Kind::List(&CLUSTER_NAME),
                "All clusters; files of services for any other one are invisible.",
            )
            .or(Said("every name is accepted")),
            Field::new(
                "coordinator",
                Kind::Map(&COORDINATOR),
                "The settings of paasta-coordinator.",
            )
            .or(Said("each of its settings has its own"))
            .or_null(),
            Field::new(
                "deploy_blacklist",
                Kind::List(&PLACE),
                "Locations in which nothing runs.",
            )
            .or(Said("none")),
            Field::new(
                "deploy_whitelist",
                Kind::Shape(&WHITELIST),
                "The only locations in which anything runs.",
            )
            .or(Said("everywhere")),
            Field::new(
                "deployments",
                Kind::Map(&DEPLOYMENTS),
                "How the leader follows the services' git repositories.",
            )
            .or(Said("each of its settings has its own"))
            .or_null(),
            Field::new(
                "docker_registry",
                Kind::Pattern(&REGISTRY),
                "HOST[:PORT] of the registry of all images, with a path where it has one.",
            )
            .or(Said("none, and nothing can run")),
            Field::new(
                "dockercfg_location",
                Kind::Text,
                "Where agents find the registry's credentials, as a file URL.",
            )
            .or(Word("file:///root/.dockercfg")),
            Field::new(
                "expected_slave_attributes",
                Kind::List(&HOST_KIND),
                "The attributes that the hosts are expected to have, a map for each kind of host; \
             replicas are spread evenly over the locations in it.",
            )
            .or(Said("replicas are not spread by attributes")),
            Field::new(
                "max_shm_size_mb",
                Kind::Whole(Range::within(1.0, 1.0e9)),
                "The most that services may ask for by shm-size, in MiB.",
            )
            .or(Int(SHM_MAX_MB)),
            Field::new(
                "max_ulimits",
                Kind::Entries(&CEILINGS),
                "The greatest values that services may ask for by ulimit, by name; -1 for no \
                 ceiling.",
            )
            .or(Said(
                "core 1 GiB, msgqueue 16 MiB, nice 20, nofile 1048576, nproc 65536, rtprio 0, \
                 sigpending 262144; others have none",
            )),
            Field::new(
                "pools",
                Kind::Entries(&POOLS),
                "How much of what its hosts have each pool gives out.",
            )
            .or(Said("exactly what there is")),
            Field::new(
                "security_check_command",
                Kind::Text,
                "The program that `paasta security-check` runs, with the service and the commit as \
             its last arguments.",
            )
            .or(Said("none, and the step passes")),
            Field::new(
                "sensu_host",
                Kind::Text,
                "The Sensu client to which alerts go; null sends none there. Where it is not given, \
             one that is not there is not missed.",
            )
            .or(Word("localhost"))
            .or_null(),
            Field::new(
                "sensu_port",
                Kind::Whole(Range::within(1.0, 65_535.0)),
                "Its TCP port.",
            )
            .or(Int(3030)),
            Field::new("soa_dir", Kind::Text, "The yelpsoa-configs directory.")
                .or(Word(SOA_DIR_DEFAULT)),
            Field::new("volumes", Kind::List(&MOUNT), "Mounts of every container.")
                .or(Said("none")),
        ],
    )
};

/// The section `cli`.
static CLI: Table = Table::warning(
    "the settings of the command line",
    &[
        Field::new(
            "clusters",
            Kind::Entries(&CLUSTERS),
            "The coordinators of each cluster, for `paasta wait-for-deployment` of what is \
             deployed in several.",
        )
        .or(Said("coordinators is used for each of them")),
        Field::new(
            "coordinators",
            Kind::List(&Kind::Text),
            "HOST:PORT of any coordinators, tried in turn.",
        )
        .or(Texts(COORDINATOR_LISTEN_DEFAULT)),
    ],
);

/// PaaSTA's own keys: files written for it can stay as they are.
static PAASTA: Table = Table::open(
    "keys of PaaSTA that mean nothing here",
    &[
        foreign("api_endpoints"),
        foreign("chronos_config"),
        foreign("cluster_autoscaling_draining_enabled"),
        foreign("cluster_autoscaling_resources"),
        foreign("cluster_boost_enabled"),
        foreign("cluster_fqdn_format"),
        foreign("dashboard_links"),
        foreign("deployd_big_bounce_deadline"),
        foreign("deployd_big_bounce_rate"),
        foreign("deployd_log_level"),
        foreign("deployd_maintenance_polling_frequency"),
        foreign("deployd_metrics_provider"),
        foreign("deployd_number_workers"),
        foreign("deployd_startup_bounce_deadline"),
        foreign("deployd_startup_oracle_enabled"),
        foreign("deployd_worker_failure_backoff_factor"),
        foreign("disabled_watchers"),
        foreign("fsm_template"),
        foreign("local_run_config"),
        foreign("log_reader"),
        foreign("log_writer"),
        foreign("maintenance_resource_reservation_enabled"),
        foreign("marathon_servers"),
        foreign("mesos_config"),
        foreign("monitoring_config"),
        foreign("pki_backend"),
        foreign("previous_marathon_servers"),
        foreign("register_marathon_services"),
        foreign("resource_pool_settings"),
        foreign("secret_provider"),
        foreign("slack"),
        foreign("synapse_haproxy_url_format"),
        foreign("synapse_host"),
        foreign("synapse_port"),
        foreign("taskproc"),
        foreign("tron"),
        foreign("vault_cluster_map"),
        foreign("vault_environment"),
        foreign("zookeeper"),
    ],
);

const fn foreign(key: &'static str) -> Field {
    Field::new(key, Kind::Any, "Of PaaSTA; does nothing here.")
}

/// Maps from text to text.
pub(super) static TEXTS: Entries = Entries {
    about: "attributes by their names",
    names: None,
    templates: false,
    kind: Kind::Text,
    filled: false,
};

static CLUSTERS: Entries = Entries {
    about: "lists of HOST:PORT by the names of clusters",
    names: Some(&CLUSTER),
    templates: false,
    kind: Kind::Shape(&ADDRESSES),
    filled: false,
};

static ADDRESSES: Shape = Shape {
    expected: "a list of HOST:PORT",
    fits: |node| addresses(node).is_some(),
    schema: r#"{"type": "array", "minItems": 1, "items": {"type": "string"}}"#,
};

static CLUSTER: Pattern = Pattern {
    fits: |text| ClusterName::new(text).is_ok(),
    regex: "^[a-zA-Z0-9]+((-|_+)[a-zA-Z0-9]+)*(-|_*)$",
    rule: "use letters, digits, '_' and '-' for a cluster's name, with no '-' beside '_' or '-', \
           and begin with a letter or digit",
};

static DIRECTORY: Pattern = Pattern {
    fits: |text| text.starts_with('/') && text.split('/').all(|part| part != ".."),
    regex: "^(/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+|[.])?)+$",
    rule: "must be an absolute path without '..'",
};

const CLUSTER_NAME: Kind = Kind::Pattern(&CLUSTER);
static MOUNT: Kind = Kind::Map(&VOLUME);
static CAPABILITY_NAME: Kind = Kind::Pattern(&CAPABILITY);
static HOST_DIRECTORY: Kind = Kind::Pattern(&DIRECTORY);
static PLACE: Kind = Kind::Shape(&LOCATION);
static HOST_KIND: Kind = Kind::Entries(&TEXTS);

/// A list of texts with something in it.
pub(super) fn addresses(node: &Node) -> Option<Vec<String>> {
    let Value::List(items) = &node.value else {
        return None;
    };
    let texts = items.iter().map(|item| item.as_text().map(str::to_owned));
    let texts: Vec<String> = texts.collect::<Option<_>>()?;
    (!texts.is_empty()).then_some(texts)
}
