//! Which crate knows which, from `cargo metadata`.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, io,
    path::Path,
    process::Command,
};

use serde::Deserialize;

use super::Violation;

/// A crate of the tree: what it may depend on and what it must not.
#[derive(Debug, Clone, Copy)]
pub struct Layer {
    /// The package's name.
    pub package: &'static str,
    /// The packages of the tree that it may use.
    pub may_use: &'static [&'static str],
    /// Packages of the registry that it must not name, tests included.
    pub never: &'static [&'static str],
}

const DOERS: &[&str] = &[
    "tokio",
    "tokio-util",
    "tokio-stream",
    "tonic",
    "prost",
    "sled",
    "bollard",
    "rand",
    "openraft",
    "hyper",
    "tracing",
    "notify",
    "nix",
    "libc",
    "jiff",
    "anyhow",
];

/// The direction of dependency. A package of the tree that is not listed is itself a violation.
pub const LAYERS: [Layer; 10] = [
    Layer {
        package: "paasta-common",
        may_use: &[],
        never: DOERS,
    },
    Layer {
        package: "paasta-proto",
        may_use: &["paasta-common"],
        never: &["sled", "openraft", "bollard"],
    },
    Layer {
        package: "paasta-process",
        may_use: &["paasta-common"],
        never: &["sled", "openraft", "bollard"],
    },
    Layer {
        package: "paasta-identity",
        may_use: &["paasta-common", "paasta-process", "paasta-proto"],
        never: &["sled", "openraft", "bollard"],
    },
    Layer {
        package: "paasta-coordinator-core",
        may_use: &["paasta-common"],
        never: DOERS,
    },
    Layer {
        package: "paasta-agent-core",
        may_use: &["paasta-common"],
        never: DOERS,
    },
    Layer {
        package: "paasta-coordinator",
        may_use: &[
            "paasta-common",
            "paasta-process",
            "paasta-identity",
            "paasta-proto",
            "paasta-coordinator-core",
        ],
        never: &["bollard"],
    },
    Layer {
        package: "paasta-agent",
        may_use: &[
            "paasta-common",
            "paasta-process",
            "paasta-identity",
            "paasta-proto",
            "paasta-agent-core",
        ],
        never: &["openraft"],
    },
    Layer {
        package: "paasta-cli",
        may_use: &[
            "paasta-common",
            "paasta-process",
            "paasta-identity",
            "paasta-proto",
            "paasta-coordinator-core",
            "paasta-agent-core",
        ],
        never: &["sled", "openraft", "bollard"],
    },
    Layer {
        package: "paasta-tests",
        may_use: &[
            "paasta-common",
            "paasta-process",
            "paasta-identity",
            "paasta-proto",
            "paasta-coordinator-core",
            "paasta-agent-core",
            "paasta-coordinator",
            "paasta-agent",
            "paasta-cli",
        ],
        never: &[],
    },
];

/// What `cargo metadata` says, as far as the rules need it.
#[derive(Debug, Clone, Deserialize)]
pub struct Metadata {
    /// Every package that is built for this platform, and more.
    pub packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

/// A package.
#[derive(Debug, Clone, Deserialize)]
pub struct Package {
    /// Cargo's id of it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence, as an SPDX expression.
    pub license: Option<String>,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
}

#[derive(Debug, Clone, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Dependency {
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Deserialize)]
struct Node {
    id: String,
}

impl Metadata {
    /// Asks cargo about the workspace at `root`. Changes nothing and fetches nothing.
    ///
    /// # Errors
    /// Cargo cannot be run, fails (its words are in the error), or says something unexpected.
    pub fn read(root: &Path) -> io::Result<Self> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let platform = format!("{}-unknown-linux-gnu", env::consts::ARCH);
        let output = Command::new(cargo)
            .current_dir(root)
            .args(["metadata", "--format-version=1", "--locked", "--offline"])
            .args(["--filter-platform", &platform])
            .output()?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("cargo metadata: {words}")));
        }
        serde_json::from_slice(&output.stdout).map_err(io::Error::other)
    }

    /// The packages of the tree itself.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        let is_member = |package: &&Package| self.workspace_members.contains(&package.id);
        self.packages.iter().filter(is_member)
    }

    /// The names of the tree's test programs.
    pub fn test_programs(&self) -> impl Iterator<Item = &str> {
        let targets = self.members().flat_map(|package| &package.targets);
        let tests = targets.filter(|target| target.kind.iter().any(|kind| kind == "test"));
        tests.map(|target| &*target.name)
    }

    /// The packages that are built here, those of the tree included.
    pub fn resolved(&self) -> impl Iterator<Item = &Package> {
        let nodes: BTreeSet<&str> = self.resolve.nodes.iter().map(|node| &*node.id).collect();
        let packages = self.packages.iter();
        packages.filter(move |package| nodes.contains(&*package.id))
    }
}

