//! The processes of a measurement: three coordinators, and the hollow hosts.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use paasta_identity::Tls;

use super::{Plan, client::Client, fleet::FleetProcess, usage};
use crate::{
    cluster::binaries::binaries,
    loopback::{Loopback, LoopbackOptions, Timers},
};

/// How many coordinators.
pub const COORDINATORS: usize = 3;
/// How long there may be no leader.
const ELECTION: Duration = Duration::from_secs(60);

/// The processes. Dropped, they end.
#[derive(Debug)]
pub struct Stage {
    /// What is measured.
    pub plan: Plan,
    /// The coordinators.
    pub cluster: Loopback,
    /// The hollow hosts, of which no agent runs yet.
    pub fleet: FleetProcess,
    tls: Option<Tls>,
}

impl Stage {
    /// Starts them, and makes the cluster.
    ///
    /// # Errors
    /// When the cluster is not made, or no certificates.
    pub fn up(plan: Plan) -> Result<Self> {
        let room = plan.hosts.max(1_000) + 1_000;
        let cluster = Loopback::up(LoopbackOptions {
            // A host more than there is by default, and those who measure.
            settings: &format!("connections_max: {room}"),
            tls: plan.tls,
            plain_http: true,
            timers: Timers::Product,
            ..LoopbackOptions::new("scale", &[0; COORDINATORS])
        })?;
        let program = binaries()?.join("hollow");
        let (words, log) = words(plan, &cluster)?;
        let fleet = FleetProcess::start(&program, &words, &log)?;
        let pki = cluster.pki();
        let tls = pki.map(|pki| pki.tls("admin/alice")).transpose()?;
        Ok(Self {
            plan,
            cluster,
            fleet,
            tls,
        })
    }

    /// The present leader.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn leader(&self) -> Result<usize> {
        self.cluster.leader(ELECTION)
    }

    /// Calls to a coordinator.
    ///
    /// # Errors
    /// When no runtime can be made.
    pub fn client(&self, id: usize) -> Result<Client> {
        Client::new(self.cluster.address(id), self.tls.as_ref())
    }

    /// What a coordinator used so far.
    ///
    /// # Errors
    /// When it does not run.
    pub fn usage(&self, id: usize) -> Result<usage::Usage> {
        usage::of(self.cluster.pid(id)?)
    }

    /// Sessions that a coordinator has, and hosts that it knows and that are up.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn sessions(&self, id: usize) -> Result<(u64, u64)> {
        let page = crate::http::get(self.cluster.http(id), "/metrics")?;
        let sessions = value(&page, "paasta_agent_sessions")?;
        let up = value(&page, "paasta_hosts{state=\"up\"}")?;
        Ok((sessions as u64, up as u64))
    }

    /// Waits until a coordinator has a session with every host; asks ten times a second at most.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn all_connected(&self, id: usize) -> Result<()> {
        let wanted = u64::from(self.plan.hosts);
        let what = "every host has a session";
        crate::run::eventually(self.plan.patience, what, || {
            let (sessions, up) = self.sessions(id)?;
            ensure!(
                (sessions, up) == (wanted, wanted),
                "{sessions} sessions and {up} hosts of {wanted}"
            );
            Ok(())
        })
    }
}

/// One figure of a page of metrics.
///
/// # Errors
/// When it is not there.
pub fn value(page: &str, name: &str) -> Result<f64> {
    let line = page.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.strip_prefix(' ')
    });
    let text = line.with_context(|| format!("no {name} among the metrics"))?;
    Ok(text.trim().parse()?)
}

/// The arguments of the hollow hosts, and where they log.
fn words(plan: Plan, cluster: &Loopback) -> Result<(Vec<String>, PathBuf)> {
    let all = (1..=COORDINATORS).map(|id| cluster.address(id).to_string());
    let all: Vec<String> = all.collect();
    let mut words = vec![
        "--hosts".to_owned(),
        plan.hosts.to_string(),
        "--coordinators".to_owned(),
        all.join(","),
    ];
    if let Some(pki) = cluster.pki() {
        let dir = pki.dir().display().to_string();
        words.extend(["--tls-authority", &dir, "--cluster", "demo"].map(str::to_owned));
    }
    Ok((words, cluster.log(1).with_file_name("hollow.log")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_found_by_its_whole_name() {
        let page = "# HELP x y\npaasta_hosts{state=\"up\"} 7\npaasta_hosts_more 9\n";
        assert_eq!(value(page, "paasta_hosts{state=\"up\"}").unwrap(), 7.0);
        assert!(value(page, "paasta_hosts").is_err());
    }
}
