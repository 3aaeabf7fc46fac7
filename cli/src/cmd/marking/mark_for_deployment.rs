//! `paasta mark-for-deployment`: from now on a deploy group runs this commit. Waits for that when
//! asked to, and goes back when it does not come about.

use anyhow::bail;
use paasta_common::id::ServiceName;
use paasta_process::help::examples;
use serde_json::json;

use super::{Origin, PushArgs, ServiceArgs};
use crate::{
    cmd::{Context, names, push_to_registry, step, wait_for_deployment as wait},
    exit::Exit,
    terminal::note,
};

/// Mark a commit for deployment: its deploy group runs it from now on
///
/// Pushes the tag paasta-GROUP-TIME-deploy to the service's repository. The coordinators see it
/// within seconds.
#[derive(Debug, clap::Args)]
#[command(
    after_help = examples(
        &[
            "paasta mark-for-deployment -s hello -l prod.everything -k $(git rev-parse HEAD)",
            "paasta mark-for-deployment -s hello -l prod.everything -k 3f2a9c0d \
             --wait-for-deployment --auto-rollback",
        ],
        "Exit code 0: marked (and with --wait-for-deployment: running). 1: not marked, not running \
         in time, or rolled back.",
    )
)]
pub struct Args {
    /// Which service
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The git URL [default: git_url in service.yaml]
    #[arg(short = 'u', long, value_name = "URL")]
    pub git_url: Option<String>,
    /// The commit; a short sha is looked up among those that branches and tags stand on
    #[arg(short = 'k', short_alias = 'c', long, value_name = "SHA")]
    pub commit: String,
    /// The deploy group
    #[arg(short = 'l', long, alias = "clusterinstance", value_name = "GROUP")]
    pub deploy_group: String,
    /// Refuse when the registry has no image of the commit
    #[arg(long)]
    pub verify_image_exists: bool,
    /// Wait until the cluster runs it
    #[arg(long)]
    pub wait_for_deployment: bool,
    /// How long to wait
    #[command(flatten)]
    pub patience: wait::Patience,
    /// When it does not run in time, mark the commit that was marked before
    #[arg(long, requires = "wait_for_deployment")]
    pub auto_rollback: bool,
    /// How pushing is tried
    #[command(flatten)]
    pub push: PushArgs,
}

/// Marks, waits and goes back, as asked for.
///
/// # Errors
/// The commit is not known, its image is missing, or the repository takes no tag.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mut origin = Origin::ask(context, &args.service, args.git_url.as_deref()).await?;
    let group = &args.deploy_group;
    let commit = origin.commit(&args.commit, &args.push).await?;
    let sha = commit.sha().to_owned();
    warn_of_unknown(&origin, group);
    let before = origin.current(group).map(str::to_owned);
    if before.as_deref() == Some(&sha) {
        note(&format!(
            "{sha} is what {group} runs already; it is marked again"
        ));
    }
    if args.verify_image_exists {
        verify_image(context, &origin.service, &args.service, &sha).await?;
    }
    let tag = origin.mark(group, &commit, &args.push).await?;
    origin.tell(context, std::slice::from_ref(&tag)).await;
    let earlier = before.filter(|before| *before != sha);
    said(context, &origin, group, &sha, earlier.as_deref())?;
    let mut waited = None;
    let mut rolled_back = None;
    if args.wait_for_deployment {
        let found = wait::wait(context, &origin, group, &sha, &args.patience).await?;
        if !found.done && args.auto_rollback {
            rolled_back = back(context, &mut origin, args, earlier.as_deref()).await?;
        }
        waited = Some(found);
    }
    let running = waited.as_ref().map(|waited| waited.done);
    if context.global.json {
        context.print_json(&json!({
            "service": origin.service, "deploy_group": group, "sha": sha, "tag": tag,
            "before": earlier, "running": running, "rolled_back_to": rolled_back,
            "instances": waited.map(|waited| waited.instances),
        }))?;
    }
    match running {
        Some(false) => Ok(Exit::Failed),
        _ => Ok(Exit::Ok),
    }
}

/// Says that nothing runs by this group, and which groups there are. Somebody may be about to add
/// it, so it is no mistake.
pub(super) fn warn_of_unknown(origin: &Origin, group: &str) {
    let known = origin.groups();
    if !known.contains(group) {
        let hint = names::hint(group, known.iter().copied());
        let known: Vec<&str> = known.into_iter().collect();
        note(&format!(
            "no instance of {} is in deploy group {group}{hint}; in use: {}",
            origin.service,
            known.join(", ")
        ));
    }
}

async fn verify_image(
    context: &Context,
    service: &ServiceName,
    args: &ServiceArgs,
    sha: &str,
) -> anyhow::Result<()> {
    let system = context.system()?;
    let (soa, _) = super::service(args, &system)?;
    let own = soa
        .service(service)
        .ok()
        .and_then(|own| own.docker_registry);
    let Some(registry) = own.or(system.docker_registry) else {
        bail!("docker_registry is set neither in the configuration nor in service.yaml");
    };
    let (repository, tag) = (step::repository(service), step::tag(sha));
    match push_to_registry::has(&registry, &repository, &tag).await? {
        true => Ok(()),
        false => bail!(
            "{registry}/{repository}:{tag} is not in the registry; push it before it is marked"
        ),
    }
}

fn said(
    context: &Context,
    origin: &Origin,
    group: &str,
    sha: &str,
    before: Option<&str>,
) -> anyhow::Result<()> {
    if context.global.json {
        return Ok(());
    }
    let service = &origin.service;
    let mut text = format!("Marked {sha} for deployment in deploy group {group} of {service}\n");
    if let Some(before) = before {
        text.push_str(&format!(
            "To go back: paasta rollback -s {service} -l {group} -k {before}\n"
        ));
    }
    context.print(&text)
}

/// Marks what was marked before; returns it.
async fn back(
    context: &Context,
    origin: &mut Origin,
    args: &Args,
    before: Option<&str>,
) -> anyhow::Result<Option<String>> {
    let Some(before) = before else {
        note("nothing else was marked before: there is nothing to roll back to");
        return Ok(None);
    };
    let group = &args.deploy_group;
    let commit = origin.commit(before, &args.push).await?;
    let tag = origin.mark(group, &commit, &args.push).await?;
    origin.tell(context, &[tag]).await;
    if !context.global.json {
        let service = &origin.service;
        context.print(&format!(
            "Rolled back: marked {before} in {group} of {service}\n"
        ))?;
    }
    Ok(Some(before.to_owned()))
}
