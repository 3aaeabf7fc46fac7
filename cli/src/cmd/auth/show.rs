//! `paasta auth show`: one principal.

use paasta_process::help::examples;

use super::{EXITS, principals};
use crate::{cmd::Context, exit::Exit, render, terminal::note};

/// Show one principal
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta auth show alice", "paasta auth show ci --json"], EXITS))]
pub struct Args {
    /// The name of the principal
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Shows it.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let answer = principals(context).await?;
    let found = answer.principals.iter().find(|one| one.name == args.name);
    let Some(found) = found else {
        let name = render::plain(&args.name);
        note(&format!(
            "there is no principal {name:?}; `paasta auth list` names them"
        ));
        return Ok(Exit::Failed);
    };
    match context.global.json {
        true => context.print_json(found)?,
        false => context.print(&render::auth::show(found, answer.now_ms, &context.view))?,
    }
    Ok(Exit::Ok)
}
