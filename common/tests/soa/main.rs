//! A yelpsoa-configs directory on disk, read and resolved as every binary does it.
#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests may panic as the tests do"
)]

use std::{fs, path::Path};

use paasta_common::{
    config::SystemConfig,
    id::{ClusterName, InstanceName, ServiceName},
    problem::Problem,
    soa::{InstanceConfig, ServiceLoad, SoaDir, yaml},
};
use tempfile::TempDir;

mod bad;
mod fields;
mod ids;
mod links;
mod properties;
mod reader;
mod resolve;
mod rollout;
mod system;
mod targets;
mod vectors;

/// A directory with these files, which exists as long as the first value.
fn soa(files: &[(&str, &str)]) -> (TempDir, SoaDir) {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(root.path(), name, text);
    }
    let soa = SoaDir::open(root.path()).unwrap();
    (root, soa)
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn service() -> ServiceName {
    ServiceName::new("web").unwrap()
}

fn cluster() -> ClusterName {
    ClusterName::new("prod").unwrap()
}

fn name(text: &str) -> InstanceName {
    InstanceName::new(text).unwrap()
}

/// What service `web` of these files declares for cluster `prod`.
fn load(files: &[(&str, &str)]) -> ServiceLoad {
    let (_root, soa) = soa(files);
    soa.load(&service(), &cluster(), &SystemConfig::default())
}

/// Loads `web/marathon-prod.yaml` alone.
fn marathon(text: &str) -> ServiceLoad {
    load(&[("web/marathon-prod.yaml", text)])
}

/// The instance `main` whose fields are these lines; line 1 of the file is the instance's.
fn main_with(lines: &str) -> Result<InstanceConfig, Vec<Problem>> {
    let indented: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    let mut load = marathon(&format!("main:\n{indented}"));
    load.instances.remove(&name("main")).unwrap()
}

/// The problems as an author sees them, without the file's name.
fn said(problems: &[Problem]) -> Vec<String> {
    let file = "web/marathon-prod.yaml:";
    let lines = problems.iter().map(ToString::to_string);
    lines.map(|line| line.replace(file, "")).collect()
}

fn system(text: &str) -> SystemConfig {
    let (config, problems) = SystemConfig::decode(&yaml::parse("system.yaml", text).unwrap());
    assert!(problems.is_empty(), "{problems:?}");
    config
}
