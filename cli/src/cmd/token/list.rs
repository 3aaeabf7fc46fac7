//! `paasta token list`.

use paasta_proto::v1::{ListTokensRequest, tokens_client::TokensClient};

use crate::{client::request, cmd::Context, exit::Exit, render};

/// Prints a row for each token.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = request(ListTokensRequest {}, timeout);
        async move { TokensClient::new(channel).list(ask).await }
    });
    let answer = answer.await?;
    match context.global.json {
        true => context.print_json(&answer)?,
        false => context.print(&render::tokens::render(&answer, &context.view))?,
    }
    Ok(Exit::Ok)
}
