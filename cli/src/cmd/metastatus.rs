//! `paasta metastatus`: how the cluster is.

use std::{collections::BTreeSet, time::Duration};

use paasta_process::help::examples;
use paasta_proto::v1::{MetastatusRequest, MetastatusResponse, admin_client::AdminClient};
use serde::Serialize;
use tokio::task::JoinSet;

use super::{
    Context,
    cluster::node,
    fleet::{self, Join},
    quorum,
    status::select::check_cluster,
};
use crate::{
    client::{ANSWER_BYTES_MAX, CallError, request},
    exit::Exit,
    render::{self, metastatus::Detail},
    verdict::cluster::{self, SILENT_AFTER_MS},
};

/// What a coordinator is given to show that it is there: it answers from memory.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

const EXITS: &str = "\
Exit codes:
  0  the cluster is well
  1  a mistake in the command line
  2  no leader, a coordinator whose loss would stop the cluster, a lost host,
     more than 90 % of CPU, memory or disk in use (of all or of a pool), or the brake on replacing
     lost hosts is on
  3  no coordinator could be reached";

/// Show how the cluster is: coordinators, hosts, resources
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta metastatus",
        "paasta metastatus -vv --groupings habitat",
    ],
    EXITS,
))]
pub struct Args {
    /// Show coordinators and, by location, hosts and resources; -vv: a table by the attributes
    /// of --groupings; -vvv: every host
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// The attributes of hosts to group by
    #[arg(short, long, value_name = "ATTRIBUTE,...", value_delimiter = ',')]
    #[arg(default_values = ["pool", "region"])]
    pub groupings: Vec<String>,
    /// Only these clusters [default: all that are configured]
    #[arg(short, long, alias = "cluster", value_name = "CLUSTER,...")]
    #[arg(value_delimiter = ',')]
    pub clusters: Vec<String>,
    /// Take the answer of any coordinator, even one without a leader
    #[arg(long)]
    pub stale: bool,
}

/// The answer, for `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    response: &'a MetastatusResponse,
    silent: &'a BTreeSet<u64>,
}

/// Asks, judges, prints. Without a leader it shows what each coordinator sees.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &mut Context) -> anyhow::Result<Exit> {
    fleet::each(
        context,
        &args.clusters,
        Join::Sections,
        |context, clusters| {
            let args = Args {
                clusters,
                ..args.clone()
            };
            async move { ask(&args, &context).await }
        },
    )
    .await
}

/// Asks one cluster.
async fn ask(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let ask = MetastatusRequest { stale: args.stale };
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(ask, timeout);
        async move { admin.metastatus(ask).await }
    });
    let response = match answer.await {
        Err(error) => return leaderless(context, error.into()).await,
        Ok(answer) => answer,
    };
    check_cluster(&args.clusters, &response.cluster)?;
    let silent = silent(&response, context).await?;
    let found = cluster::findings(&response, &silent);
    if context.global.json {
        context.print_json(&Answer {
            response: &response,
            silent: &silent,
        })?;
    } else {
        context.print(&render::stale::line(response.stale.as_ref(), &context.view))?;
        context.print(&render::metastatus::render(
            &response,
            &found,
            &context.view,
        ))?;
        let detail = Detail {
            level: args.verbose,
            groupings: &args.groupings,
        };
        let tables = render::metastatus::tables(&response, &silent, &detail, &context.view);
        context.print(&tables)?;
    }
    Ok(cluster::exit(&found))
}

/// What each coordinator sees, where none can answer for the cluster.
async fn leaderless(context: &Context, error: anyhow::Error) -> anyhow::Result<Exit> {
    let uninitialized = error
        .downcast_ref::<CallError>()
        .is_some_and(CallError::is_leaderless);
    match quorum::find(context).await {
        Some(lost) => context.note(&render::quorum::render(&lost)),
        None if uninitialized => context.note(&format!("{error}")),
        None => return Err(error),
    }
    node::show(context).await?;
    Ok(Exit::Unwell)
}

/// The ids of the silent coordinators: as the leader knows it, or as found out from here.
/// By a local socket only one coordinator can be asked, and nothing is found out of the others.
async fn silent(response: &MetastatusResponse, context: &Context) -> anyhow::Result<BTreeSet<u64>> {
    let local = context.is_local()?;
    let mut silent = BTreeSet::new();
    let mut asked = JoinSet::new();
    for one in response.coordinators.iter().filter(|one| !one.leader) {
        match (one.last_answer_ms, one.address.parse()) {
            (Some(ms), _) if ms <= SILENT_AFTER_MS => {}
            (None, _) if local => {}
            (None, Ok(address)) => {
                let (id, one) = (one.id, context.reaching(vec![address], ANSWER_WITHIN)?);
                asked.spawn(async move { (id, node::ask(one).await.is_ok()) });
            }
            (Some(_), _) | (None, Err(_)) => {
                silent.insert(one.id);
            }
        }
    }
    while let Some(answer) = asked.join_next().await {
        let (id, answers) = answer?;
        if !answers {
            silent.insert(id);
        }
    }
    Ok(silent)
}
