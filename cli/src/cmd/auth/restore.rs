//! `paasta auth restore`: gives an identity its rights back.

use paasta_process::help::examples;
use paasta_proto::v1::{RestoreRequest, revocations_client::RevocationsClient};

use super::{EXITS, print};
use crate::{
    client::request,
    cmd::{Context, asker},
    exit::Exit,
};

/// Give an identity its rights back
///
/// Certificates that are issued from now on have rights again. Those from before the revocation
/// stay without, as they may be in other hands; a revocation by mistake is undone with
/// --also-before.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta auth restore agent/host-7",
        "paasta auth restore admin/alice --also-before",
    ],
    EXITS,
))]
pub struct Args {
    /// The identity
    #[arg(value_name = "ROLE/NAME")]
    pub identity: String,
    /// Also certificates from before the revocation
    #[arg(long)]
    pub also_before: bool,
}

/// Gives them back.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let ask = RestoreRequest {
        asker: Some(asker::new()),
        identity: args.identity,
        also_before: args.also_before,
    };
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = request(ask.clone(), timeout);
        async move { RevocationsClient::new(channel).restore(ask).await }
    });
    print(&answer.await?, context)
}
