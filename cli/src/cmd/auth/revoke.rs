//! `paasta auth revoke`: removes a principal.

use paasta_process::help::examples;
use paasta_proto::v1::{RemovePrincipalRequest, principals_client::PrincipalsClient};

use super::EXITS;
use crate::{
    client::request,
    cmd::{Context, asker, operate},
    exit::Exit,
    render,
};

/// Remove a principal: its certificates count for nothing any more
///
/// Its next call is refused, and streams that are open end within 30 s.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta auth revoke alice", "paasta auth revoke ci --json"], EXITS))]
pub struct Args {
    /// The name of the principal
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Removes it.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let ask = RemovePrincipalRequest {
        asker: Some(asker::new()),
        name: args.name.clone(),
    };
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = request(ask.clone(), timeout);
        async move { PrincipalsClient::new(channel).remove(ask).await }
    });
    let answer = answer.await?;
    match context.global.json {
        true => context.print_json(&answer)?,
        false => context.print(&format!("{}\n", render::plain(&answer.text)))?,
    }
    Ok(operate::verdict(answer.outcome()))
}
