//! `paasta status`: how instances are.

use std::collections::BTreeSet;

use paasta_proto::v1::{StatusRequest, StatusResponse, admin_client::AdminClient};

use super::{Context, names};
use crate::{
    client::{ANSWER_BYTES_MAX, CallError, Coordinators, request},
    exit::{self, Exit},
    render,
    terminal::note,
    verdict::instance,
};

/// How many instances are asked for at once.
const PAGE: u32 = 200;

/// Show how instances are: versions, replicas, bounces, what is waited for
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP)]
pub struct Args {
    /// Only this service
    #[arg(short, long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// Only these instances of the service
    #[arg(
        short,
        long,
        value_name = "INSTANCE,...",
        value_delimiter = ',',
        requires = "service"
    )]
    pub instances: Vec<String>,
    /// List every replica
    #[arg(short, long)]
    pub verbose: bool,
    /// Take the answer of any coordinator, even one without a leader
    #[arg(long)]
    pub stale: bool,
}

/// Asks, prints, and judges what was selected.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &mut Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let mut unknown = Vec::new();
    let response = match fetch(args, &args.instances, &mut coordinators).await {
        Err(error) if error.is_not_found() => {
            let known = known(args, &mut coordinators).await?;
            let (found, missing): (Vec<_>, Vec<_>) = args
                .instances
                .iter()
                .cloned()
                .partition(|name| known.contains(name));
            unknown = missing;
            match found.is_empty() {
                true => return Ok(Exit::Failed),
                false => fetch(args, &found, &mut coordinators).await?,
            }
        }
        answer => answer?,
    };
    if context.global.json {
        context.print_json(&response)?;
    } else {
        context.print(&render::status::render(&response, &context.view))?;
    }
    if response.instances.is_empty() {
        note("no instance is declared; `paasta metastatus` says when the configuration was read");
        return Ok(Exit::Failed);
    }
    let missing = if unknown.is_empty() {
        Exit::Ok
    } else {
        Exit::Failed
    };
    Ok(response
        .instances
        .iter()
        .map(instance::exit)
        .fold(missing, Exit::max))
}

/// All pages of the answer as one.
async fn fetch(
    args: &Args,
    instances: &[String],
    coordinators: &mut Coordinators,
) -> Result<StatusResponse, CallError> {
    let mut all = StatusResponse::default();
    loop {
        let ask = StatusRequest {
            service: args.service.clone().unwrap_or_default(),
            instances: instances.to_vec(),
            replicas: args.verbose,
            page_size: PAGE,
            page: all.next_page.clone(),
            stale: args.stale,
        };
        let timeout = coordinators.timeout();
        let answer = coordinators.call(|channel| {
            let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
            let ask = request(ask.clone(), timeout);
            async move { admin.status(ask).await }
        });
        let mut page = answer.await?;
        let ended = page.next_page.is_empty() || page.next_page == all.next_page;
        page.instances.splice(0..0, all.instances);
        if !all.problems.is_empty() {
            page.problems = all.problems;
        }
        all = page;
        if ended {
            all.next_page.clear();
            return Ok(all);
        }
    }
}

/// The instances of the service that exist; says of the others what was probably meant.
async fn known(args: &Args, coordinators: &mut Coordinators) -> Result<Vec<String>, CallError> {
    let all = names::all(coordinators, "", args.stale).await?.instances;
    let ids = || all.iter().filter_map(|id| id.split_once('.'));
    let service = args.service.as_deref().unwrap_or_default();
    let of_it: Vec<&str> = ids()
        .filter(|(of, _)| *of == service)
        .map(|(_, instance)| instance)
        .collect();
    if of_it.is_empty() {
        let services: BTreeSet<&str> = ids().map(|(service, _)| service).collect();
        let hint = names::hint(service, services);
        note(&format!(
            "no service {service} has an instance in this cluster{hint}"
        ));
    } else {
        for name in args
            .instances
            .iter()
            .filter(|name| !of_it.contains(&name.as_str()))
        {
            let hint = names::hint(name, of_it.iter().copied());
            note(&format!(
                "{service} has no instance {name} in this cluster{hint}"
            ));
        }
    }
    Ok(of_it.into_iter().map(ToOwned::to_owned).collect())
}
