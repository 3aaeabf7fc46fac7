//! Writes down what befell replicas and hosts, as [`paasta_coordinator_core::plan::troubles`]
//! decides: a few commands in a look at most, however much goes wrong.

use std::time::Duration;

use paasta_coordinator_core::{plan::troubles::Watch, state::outcome::Outcome};
use tokio_util::sync::CancellationToken;

use crate::{machine::ClusterMachine, observations::Observations, propose::Proposer};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);

/// Notes what befell replicas and hosts until `ended`.
pub async fn follow(
    machine: &ClusterMachine,
    observations: &Observations,
    proposer: &Proposer,
    ended: &CancellationToken,
) {
    tokio::select! {
        biased;
        () = ended.cancelled() => {}
        () = watch(machine, observations, proposer) => {}
    }
}

async fn watch(machine: &ClusterMachine, observations: &Observations, proposer: &Proposer) {
    let mut watch = Watch::default();
    loop {
        tokio::time::sleep(EVERY).await;
        let commands = {
            let state = machine.read();
            watch.look(&state, &observations.read(), proposer.now())
        };
        for result in proposer.propose_all(commands).await {
            match result {
                Ok(Outcome::Refused(reason)) => {
                    tracing::warn!(%reason, "failures of a replica or host were not noted");
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "failures of a replica or host were not acknowledged");
                }
            }
        }
    }
}
