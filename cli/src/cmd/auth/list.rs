//! `paasta auth list`: the principals.

use paasta_process::help::examples;

use super::{EXITS, principals};
use crate::{cmd::Context, exit::Exit, render};

/// List the principals: roles, scopes, until when
///
/// A certificate proves a name and a role; the principal of that name says what they are worth. A
/// deployer or reader without a principal may do nothing. While there is no principal at all, every
/// certificate of the role admin counts.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta auth list", "paasta auth list --json"], EXITS))]
pub struct Args {}

/// Lists them.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(_: &Args, context: &Context) -> anyhow::Result<Exit> {
    let answer = principals(context).await?;
    match context.global.json {
        true => context.print_json(&answer)?,
        false => context.print(&render::auth::list(&answer, &context.view))?,
    }
    Ok(Exit::Ok)
}
