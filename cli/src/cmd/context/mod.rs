//! `paasta context`: how each cluster is reached, kept in files of the user.

use paasta_common::id::ContextName;
use paasta_identity::context::Contexts;
use paasta_process::help::examples;

use super::Context;
use crate::{exit::Exit, terminal::note};

pub mod add;
pub mod list;
pub mod show;

const ORDER: &str = "\
Which coordinators are asked, the first that is given:
  1. --coordinators or PAASTA_COORDINATORS
  2. --context or PAASTA_CONTEXT
  3. the current context (paasta context use)
  4. cli.coordinators of the system configuration
An option on the command line beats an environment variable.";

/// The verbs about contexts.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the contexts; the current one has a star
    #[command(after_help = examples(&["paasta context list", "paasta context list --json"], ORDER))]
    List,
    /// Show a context: its cluster, coordinators and certificate, without the key
    #[command(after_help = examples(
        &["paasta context show            # the current one", "paasta context show prod --json"],
        "",
    ))]
    Show(Named),
    /// Make a context the current one
    #[command(after_help = examples(
        &["paasta context use prod", "paasta context use dev   # as PAASTA_CONTEXT=dev for every shell"],
        ORDER,
    ))]
    Use(One),
    /// Remove a context
    #[command(after_help = examples(
        &["paasta context remove prod", "paasta context remove old-prod"],
        "Files that the context names (of certificates and keys) stay.",
    ))]
    Remove(One),
    /// Write a context from --coordinators, --tls-ca, --tls-cert and --tls-key
    Add(add::Args),
}

/// A context, or the current one.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The context [default: the current one]
    #[arg(value_name = "NAME")]
    pub name: Option<ContextName>,
}

/// A context.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The context
    #[arg(value_name = "NAME")]
    pub name: ContextName,
}

/// Runs a verb. No coordinator is asked.
///
/// # Errors
/// A context does not exist or cannot be used, or its file cannot be written.
pub fn run(command: Command, context: &Context) -> anyhow::Result<Exit> {
    let contexts = Contexts::of_user()?;
    match command {
        Command::List => list::run(&contexts, context),
        Command::Show(named) => show::run(named.name, &contexts, context),
        Command::Use(one) => {
            contexts.load(&one.name)?;
            contexts.select(&one.name)?;
            note(&format!("{} is the current context", one.name));
            Ok(Exit::Ok)
        }
        Command::Remove(one) => {
            contexts.remove(&one.name)?;
            note(&format!("context {} is removed", one.name));
            Ok(Exit::Ok)
        }
        Command::Add(args) => add::run(&args, &contexts, context),
    }
}
