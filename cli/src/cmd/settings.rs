//! `paasta settings`: the operators' settings that decide what a container is are the cluster's.
//! Shows whose files say something else, and makes what one of them says the cluster's.

use paasta_process::help::examples;
use paasta_proto::v1::{
    ApplySettingsRequest, DiffSettingsRequest, DiffSettingsResponse, SettingsState,
    settings_client::SettingsClient,
};

use super::{Context, asker, confirm::confirm, operate};
use crate::{
    client::{ANSWER_BYTES_MAX, request},
    exit::Exit,
    render,
    terminal::note,
};

/// The exit codes of these verbs.
const EXITS: &str = "\
Exit codes:
  0  diff: every coordinator's files say what is in force; apply: done
  1  refused, or no such coordinator
  2  diff: the files of a coordinator differ, or it does not answer
  3  no coordinator could be reached, or none that could answer";

/// The verbs about the settings of the cluster.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show whose files differ from what is in force, and what it would do to apply them
    Diff(DiffArgs),
    /// Make what the files of one coordinator say the settings of the cluster
    Apply(ApplyArgs),
}

/// Show whose files differ from what is in force, and what it would do to apply them
///
/// `volumes`, `docker_registry`, the deploy lists and whatever else of /etc/paasta decides what a
/// container is or where it may run is one set for the cluster, whichever leads. A change of it takes
/// effect when the files of most coordinators say so, after they were restarted, or by `apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta settings diff", "paasta settings diff --from 2 --json"], EXITS))]
pub struct DiffArgs {
    /// The coordinator whose files to preview [default: the first one that differs]
    #[arg(
        long,
        value_name = "ID",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub from: u64,
}

/// Make what the files of one coordinator say the settings of the cluster
///
/// Shows what would bounce, and asks. What bounces does so a few at a time, after the deploys. The
/// other coordinators' files should be brought into line: until then they are told of as differing.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["paasta settings apply --from 2", "paasta settings apply --from 2 --yes"], EXITS))]
pub struct ApplyArgs {
    /// The coordinator whose files count
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    pub from: u64,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Runs a verb.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Diff(args) => {
            let answer = diff(context, args.from).await?;
            match context.global.json {
                true => context.print_json(&answer)?,
                false => context.print(&render::settings::render(&answer, &context.view))?,
            }
            let same = answer
                .coordinators
                .iter()
                .all(|one| one.state() == SettingsState::Same);
            Ok(if same { Exit::Ok } else { Exit::Unwell })
        }
        Command::Apply(args) => apply(context, &args).await,
    }
}

pub(super) async fn diff(context: &Context, from: u64) -> anyhow::Result<DiffSettingsResponse> {
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let mut client = SettingsClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(DiffSettingsRequest { from }, timeout);
        async move { client.diff(ask).await }
    });
    Ok(answer.await?)
}

async fn apply(context: &Context, args: &ApplyArgs) -> anyhow::Result<Exit> {
    let shown = diff(context, args.from).await?;
    if !args.yes {
        note(render::settings::render(&shown, &context.view).trim_end());
        let question = format!(
            "Make what the files of coordinator {} say the settings of the cluster?",
            args.from
        );
        if !confirm(&question)? {
            note("nothing was changed");
            return Ok(Exit::Failed);
        }
    }
    let ask = ApplySettingsRequest {
        asker: Some(asker::new()),
        from: args.from,
        digest: shown.digest,
    };
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = request(ask.clone(), timeout);
        async move { SettingsClient::new(channel).apply(ask).await }
    });
    let answer = answer.await?;
    match context.global.json {
        true => context.print_json(&answer)?,
        false => context.print(&format!("{}\n", render::plain(&answer.text)))?,
    }
    Ok(operate::verdict(answer.outcome()))
}
