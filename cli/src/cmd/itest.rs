//! `paasta itest`: the service's own integration test, which leaves the very image that is to be
//! deployed.

use std::time::Duration;

use paasta_process::help::examples;

use super::{Context, step};
use crate::{args::timeout, exit::Exit, terminal::note};

/// Test a commit with `make itest`, and see that its image was made
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&[
    "paasta itest -s hello -c $(git rev-parse HEAD)", "paasta itest -s hello -c $(git rev-parse HEAD) --step-timeout 30m",
], "\
Runs in the service's repository, with DOCKER_TAG=REGISTRY/services-SERVICE:paasta-COMMIT. The
exit code is make's; 1 when no such image is there afterwards; 2 when interrupted."))]
pub struct Args {
    #[command(flatten)]
    of: step::Of,
    /// The commit, in full
    #[arg(short, short_alias = 'k', long, value_name = "SHA", value_parser = step::commit)]
    commit: String,
    /// How long make may take
    #[arg(long = "step-timeout", value_name = "TIME", default_value = step::LIMIT, value_parser = timeout)]
    pub(crate) limit: Duration,
}

/// Runs the test.
///
/// # Errors
/// The registry is not known, or make or docker cannot be run.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let service = args.of.service()?;
    let registry = args.of.registry(context, &service)?;
    let image = format!(
        "{registry}/{}:{}",
        step::repository(&service),
        step::tag(&args.commit)
    );
    let exit = step::run(&mut step::make("itest", &image), args.limit).await?;
    if exit != Exit::Ok {
        return Ok(exit);
    }
    if !step::is_here(&image).await? {
        note(&format!(
            "`make itest` ended well, but there is no image {image}: does it build $(DOCKER_TAG)?"
        ));
        return Ok(Exit::Failed);
    }
    context.print(&format!("{image} is tested\n"))?;
    Ok(Exit::Ok)
}
