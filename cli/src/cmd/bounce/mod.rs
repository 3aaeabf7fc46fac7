//! `paasta bounce`: bounces that are under way, and bounce methods tried out without a cluster.

use paasta_common::id::InstanceId;

use super::Context;
use crate::exit::Exit;

pub mod force;
pub mod plan;
pub mod resume;
pub mod rollback;
pub mod status;

/// The exit codes of the verbs that ask the cluster.
const EXITS: &str = "\
Exit codes:
  0  done, or so already; of status: nothing is held or overdue
  1  refused, or an instance that is not known
  2  of status: a bounce is held or overdue, or a rollback is in force
  3  no coordinator could be reached";

/// The verbs about bounces.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show the bounces that are under way, held or rolled back
    Status(status::Args),
    /// Let a bounce go on that is held or overdue, or go forward again after a rollback
    Resume(resume::Args),
    /// Go back to the version before, until the next one
    Rollback(rollback::Args),
    /// Replace every replica by the bounce method, though nothing changed
    Force(force::Args),
    /// Say what a bounce method would do next, by the code that the coordinators decide with
    Plan(plan::Args),
}

/// Runs a verb.
///
/// # Errors
/// What kept it from being done.
pub async fn run(command: &Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Status(args) => status::run(args, context).await,
        Command::Resume(args) => resume::run(args, context).await,
        Command::Rollback(args) => rollback::run(args, context).await,
        Command::Force(args) => force::run(args, context).await,
        Command::Plan(args) => plan::run(args, context),
    }
}

/// Which instances are meant, and why.
#[derive(Debug, clap::Args)]
pub struct Meant {
    /// The instances
    #[arg(value_name = "SERVICE.INSTANCE", required = true)]
    pub instances: Vec<InstanceId>,
    /// Why, for those who see it later
    #[arg(long, value_name = "TEXT", default_value = "by hand")]
    pub reason: String,
}

impl Meant {
    fn names(&self) -> Vec<String> {
        self.instances.iter().map(ToString::to_string).collect()
    }
}
