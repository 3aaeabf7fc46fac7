//! What the machine holds that could be left behind: for comparing before with after.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;

use crate::run::{bounded, text};
use crate::tidy::root;

const SNAPSHOT_LIMIT: Duration = Duration::from_secs(60);

/// Namespaces, links, mounts, loop devices, cgroups, firewall rules, processes, sockets and claims
/// that belong to a set of hosts, by its prefix.
pub fn traces(prefix: &str) -> Result<BTreeSet<String>> {
    let program = root().join("deploy/demo/snapshot.sh");
    let all = text(&mut bounded(SNAPSHOT_LIMIT, program))?;
    let of_prefix = all.lines().filter(|line| line.contains(prefix));
    Ok(of_prefix.map(str::to_owned).collect())
}
