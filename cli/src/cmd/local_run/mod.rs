//! `paasta local-run`: an instance on the author's own machine, in the very container that an
//! agent would make of it.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use paasta_agent_core::docker_run::{self, docker_run};
use paasta_common::{
    container::ContainerSpec,
    id::{ClusterName, InstanceName},
};
use paasta_process::child::{self, Ended};
use paasta_process::help::examples;
use tokio::process::Command;

use self::{
    health::{Verdict, watch},
    place::Local,
    wanted::Wanted,
};
use super::{Context, cook_image, step};
use crate::{args::timeout, exit::Exit, terminal::note};

mod docker;
mod health;
mod place;
mod wanted;

/// A local run is ended by its author, at the latest after a day.
const RUN_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Run an instance on this machine, in the container that the cluster would make
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&[
    "paasta local-run -s hello -i main             # build it, run it, show its logs and its health",
    "paasta local-run -s hello -i main -p -t       # does the deployed version become healthy here?",
    "paasta local-run -s hello -i main --dry-run   # the docker command line, as JSON",
], "\
Builds the image with `make cook-image` where a Makefile is, or takes the deployed version from
the registry. Ctrl-C stops and removes the container. Volumes of the cluster that this machine
does not have are left out, and named.

Exit codes: the container's own; with -t 0 when it became healthy and 1 when it did not; 2 when
interrupted."))]
pub struct Args {
    #[command(flatten)]
    of: step::Of,
    /// The cluster whose configuration is used [default: cluster of the configuration]
    #[arg(short, long, value_name = "CLUSTER")]
    cluster: Option<ClusterName>,
    /// The instance [default: the only one there is]
    #[arg(short, long, value_name = "INSTANCE")]
    instance: Option<InstanceName>,
    /// Taken as by PaaSTA: everything is said in any case
    #[arg(short, long, hide = true)]
    verbose: bool,
    /// Build the image here with `make cook-image`
    #[arg(short, long, conflicts_with_all = ["pull", "sha"])]
    build: bool,
    /// Pull the deployed version from the registry
    #[arg(short, long)]
    pull: bool,
    /// Pull the version of this commit, in full, instead of the deployed one
    #[arg(long, value_name = "SHA", value_parser = step::commit)]
    sha: Option<String>,
    /// Print the docker command line as JSON, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: print the container's description instead
    #[arg(long, requires = "dry_run")]
    json_dict: bool,
    /// Run this command instead of the instance's own
    #[arg(short = 'C', long, value_name = "COMMAND")]
    cmd: Option<String>,
    /// Attach this terminal; without a command a shell. No health check
    #[arg(short = 'I', long)]
    interactive: bool,
    /// Do not check its health
    #[arg(short = 'k', long, conflicts_with = "healthcheck_only")]
    no_healthcheck: bool,
    /// End as soon as it is healthy, or is known not to become so
    #[arg(short = 't', long, conflicts_with = "interactive")]
    healthcheck_only: bool,
    /// The port on this machine [default: a free one]
    #[arg(short = 'o', long = "user-port", value_name = "PORT")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// How long building and pulling may take
    #[arg(long, value_name = "TIME", default_value = step::LIMIT, value_parser = timeout)]
    step_timeout: Duration,
}

/// Where the image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// `make cook-image` leaves it under this name.
    Cook(String),
    /// The registry has it.
    Pull,
}

/// Runs the instance.
///
/// # Errors
/// The instance is not known or cannot be run, or docker cannot be.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let service = args.of.service()?;
    let source = source(args, service.as_str());
    let mut wanted = Wanted::find(args, context, &service, &source)?;
    if args.cmd.is_some() || args.interactive {
        wanted.command(args.cmd.clone(), args.interactive);
    }
    let local = Local::choose(args.port)?;
    if args.dry_run {
        // What is not here yet may set a working directory.
        let image = &wanted.spec.app.image;
        let dir = docker::working_dir(image).await.unwrap_or_else(|why| {
            note(&format!("the WORKDIR of {image} is not known: {why}"));
            None
        });
        let container = of_place(&local, &wanted, dir.as_deref())?;
        match args.json_dict {
            true => context.print_json(&container)?,
            false => context.print_json(&docker_run(&container))?,
        }
        return Ok(Exit::Ok);
    }
    let fetched = match &source {
        Source::Cook(tag) => step::run(&mut step::make("cook-image", tag), args.step_timeout).await,
        Source::Pull => {
            let mut pull = Command::new("docker");
            let image = &wanted.spec.app.image;
            step::run(pull.args(["pull", image]), args.step_timeout).await
        }
    }?;
    if fetched != Exit::Ok {
        return Ok(fetched);
    }
    let dir = docker::working_dir(&wanted.spec.app.image).await;
    let dir = dir.map_err(|why| anyhow!("the image cannot be looked at: {why}"))?;
    let container = of_place(&local, &wanted, dir.as_deref())?;
    local.prepare()?;
    let ended = match args.interactive {
        true => attached(&container).await,
        false => watched(args, &container, &wanted, &local).await,
    };
    docker::remove(&container.name).await;
    local.tidy();
    ended
}

