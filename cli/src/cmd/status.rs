//! `paasta status`: how instances are.

use std::collections::BTreeSet;

use paasta_proto::v1::{InstanceStatus, StatusRequest, StatusResponse, admin_client::AdminClient};

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
    let response = fetch(args, &mut coordinators).await?;
    if context.global.json {
        context.print_json(&response)?;
    } else {
        context.print(&render::status::render(&response, &context.view))?;
    }
    let unknown = unknown(args, &response.instances);
    if !unknown.is_empty() || response.instances.is_empty() {
        explain(args, &unknown, &mut coordinators).await?;
    }
    let missing = match unknown.is_empty() && !response.instances.is_empty() {
        true => Exit::Ok,
        false => Exit::Failed,
    };
    let exits = response.instances.iter().map(instance::exit);
    Ok(exits.max().unwrap_or(Exit::Failed).max(missing))
}

/// All pages of the answer as one.
async fn fetch(args: &Args, coordinators: &mut Coordinators) -> Result<StatusResponse, CallError> {
    let mut all = StatusResponse::default();
    loop {
        let ask = StatusRequest {
            service: args.service.clone().unwrap_or_default(),
            instances: args.instances.clone(),
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

/// The instances that were asked for by name and are not in the answer.
fn unknown<'a>(args: &'a Args, found: &[InstanceStatus]) -> Vec<&'a str> {
    let found: BTreeSet<&str> = found
        .iter()
        .map(|status| status.instance.as_str())
        .collect();
    let asked = args.instances.iter().map(String::as_str);
    asked.filter(|name| !found.contains(name)).collect()
}

/// Says what is not there, and what was probably meant.
async fn explain(
    args: &Args,
    unknown: &[&str],
    coordinators: &mut Coordinators,
) -> Result<(), CallError> {
    let known = names::all(coordinators, "", args.stale).await?.instances;
    let ids = || known.iter().filter_map(|id| id.split_once('.'));
    let Some(service) = &args.service else {
        note(
            "no instance is declared; see `paasta metastatus` for when the configuration was read",
        );
        return Ok(());
    };
    let services: BTreeSet<&str> = ids().map(|(service, _)| service).collect();
    if !services.contains(service.as_str()) {
        let hint = names::hint(service, services);
        note(&format!(
            "no service {service} has an instance in this cluster{hint}"
        ));
        return Ok(());
    }
    for name in unknown {
        let of_it = ids()
            .filter(|(of, _)| of == service)
            .map(|(_, instance)| instance);
        let hint = names::hint(name, of_it);
        note(&format!(
            "{service} has no instance {name} in this cluster{hint}"
        ));
    }
    Ok(())
}
