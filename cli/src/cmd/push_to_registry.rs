//! `paasta push-to-registry`: a tested image becomes deployable, once and for all.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use paasta_process::help::examples;
use paasta_process::{
    docker_login::{Auths, Login},
    registry::{self, Image},
};
use tokio::process::Command;

use super::{Context, step};
use crate::{args::timeout, exit::Exit};

/// How long the registry may take to say whether it has the image: PaaSTA's half minute.
const ASK_LIMIT: Duration = Duration::from_secs(30);

/// Push the image of a commit, unless the registry has it
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&[
    "paasta push-to-registry -s hello -c $(git rev-parse HEAD)", "paasta push-to-registry -s hello -c $(git rev-parse HEAD) --step-timeout 30m",
], "\
An image that the registry has is never overwritten, unless by --force: what runs must be what was
tested. That is no failure, so that a step can be repeated. Credentials are docker's own. The exit
code is docker's; 1 when the registry does not answer; 2 when interrupted."))]
pub struct Args {
    #[command(flatten)]
    of: step::Of,
    /// The commit, in full
    #[arg(short, short_alias = 'k', long, value_name = "SHA", value_parser = step::commit)]
    commit: String,
    /// Overwrite what is there
    #[arg(short, long)]
    force: bool,
    /// How long docker may take
    #[arg(long = "step-timeout", value_name = "TIME", default_value = step::LIMIT, value_parser = timeout)]
    limit: Duration,
}

/// Pushes the image.
///
/// # Errors
/// The registry does not say whether it has it, or docker cannot be run.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let service = args.of.service()?;
    let registry = args.of.registry(context, &service)?;
    let (repository, tag) = (step::repository(&service), step::tag(&args.commit));
    let image = format!("{registry}/{repository}:{tag}");
    if !args.force && has(&registry, &repository, &tag).await? {
        context.print(&format!(
            "{image} is in the registry already and stays as it is (--force overwrites it)\n"
        ))?;
        return Ok(Exit::Ok);
    }
    let mut command = Command::new("docker");
    step::run(command.args(["push", &image]), args.limit).await
}

/// What docker itself would show the registry.
fn login(image: &str) -> anyhow::Result<Option<Login>> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    let directory = std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or(home);
    match directory {
        Some(directory) => Ok(Auths::read(&directory.join("config.json"))?.for_image(image)?),
        None => Ok(None),
    }
}

/// Whether the registry has the image.
///
/// # Errors
/// It does not say.
pub(super) async fn has(registry: &str, repository: &str, tag: &str) -> anyhow::Result<bool> {
    let login = login(&format!("{registry}/{repository}"))?;
    let (registry, repository, tag) = (registry.to_owned(), repository.to_owned(), tag.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let image = Image {
            registry: &registry,
            repository: &repository,
            tag: &tag,
        };
        registry::has(&image, login.as_ref(), ASK_LIMIT)
    });
    Ok(asked
        .await
        .context("the question to the registry broke off")??)
}