/// Edges that point upwards or sideways, or out of a room that must stay closed.
pub fn direction(metadata: &Metadata) -> Vec<Violation> {
    let members: BTreeSet<&str> = metadata.members().map(|package| &*package.name).collect();
    let mut found = Vec::new();
    for package in metadata.members() {
        let Some(layer) = LAYERS.iter().find(|layer| layer.package == package.name) else {
            let message = "the package has no layer: give it one in tests/src/tidy/graph.rs";
            found.push(Violation::new(&package.name, 0, message));
            continue;
        };
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let ours = members.contains(name) && name != package.name;
            if (ours && !layer.may_use.contains(&name)) || layer.never.contains(&name) {
                found.push(Violation::new(
                    &package.name,
                    0,
                    format!("must not depend on {name}"),
                ));
            }
        }
    }
    found
}

/// Packages of which there must be one version, and are more.
pub fn duplicates(metadata: &Metadata, single: &[&str]) -> Vec<Violation> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in metadata.resolved() {
        versions
            .entry(&package.name)
            .or_default()
            .insert(&package.version);
    }
    let mut found = Vec::new();
    for name in single {
        let of_it = versions
            .get(name)
            .map(|set| Vec::from_iter(set.iter().copied()));
        if let Some(of_it) = of_it.filter(|of_it| of_it.len() > 1) {
            let message = format!("is there in versions {}: agree on one", of_it.join(" and "));
            found.push(Violation::new(name, 0, message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(packages: &[(&str, &str, &[&str])]) -> Metadata {
        let id = |name: &str, version: &str| format!("{name}@{version}");
        let package = |(name, version, uses): &(&str, &str, &[&str])| Package {
            id: id(name, version),
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            license: None,
            targets: Vec::new(),
            dependencies: uses
                .iter()
                .map(|name| Dependency {
                    name: (*name).to_owned(),
                })
                .collect(),
        };
        let ids = packages.iter().map(|(name, version, _)| id(name, version));
        let members = ids.clone().filter(|id| id.starts_with("paasta-"));
        Metadata {
            packages: packages.iter().map(package).collect(),
            workspace_members: members.collect(),
            resolve: Resolve {
                nodes: ids.map(|id| Node { id }).collect(),
            },
        }
    }

    #[test]
    fn an_edge_upwards_is_found() {
        let upwards = metadata(&[
            ("paasta-common", "1", &["paasta-proto"]),
            ("paasta-proto", "1", &["paasta-common"]),
        ]);
        let found = direction(&upwards);
        assert_eq!(
            found,
            [Violation::new(
                "paasta-common",
                0,
                "must not depend on paasta-proto"
            )]
        );
    }

    #[test]
    fn a_core_with_a_runtime_and_a_stranger_are_found() {
        let bad = metadata(&[
            ("paasta-agent-core", "1", &["tokio", "serde"]),
            ("paasta-new", "1", &[]),
        ]);
        let found: Vec<_> = direction(&bad)
            .into_iter()
            .map(|found| found.place)
            .collect();
        assert_eq!(found, ["paasta-agent-core", "paasta-new"]);
    }

    #[test]
    fn a_second_version_is_found() {
        let two = metadata(&[
            ("hyper", "0.14", &[]),
            ("hyper", "1.0", &[]),
            ("syn", "1", &[]),
            ("syn", "2", &[]),
        ]);
        let found = duplicates(&two, &["hyper", "http"]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].place, "hyper");
    }
}
