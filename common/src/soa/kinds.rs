//! What the files of a service are, by their names, and what each kind of file may hold.

use super::{
    dependencies::DEPENDENCIES,
    deploy::DEPLOY,
    marathon::{ADHOC, ADHOCS, INSTANCE, INSTANCES},
    monitoring::MONITORING,
    node::{Map, Node, Value},
    secrets::SECRET,
    service::SERVICE,
    smartstack::{self, NAMESPACES},
    table::{Kind, Table, check},
};
use crate::{
    deployments,
    id::{ClusterName, ServiceName},
    problem::Problem,
    typo,
};

/// The cluster that stands for several: `marathon-SHARED.yaml` is what their files link to.
pub const SHARED: &str = "SHARED";

/// The instance types of PaaSTA that are not run here. Their files are left alone.
pub const FOREIGN: [&str; 8] = [
    "cassandracluster",
    "chronos",
    "flink",
    "kubernetes",
    "monkrelays",
    "nrtsearchservice",
    "paasta_native",
    "tron",
];

/// Files that others read.
const OTHERS: [&str; 4] = ["data.yaml", "lb.yaml", "port", "vip"];

/// The instance types that are run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceType {
    /// Runs for ever.
    Marathon,
    /// Is run by hand.
    Adhoc,
}

impl InstanceType {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Marathon, Self::Adhoc];

    /// Its name, with which its files begin.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Marathon => "marathon",
            Self::Adhoc => "adhoc",
        }
    }

    /// The file, relative to the soa directory.
    pub fn file(self, service: &ServiceName, cluster: &ClusterName) -> String {
        format!("{service}/{}-{cluster}.yaml", self.as_str())
    }

    /// The fields of such an instance.
    pub fn table(self) -> &'static Table {
        match self {
            Self::Marathon => &INSTANCE,
            Self::Adhoc => &ADHOC,
        }
    }
}

/// A kind of file with a table of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// `marathon-CLUSTER.yaml`, `adhoc-CLUSTER.yaml`.
    Instances(InstanceType),
    /// `service.yaml`.
    Service,
    /// `monitoring.yaml`.
    Monitoring,
    /// `smartstack.yaml`.
    Smartstack,
    /// `deploy.yaml`.
    Deploy,
    /// `dependencies.yaml`.
    Dependencies,
    /// `secrets/NAME.json`.
    Secret,
}

/// What a name in a service's directory says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A file that is read here; with the cluster, when it has one in its name.
    Ours(FileKind, Option<String>),
    /// The instances of a type that is not run here.
    Foreign(&'static str),
    /// Read by others, or no configuration at all.
    Other,
    /// A name that looks like that of a file which is read, and is not.
    Misspelt {
        /// What was probably meant.
        meant: String,
    },
}

impl FileKind {
    /// Every kind, each with the name of its schema.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Instances(InstanceType::Adhoc), "adhoc"),
        (Self::Dependencies, "dependencies"),
        (Self::Deploy, "deploy"),
        (Self::Instances(InstanceType::Marathon), "marathon"),
        (Self::Monitoring, "monitoring"),
        (Self::Secret, "secret"),
        (Self::Service, "service"),
        (Self::Smartstack, "smartstack"),
    ];

    /// What such a file may hold.
    pub fn kind(self) -> Kind {
        match self {
            Self::Instances(InstanceType::Marathon) => Kind::Entries(&INSTANCES),
            Self::Instances(InstanceType::Adhoc) => Kind::Entries(&ADHOCS),
            Self::Service => Kind::Map(&SERVICE),
            Self::Monitoring => Kind::Map(&MONITORING),
            Self::Smartstack => Kind::Entries(&NAMESPACES),
            Self::Deploy => Kind::Map(&DEPLOY),
            Self::Dependencies => Kind::Entries(&DEPENDENCIES),
            Self::Secret => Kind::Map(&SECRET),
        }
    }

    /// Notes everything in the file's tree that is not as its table says.
    pub fn check(self, root: &Node, problems: &mut Vec<Problem>) {
        root.faults("", problems);
        check::value(&self.kind(), root, "", problems);
        match (self, &root.value) {
            (Self::Service, Value::Map(map)) => defaults(map, problems),
            (Self::Smartstack, _) => smartstack::check(root, problems),
            _ => {}
        }
    }
}

