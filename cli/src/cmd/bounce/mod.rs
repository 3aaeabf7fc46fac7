//! `paasta bounce`: bounce methods, tried out without a cluster.

use super::Context;
use crate::exit::Exit;

pub mod plan;

/// The verbs about bounces.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Say what a bounce method would do next, by the code that the coordinators decide with
    Plan(plan::Args),
}

/// Runs a verb.
///
/// # Errors
/// What kept it from being done.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Plan(args) => plan::run(args, context),
    }
}
