//! `paasta token revoke`.

use paasta_common::id::TokenId;
use paasta_process::help::examples;
use paasta_proto::v1::{RevokeTokenRequest, tokens_client::TokensClient};

use crate::{
    client::request,
    cmd::{Context, asker, operate},
    exit::Exit,
};

/// Revoke a join token; what joined by it stays
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta token revoke abcd234", "paasta token revoke abcd234 --json"], ""))]
pub struct Args {
    /// Its name, as `paasta token list` has it: the fourth part of the token, and no secret
    #[arg(value_name = "ID")]
    pub id: TokenId,
}

/// Revokes it.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let ask = RevokeTokenRequest {
        asker: Some(asker::new()),
        id: args.id.to_string(),
    };
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = request(ask.clone(), timeout);
        async move { TokensClient::new(channel).revoke(ask).await }
    });
    let answer = answer.await?;
    operate::print(&answer, context)
}
