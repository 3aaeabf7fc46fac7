//! Containers that nobody ordered: orphans, with our labels and a replica that was never placed,
//! and strangers, which are somebody else's.

use std::collections::BTreeMap;

use paasta_agent::engine::fake::FakeContainer;
use paasta_agent_core::{labels, observed::ContainerState};
use paasta_common::{
    app::{DockerArgs, NetworkMode},
    container::ContainerSpec,
};
use paasta_process::clock::Clock;
use rand::{RngExt, rngs::StdRng};

use super::{
    plant::Plant,
    watch::Watch,
    world::{AgentSeat, World},
};
use crate::checkers::i5_orphans::Intruder;

/// Replica ids from here on are never given in a simulation.
const NEVER_GIVEN: u64 = 1_000_000;

/// One comes to the host.
pub(crate) fn come(world: &World, watch: &mut Watch, seat: &AgentSeat, chance: &mut StdRng) {
    let Some(cluster) = seat.up().and_then(|up| {
        let accepted = up.view.borrow().accepted.clone();
        accepted.map(|fence| fence.cluster_id)
    }) else {
        return;
    };
    let number = NEVER_GIVEN + watch.intruders_so_far();
    let name = format!("intruder-{number}");
    let what = chance.random_range(0..4);
    let (cluster, host) = match what {
        0 | 1 => (cluster, seat.id().to_string()),
        2 => ("another-cluster".to_owned(), seat.id().to_string()),
        _ => (cluster, "another-host".to_owned()),
    };
    let ours = what < 2;
    // A planted fault: whose it is gets lost on the way to the agent.
    let looks_ours = ours || world.plant == Some(Plant::I5);
    let labels = match looks_ours {
        true => BTreeMap::from([
            (
                labels::CLUSTER.to_owned(),
                known_cluster(seat).unwrap_or(cluster),
            ),
            (labels::HOST.to_owned(), seat.id().to_string()),
            (labels::REPLICA.to_owned(), format!("r{number}")),
            (labels::RUN.to_owned(), "1".to_owned()),
        ]),
        false => BTreeMap::from([
            (labels::CLUSTER.to_owned(), cluster),
            (labels::HOST.to_owned(), host),
            (labels::REPLICA.to_owned(), format!("r{number}")),
        ]),
    };
    world.note(&seat.name, format_args!("{name} comes, ours: {ours}"));
    seat.engine.fake.put(FakeContainer {
        spec: spec(name.clone(), labels),
        id: format!("id-{name}"),
        state: ContainerState::Running,
        created_at: seat.clock.now(),
        exit_code: None,
        ended_at: None,
        memory_kills: 0,
        layer_bytes: 0,
    });
    watch.intruder(
        &seat.name,
        Intruder {
            name,
            ours,
            alive: true,
        },
    );
}

fn spec(name: String, labels: BTreeMap<String, String>) -> ContainerSpec {
    ContainerSpec {
        name,
        image: "somebody/something:1".to_owned(),
        hostname: None,
        entrypoint: Vec::new(),
        command: Vec::new(),
        env: BTreeMap::new(),
        labels,
        working_dir: String::new(),
        cpu_shares: 0,
        cpu_period_us: 0,
        cpu_quota_us: 0,
        memory_bytes: 0,
        memory_swap_bytes: 0,
        disk_limit_mb: 0,
        gpus: 0,
        network: NetworkMode::None,
        ports: Vec::new(),
        mounts: Vec::new(),
        cap_add: Vec::new(),
        cap_drop: Vec::new(),
        ulimits: BTreeMap::new(),
        pids_limit: 0,
        new_privileges: false,
        docker: DockerArgs::default(),
        stop_grace_ms: 0,
        log_max_bytes: 0,
        log_max_files: 0,
    }
}

fn known_cluster(seat: &AgentSeat) -> Option<String> {
    let up = seat.up()?;
    let accepted = up.view.borrow().accepted.clone();
    accepted.map(|fence| fence.cluster_id)
}
