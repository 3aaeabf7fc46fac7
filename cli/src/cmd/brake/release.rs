//! `paasta brake release`: declares the silent hosts lost, after showing which they are.

use paasta_common::text::{count, count_of};
use paasta_process::help::examples;
use paasta_proto::v1::{ReleaseBrakeRequest, operate_client::OperateClient};

use crate::{
    client::request,
    cmd::{Context, asker, confirm::confirm, operate},
    exit::Exit,
    render,
    terminal::note,
};

/// Declare the silent hosts lost, so that what they ran is started elsewhere
///
/// Only the hosts that are shown are declared lost. If they still run what they ran, it runs twice
/// until they are heard from again.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta brake release", "paasta brake release --yes   # in a script: nothing is asked"], ""))]
pub struct Args {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Shows, asks, declares.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let shown = super::ask(&mut coordinators).await?;
    if shown.hosts.is_empty() {
        note("no host is silent: there is nothing to release");
        return Ok(Exit::Failed);
    }
    if !args.yes {
        note(render::brake::render(&shown, &context.view).trim_end());
        let replicas: u32 = shown.hosts.iter().map(|host| host.replicas).sum();
        let question = format!(
            "Declare {} lost and start {} elsewhere?",
            count_of(shown.hosts.len(), "host"),
            count(replicas, "replica"),
        );
        if !confirm(&question)? {
            note("nothing was changed");
            return Ok(Exit::Failed);
        }
    }
    let ask = ReleaseBrakeRequest {
        asker: Some(asker::new()),
        hosts: shown.hosts.into_iter().map(|host| host.host).collect(),
    };
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = request(ask.clone(), timeout);
        async move { OperateClient::new(channel).release_brake(ask).await }
    });
    let answer = answer.await?;
    operate::print(&answer, context)
}
