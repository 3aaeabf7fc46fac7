//! `paasta autoscale`: the number of replicas of an instance, pinned or as configured.

use paasta_common::id::{InstanceId, InstanceName, ServiceName};
use paasta_process::help::examples;
use paasta_proto::v1::{OverrideAction, StatusRequest, admin_client::AdminClient};
use serde_json::json;

use super::{Context, fleet, overrides::ask};
use crate::{
    client::{ANSWER_BYTES_MAX, request},
    exit::Exit,
};

/// Show the number of replicas of an instance, pin it, or unpin it
#[derive(Debug, clap::Args)]
#[command(
    after_help = examples(
        &[
            "paasta autoscale -s hello -i main",
            "paasta autoscale -s hello -i main --set 5",
            "paasta autoscale -s hello -i main --clear",
        ],
        "A pin lasts until --clear, or the next deploy or change of the instance's number or \
         containers. `paasta status` shows it, with who and when.",
    )
)]
pub struct Args {
    /// The service
    #[arg(short, long, value_name = "SERVICE")]
    pub service: ServiceName,
    /// The instance
    #[arg(short, long, value_name = "INSTANCE", default_value = "main")]
    pub instance: InstanceName,
    /// The cluster [default: that of the options or of the current context]
    #[arg(short, long, alias = "clusters", value_name = "CLUSTER")]
    pub cluster: Option<String>,
    /// Run so many replicas
    #[arg(long, value_name = "COUNT", conflicts_with = "clear")]
    pub set: Option<u32>,
    /// Run as many as are configured
    #[arg(long)]
    pub clear: bool,
}

/// Shows or changes.
///
/// # Errors
/// No coordinator answered, or there is no such instance.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let id = InstanceId::new(args.service.clone(), args.instance.clone());
    let context = &fleet::one(context, args.cluster.as_deref()).await?;
    match (args.set, args.clear) {
        (Some(count), _) => ask(context, &id, OverrideAction::Pin, Some(count), None).await,
        (None, true) => ask(context, &id, OverrideAction::Clear, None, None).await,
        (None, false) => show(&id, context).await,
    }
}

async fn show(id: &InstanceId, context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let ask = StatusRequest {
        service: id.service.to_string(),
        instances: vec![id.instance.to_string()],
        ..StatusRequest::default()
    };
    let answer = coordinators.call(|channel| {
        let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(ask.clone(), timeout);
        async move { admin.status(ask).await }
    });
    let answer = answer.await?;
    let Some(status) = answer.instances.first() else {
        return Ok(Exit::Failed);
    };
    if context.global.json {
        context.print_json(&json!({
            "instance": id, "wanted": status.wanted, "autoscaling": status.autoscaling,
            "overridden": status.overridden,
        }))?;
    } else {
        context.print(&format!("{}\n", status.wanted))?;
    }
    Ok(Exit::Ok)
}
