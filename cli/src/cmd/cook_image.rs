//! `paasta cook-image`: the service's own way to build its image.

use std::time::Duration;

use paasta_process::help::examples;

use super::{Context, step};
use crate::{args::timeout, exit::Exit};

/// Build the image of a service with `make cook-image`
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&[
    "paasta cook-image -s hello", "paasta cook-image -s hello --step-timeout 30m",
], "\
Runs in the service's repository, with DOCKER_TAG set to what the image is to be called, unless
DOCKER_TAG is set already. The exit code is make's; 2 when interrupted."))]
pub struct Args {
    #[command(flatten)]
    of: step::Of,
    /// How long make may take
    #[arg(long = "step-timeout", value_name = "TIME", default_value = step::LIMIT, value_parser = timeout)]
    limit: Duration,
}

/// Cooks the image.
///
/// # Errors
/// The service is not known, or make cannot be run.
pub async fn run(args: &Args, _context: &Context) -> anyhow::Result<Exit> {
    let service = args.of.service()?;
    step::run(
        &mut step::make("cook-image", &own_tag(service.as_str())),
        args.limit,
    )
    .await
}

/// What the image of somebody's own build is called: no two users of a machine share one.
pub(super) fn own_tag(service: &str) -> String {
    let given = std::env::var("DOCKER_TAG")
        .ok()
        .filter(|tag| !tag.is_empty());
    let user = std::env::var("USER").unwrap_or_default();
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let user: String = user.chars().map(plain).collect();
    let user = match user.trim_matches('-') {
        "" => "unknown",
        user => user,
    };
    given.unwrap_or_else(|| format!("paasta-cook-image-{service}-{user}"))
}
