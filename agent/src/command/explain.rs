//! `paasta-agent explain`: the exact containers that an assignment leads to, as JSON. Nothing is
//! done; the engine is asked which working directories its images set.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use paasta_agent_core::{
    compose::{RunOf, compose, needs_port},
    docker_run::docker_run,
    observed::LocalImage,
    settings::HostSettings,
};
use paasta_common::{assignment::Assignment, container::ContainerSpec, id::ReplicaId};
use paasta_process::help::examples;
use serde::Serialize;

use super::{ConfigArgs, runtime};
use crate::{
    engine::{
        Engine,
        docker::{DockerEngine, create_body},
    },
    lanes::within,
    options::Options,
};

/// How long the engine may take to say whether it has an image.
const PATIENCE: Duration = Duration::from_secs(5);

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
/// When the configuration or the file cannot be used.
pub fn explain(args: ExplainArgs) -> anyhow::Result<String> {
    let system = args.config.load()?;
    let options = Options::new(&system)?;
    let name = args.assignment.display();
    let text = std::fs::read(&args.assignment).with_context(|| format!("cannot read {name}"))?;
    let assignment: Assignment =
        serde_json::from_slice(&text).with_context(|| format!("{name} is not an assignment"))?;
    let engine = DockerEngine::new(&options.docker_socket, &options.credentials);
    let held = runtime()?.block_on(images(&engine, &assignment));
    let explained = containers(&assignment, &held, &options.settings, options.port_range)?;
    serde_json::to_string_pretty(&explained).context("the containers cannot be printed")
}

/// The images of the assignment that are on this host. What is not, or cannot be asked for, is
/// named: it may set a working directory of its own.
async fn images(engine: &dyn Engine, assignment: &Assignment) -> BTreeMap<String, LocalImage> {
    let replicas = assignment.replicas.values();
    let names: BTreeSet<&str> = replicas.map(|one| one.spec.image.as_str()).collect();
    let mut held = BTreeMap::new();
    for name in names {
        let why = match within(PATIENCE, engine.image(name)).await {
            Ok(Some(image)) => {
                held.insert(name.to_owned(), image);
                continue;
            }
            Ok(None) => "it is not on this host".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(
            image = name,
            why,
            "its WORKDIR is not known; the sandbox is shown instead"
        );
    }
    held
}

fn containers(
    assignment: &Assignment,
    held: &BTreeMap<String, LocalImage>,
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
            image_working_dir: held
                .get(&replica.spec.image)
                .and_then(|image| image.working_dir.as_deref()),
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
