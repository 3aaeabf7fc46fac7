//! `paasta why`: everything known about why an instance is not as it should be.

use paasta_process::help::examples;
use paasta_proto::v1::{WhyRequest, admin_client::AdminClient};

use super::{Context, names, which::Which};
use crate::{
    client::{ANSWER_BYTES_MAX, request},
    exit::{self, Exit},
    render,
    terminal::note,
    verdict::instance,
};

/// Say why an instance is not as it should be
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta why hello.main", "paasta why -s hello -i main"], exit::HELP))]
pub struct Args {
    /// Which instance
    #[command(flatten)]
    pub which: Which,
    /// Say everything: every replica and event, commits and digests whole
    #[arg(short, long)]
    pub verbose: bool,
}

/// Prints the instance's status, what it waits for and what happened to it.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &mut Context) -> anyhow::Result<Exit> {
    context.view.full = args.verbose;
    let mut coordinators = context.coordinators()?;
    let ask = WhyRequest {
        instance: args.which.one()?.to_string(),
    };
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(ask.clone(), timeout);
        async move { admin.why(ask).await }
    });
    let response = match answer.await {
        Err(error) if error.is_not_found() => {
            let known = names::all(&mut coordinators, "", false).await?.instances;
            let hint = names::hint(&ask.instance, known.iter().map(String::as_str));
            note(&format!(
                "{} is not declared in this cluster{hint}",
                ask.instance
            ));
            return Ok(Exit::Failed);
        }
        answer => answer?,
    };
    if context.global.json {
        context.print_json(&response)?;
    } else {
        context.print(&render::why::render(&response, &context.view))?;
    }
    Ok(response
        .status
        .as_ref()
        .map_or(Exit::Failed, instance::exit))
}
