//! `paasta auth revoke`: removes a principal, or takes the rights of certificates away.

use paasta_process::help::examples;
use paasta_proto::v1::{
    RemovePrincipalRequest, RevokeRequest, principals_client::PrincipalsClient,
    revocations_client::RevocationsClient,
};

use super::{EXITS, print};
use crate::{
    client::request,
    cmd::{Context, asker},
    exit::Exit,
};

/// Remove a principal, or take away the rights of the certificates of ROLE/NAME
///
/// NAME removes a principal: a person or program that calls. ROLE/NAME (agent/host-7,
/// coordinator/3, admin/alice) revokes certificates of any role: the entry is kept for 500 days, when
/// all of them have expired. Either way the next call is refused, and what is open ends within 30 s.
/// The containers of a host whose agent is revoked go on; nothing new is placed there.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta auth revoke alice",
        "paasta auth revoke agent/host-7 --reason 'stolen'",
        "paasta auth revoke admin/alice --issued-before",
    ],
    EXITS,
))]
pub struct Args {
    /// The principal, or the identity in certificates
    #[arg(value_name = "NAME|ROLE/NAME")]
    pub target: String,
    /// With ROLE/NAME: only certificates from before now; those that are issued later have rights
    #[arg(long)]
    pub issued_before: bool,
    /// With ROLE/NAME: why; the cluster's events show it
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub reason: String,
    /// With ROLE/NAME: also when the coordinators that are left have no majority
    #[arg(long)]
    pub force: bool,
}

/// Takes the rights away.
///
/// # Errors
/// An option does not fit, no coordinator answered, or standard output is gone.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    if args.target.contains('/') {
        return revoke(args, context).await;
    }
    anyhow::ensure!(
        !args.issued_before && !args.force && args.reason.is_empty(),
        "--issued-before, --reason and --force are for certificates: name them by ROLE/NAME, as \
         admin/{}; without a role the principal {0} is removed",
        args.target
    );
    remove(args.target, context).await
}

async fn remove(name: String, context: &Context) -> anyhow::Result<Exit> {
    let ask = RemovePrincipalRequest {
        asker: Some(asker::new()),
        name,
    };
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = request(ask.clone(), timeout);
        async move { PrincipalsClient::new(channel).remove(ask).await }
    });
    print(&answer.await?, context)
}

async fn revoke(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let ask = RevokeRequest {
        asker: Some(asker::new()),
        identity: args.target,
        issued_before: args.issued_before,
        reason: args.reason,
        force: args.force,
    };
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = request(ask.clone(), timeout);
        async move { RevocationsClient::new(channel).revoke(ask).await }
    });
    print(&answer.await?, context)
}
