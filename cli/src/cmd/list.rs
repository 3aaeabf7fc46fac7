//! `paasta list`: the declared instances, one per line.

use super::{Context, names};
use crate::{exit::Exit, terminal::note};

/// List the declared instances
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this service
    #[arg(short, long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// Take the answer of any coordinator, even one without a leader
    #[arg(long)]
    pub stale: bool,
}

/// Prints `SERVICE.INSTANCE` lines, sorted.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &mut Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let service = args.service.as_deref().unwrap_or_default();
    let names = names::all(&mut coordinators, service, args.stale).await?;
    if context.global.json {
        context.print_json(&names)?;
    } else {
        let lines = names.instances.iter().map(|name| format!("{name}\n"));
        context.print(&lines.collect::<String>())?;
    }
    if let (Some(service), true) = (&args.service, names.instances.is_empty()) {
        let all = names::all(&mut coordinators, "", args.stale)
            .await?
            .instances;
        let services = all.iter().filter_map(|id| Some(id.split_once('.')?.0));
        let services: std::collections::BTreeSet<&str> = services.collect();
        let hint = names::hint(service, services);
        note(&format!(
            "no service {service} has an instance in this cluster{hint}"
        ));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Ok)
}
