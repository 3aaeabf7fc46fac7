//! `paasta-agent explain`: the exact containers that an assignment leads to, as JSON. Nothing is
//! done.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use paasta_agent_core::{
    compose::{RunOf, compose, needs_port},
    docker_run::docker_run,
    settings::HostSettings,
};
use paasta_common::{assignment::Assignment, container::ContainerSpec, id::ReplicaId};
use paasta_process::help::examples;
use serde::Serialize;

use super::ConfigArgs;
use crate::{engine::docker::create_body, options::Options};

/// The flags of `explain`.
#[derive(Debug, Args)]
#[command(after_help = examples(&["paasta-agent explain --assignment assignment.json"], ""))]
pub struct ExplainArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// An assignment, as JSON.
    #[arg(long, value_name = "FILE")]
    assignment: PathBuf,
}

#[derive(Serialize)]
struct Explained {
    replica: ReplicaId,
    /// In paasta's words.
    container: ContainerSpec,
    /// As the engine is asked.
    request: serde_json::Value,
    /// As Docker's own client would be told, word by word.
    docker_run: Vec<String>,
}

/// Explains the assignment: the first run of each replica, with the first ports of the range
/// where the agent would draw one.
///
/// # Errors
/// When the configuration or the file can not be used.
pub fn explain(args: ExplainArgs) -> anyhow::Result<String> {
    let system = args.config.load()?;
    let options = Options::new(&system)?;
    let name = args.assignment.display();
    let text = std::fs::read(&args.assignment).with_context(|| format!("cannot read {name}"))?;
    let assignment: Assignment =
        serde_json::from_slice(&text).with_context(|| format!("{name} is not an assignment"))?;
    let explained = containers(&assignment, &options.settings, options.port_range)?;
    serde_json::to_string_pretty(&explained).context("the containers can not be printed")
}

fn containers(
    assignment: &Assignment,
    settings: &HostSettings,
    range: (u16, u16),
) -> anyhow::Result<Vec<Explained>> {
    let mut free = range.0..=range.1;
    let mut explained = Vec::new();
    for (id, replica) in &assignment.replicas {
        let host_port = match (needs_port(&replica.spec), replica.spec.host_port) {
            (false, _) => None,
            (true, 0) => Some(free.next().context("the port range is too small")?),
            (true, fixed) => Some(fixed),
        };
        let run = RunOf {
            number: 1,
            host_port,
        };
        let container = compose(settings, &assignment.fence.cluster_id, *id, replica, run);
        let request = serde_json::to_value(create_body(&container))?;
        explained.push(Explained {
            replica: *id,
            docker_run: docker_run(&container),
            container,
            request,
        });
    }
    Ok(explained)
}