/// The container; what of it this machine does not have is named.
fn of_place(local: &Local, wanted: &Wanted, dir: Option<&str>) -> anyhow::Result<ContainerSpec> {
    let (container, left_out) = local.container(wanted, dir)?;
    for volume in &left_out {
        note(&format!("{volume} is not on this machine and is left out"));
    }
    Ok(container)
}

/// As asked for; else by whether this looks like the service's repository.
fn source(args: &Args, service: &str) -> Source {
    let makefile = PathBuf::from("Makefile").exists();
    match args.build || makefile && !args.pull && args.sha.is_none() {
        true => Source::Cook(cook_image::own_tag(service)),
        false => Source::Pull,
    }
}

/// With this terminal as the container's own.
async fn attached(container: &ContainerSpec) -> anyhow::Result<Exit> {
    let mut command = Command::new("docker");
    command.args(["run", "--interactive", "--tty"]);
    command
        .args(docker_run::flags(container))
        .arg(&container.image);
    command.args(docker_run::arguments(container));
    // What is typed, Ctrl-C too, is the container's: docker passes it on.
    let status = command.status().await.context(DOCKER_MISSING)?;
    Ok(of_container(status.code().unwrap_or(1)))
}

const DOCKER_MISSING: &str = "cannot run docker; is it installed and in PATH?";

/// In the foreground, its logs here, its health told.
async fn watched(
    args: &Args,
    container: &ContainerSpec,
    wanted: &Wanted,
    local: &Local,
) -> anyhow::Result<Exit> {
    let check = wanted.check().filter(|_| !args.no_healthcheck);
    if check.is_none() && args.healthcheck_only {
        bail!(
            "{} has no health check, so -t has nothing to wait for",
            wanted.id
        );
    }
    if let Some(port) = local.port_of(wanted) {
        note(&format!(
            "port {port} of this machine is its port {}",
            wanted.spec.app.container_port
        ));
    }
    let words = docker_run(container);
    let mut command = Command::new("docker");
    command.args(words.iter().skip(1));
    let mut running = std::pin::pin!(child::run(&mut command, RUN_LIMIT));
    let health = async {
        match check {
            Some(check) => {
                watch(
                    check,
                    &container.name,
                    local.port_of(wanted),
                    args.healthcheck_only,
                )
                .await
            }
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        // A container that has ended is not healthy, whatever it answered just before.
        biased;
        ended = &mut running => ended.context(DOCKER_MISSING)?,
        verdict = health => {
            docker::stop(&container.name, container.stop_grace_ms).await;
            // Its last words come before ours.
            let _ = running.await;
            return Ok(match verdict {
                Verdict::Healthy => Exit::Ok,
                Verdict::Dead => Exit::Failed,
            });
        }
    };
    over(args, container, wanted, ended).await
}

/// What a container that is no more came to.
async fn over(
    args: &Args,
    container: &ContainerSpec,
    wanted: &Wanted,
    ended: Ended,
) -> anyhow::Result<Exit> {
    if docker::out_of_memory(&container.name).await {
        let mem = wanted.spec.app.resources.mem_mb;
        note(&format!(
            "it was killed because it took more memory than mem: {mem} allows"
        ));
    }
    Ok(match ended {
        Ended::Exited(code) if args.healthcheck_only => {
            note(&format!(
                "it ended with exit code {code} before it was healthy"
            ));
            Exit::Failed
        }
        Ended::Exited(code) => of_container(code),
        Ended::Killed(_) | Ended::TimedOut => Exit::Failed,
        Ended::Interrupted => {
            docker::stop(&container.name, container.stop_grace_ms).await;
            Exit::Unwell
        }
    })
}

fn of_container(code: i32) -> Exit {
    match u8::try_from(code) {
        Ok(0) => Exit::Ok,
        Ok(code) => Exit::Of(code),
        Err(_) => Exit::Failed,
    }
}