/// The defaults of the instances, which service.yaml may hold.
fn defaults(map: &Map, problems: &mut Vec<Problem>) {
    for (key, entry) in &map.entries {
        let known = SERVICE.beside.iter().find_map(|table| table.get(key));
        if let Some(field) = known.filter(|_| SERVICE.get(key).is_none()) {
            check::field(field, &entry.node, "", problems);
        }
    }
}

impl Named {
    /// What the name of a file in a service's directory says.
    pub fn of(name: &str) -> Self {
        let ours = |kind| Self::Ours(kind, None);
        match name {
            "service.yaml" => return ours(FileKind::Service),
            "monitoring.yaml" => return ours(FileKind::Monitoring),
            "smartstack.yaml" => return ours(FileKind::Smartstack),
            "deploy.yaml" => return ours(FileKind::Deploy),
            "dependencies.yaml" => return ours(FileKind::Dependencies),
            _ => {}
        }
        let typed = name
            .strip_suffix(".yaml")
            .and_then(|stem| stem.split_once('-'));
        if let Some((kind, cluster)) = typed {
            for ours in InstanceType::ALL {
                if kind == ours.as_str() {
                    let cluster = Some(cluster.to_owned());
                    return Self::Ours(FileKind::Instances(ours), cluster);
                }
            }
            if let Some(foreign) = FOREIGN.iter().find(|one| **one == kind) {
                return Self::Foreign(foreign);
            }
        }
        let hidden = name.starts_with(['.', '_', '#']) || name.ends_with('~');
        if hidden || OTHERS.contains(&name) || name == deployments::FILE {
            return Self::Other;
        }
        match meant(name) {
            Some(meant) => Self::Misspelt { meant },
            None => Self::Other,
        }
    }
}

/// What a name that is not read was probably meant to be: another ending, a letter wrong.
fn meant(name: &str) -> Option<String> {
    let (stem, ending) = name.rsplit_once('.')?;
    if !matches!(ending, "yaml" | "yml") {
        return None;
    }
    let (kind, cluster) = match stem.split_once('-') {
        Some((kind, cluster)) => (kind, Some(cluster)),
        None => (stem, None),
    };
    let singles = [
        "service",
        "monitoring",
        "smartstack",
        "deploy",
        "dependencies",
    ];
    let typed = InstanceType::ALL.map(InstanceType::as_str);
    match cluster {
        Some(cluster) => {
            let known = typed.into_iter().chain(FOREIGN);
            let near = typo::nearest(kind, known, 0.7)?;
            Some(format!("{near}-{cluster}.yaml"))
        }
        None => typo::nearest(kind, singles, 0.7).map(|near| format!("{near}.yaml")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_file_is() {
        let cluster = |name: &str| Some(name.to_owned());
        let marathon = FileKind::Instances(InstanceType::Marathon);
        for (name, named) in [
            ("marathon-prod.yaml", Named::Ours(marathon, cluster("prod"))),
            ("marathon-a-b.yaml", Named::Ours(marathon, cluster("a-b"))),
            ("service.yaml", Named::Ours(FileKind::Service, None)),
            ("tron-prod.yaml", Named::Foreign("tron")),
            ("kubernetes-prod.yaml", Named::Foreign("kubernetes")),
            ("data.yaml", Named::Other),
            ("port", Named::Other),
            ("deployments.json", Named::Other),
            (".service.yaml.swp", Named::Other),
            ("autotuned_defaults", Named::Other),
        ] {
            assert_eq!(Named::of(name), named, "{name}");
        }
        for (name, meant) in [
            ("marathon-prod.yml", "marathon-prod.yaml"),
            ("maraton-prod.yaml", "marathon-prod.yaml"),
            ("deplyo.yaml", "deploy.yaml"),
            ("smartstack.yml", "smartstack.yaml"),
        ] {
            let meant = meant.to_owned();
            assert_eq!(Named::of(name), Named::Misspelt { meant }, "{name}");
        }
    }
}
