//! `paasta auth`: who may see and change what, and whose certificates have no rights.

pub mod certificate;
pub mod grant;
pub mod invite;
pub mod list;
pub mod restore;
pub mod revoke;
pub mod revoked;
pub mod show;

use paasta_proto::v1::{
    ListPrincipalsRequest, ListPrincipalsResponse, NodeRequest, cluster_client::ClusterClient,
    principals_client::PrincipalsClient,
};

use super::{Context, operate::print};
use crate::{
    client::{ANSWER_BYTES_MAX, request},
    exit::Exit,
};

/// The exit codes of these verbs.
const EXITS: &str = "\
Exit codes:
  0  done, or it was so already
  1  refused, or there is no such principal
  3  no coordinator could be reached, or none that could answer";

/// The verbs about who may do what.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the principals: roles, scopes, until when
    List(list::Args),
    /// Show one principal
    Show(show::Args),
    /// Make a principal, or change its role and scopes
    Grant(grant::Args),
    /// Invite a person or program: make its principal, and a token for `paasta login`
    Invite(invite::Args),
    /// Remove a principal, or take away the rights of the certificates of ROLE/NAME
    Revoke(revoke::Args),
    /// Give an identity its rights back
    Restore(restore::Args),
    /// List the identities that are revoked
    Revoked(revoked::Args),
    /// Show the certificate that this command uses, and what is wrong with it
    Certificate(certificate::Args),
}

/// Runs a verb.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::List(args) => list::run(&args, context).await,
        Command::Show(args) => show::run(&args, context).await,
        Command::Grant(args) => grant::run(&args, context).await,
        Command::Invite(args) => invite::run(&args, context).await,
        Command::Revoke(args) => revoke::run(args, context).await,
        Command::Restore(args) => restore::run(args, context).await,
        Command::Revoked(args) => revoked::run(&args, context).await,
        Command::Certificate(certificate::Args {}) => certificate::run(context),
    }
}

async fn principals(context: &Context) -> anyhow::Result<ListPrincipalsResponse> {
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let mut client = PrincipalsClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(ListPrincipalsRequest {}, timeout);
        async move { client.list(ask).await }
    });
    Ok(answer.await?)
}

/// The name of the cluster.
async fn cluster(context: &Context) -> anyhow::Result<String> {
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = request(NodeRequest {}, timeout);
        async move { ClusterClient::new(channel).node(ask).await }
    });
    Ok(answer.await?.cluster)
}
