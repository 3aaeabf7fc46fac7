//! What the stories have in common: the instances of the example, patience, and looks at both.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use paasta_tests::cluster::containers::running_ids;
use paasta_tests::cluster::{Cluster, ClusterOptions};

/// Three replicas behind HTTP, crossover.
pub(crate) const MAIN: &str = "hello.main";
/// One replica without a port, upthendown.
pub(crate) const WORKER: &str = "hello.worker";
/// For a deploy or a bounce of the example: pulls, health checks, drains of five seconds.
pub(crate) const BOUNCE: Duration = Duration::from_secs(60);
/// For what must show soon: a changed file, an election, a session.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// Says which phase begins, and when.
pub(crate) struct Story {
    name: &'static str,
    started: Instant,
}

impl Story {
    /// Begins with a cluster of three hosts and three coordinators.
    pub(crate) fn begin(name: &'static str, prefix: &'static str) -> (Self, Cluster) {
        let story = Self::named(name);
        story.phase("bring up three hosts, three coordinators, three agents");
        let cluster = Cluster::up(ClusterOptions {
            prefix,
            hosts: 3,
            coordinators: 3,
        });
        (story, cluster.expect("bring up the cluster"))
    }

    /// Begins, with whatever it brings up itself.
    pub(crate) fn named(name: &'static str) -> Self {
        Self {
            name,
            started: Instant::now(),
        }
    }

    /// The next phase.
    pub(crate) fn phase(&self, what: &str) {
        let at = self.started.elapsed().as_secs();
        eprintln!("[{} {at:3} s] {what}", self.name);
    }
}

/// The ids of the instance's containers that run.
pub(crate) fn ids(cluster: &Cluster, id: &str) -> Result<BTreeSet<String>> {
    Ok(running_ids(&cluster.containers(id)?))
}

/// Fails unless exactly these containers of the instance run.
pub(crate) fn still(cluster: &Cluster, id: &str, wanted: &BTreeSet<String>) -> Result<()> {
    let found = ids(cluster, id)?;
    ensure!(
        found == *wanted,
        "{id}: other containers run: {found:#?}, not {wanted:#?}\n{}",
        cluster.operator.why(id)
    );
    Ok(())
}

/// Deploys a first version and waits for both instances; returns its sha.
pub(crate) fn first_deploy(cluster: &mut Cluster) -> Result<String> {
    let sha = cluster.service.release()?;
    cluster.settled(BOUNCE, MAIN, 3)?;
    cluster.settled(BOUNCE, WORKER, 1)?;
    Ok(sha)
}
