//! `paasta`, the command line of operators and service authors.
//!
//! One file per verb in [`cmd`], tables in [`render`] (text from messages, no decisions), the way
//! to a coordinator in [`client`]. What a replica's or an instance's state *means* is decided by the
//! coordinator; the one judgement made here is the exit code ([`verdict`]).

use std::{ffi::OsString, io::Write as _, process::ExitCode, time::Duration};

use clap::{CommandFactory as _, builder::Resettable};

use crate::{args::Args, cmd::Context, exit::Exit};

pub mod args;
pub mod client;
pub mod cmd;
pub mod compat;
pub mod exit;
pub mod keys;
pub mod render;
pub mod screen;
pub mod terminal;
pub mod verdict;

/// How long the runtime may take to stop what a command left behind.
const STOP_WITHIN: Duration = Duration::from_millis(200);

/// Runs the command line `argv` (the program's name first) to its exit code.
pub fn run(argv: impl IntoIterator<Item = OsString>) -> ExitCode {
    let argv: Vec<OsString> = argv.into_iter().collect();
    let args = match Args::read(&argv) {
        Ok(args) => args,
        Err(error) => {
            let exit = usage(&by_hand(error, &argv));
            if let (Exit::Failed, Some(instead)) = (exit, compat::instead(&argv)) {
                terminal::note(&instead);
            }
            return exit.into();
        }
    };
    let exit = match execute(args) {
        Ok(exit) => exit,
        Err(error) => {
            let exit = exit::of(&error);
            complain(&format!("paasta: {error:#}"));
            exit
        }
    };
    exit.into()
}

fn execute(args: Args) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut context = Context::new(args.global);
    let result = runtime.block_on(async {
        tokio::select! {
            biased;
            result = answer(args.command, &mut context) => result,
            // An interrupted command ends with this exit code; nothing is half done by that.
            Ok(()) = tokio::signal::ctrl_c() => Ok(Exit::Failed),
        }
    });
    runtime.shutdown_timeout(STOP_WITHIN);
    result
}

/// Runs the verb; where no coordinator could answer without a leader, says what those say that
/// are there.
async fn answer(command: args::Command, context: &mut Context) -> anyhow::Result<Exit> {
    let error = match cmd::run(command, context).await {
        Ok(exit) => return Ok(exit),
        Err(error) => error,
    };
    match cmd::quorum::explain(context, &error).await {
        Some(text) => {
            complain(&format!("paasta: {text}"));
            Ok(Exit::Unwell)
        }
        None => Err(error),
    }
}

/// The same mistake without what the environment gives: clap names options that have a value in
/// the usage line, as if they were required.
fn by_hand(error: clap::Error, argv: &[OsString]) -> clap::Error {
    let bare = Args::command().mut_args(|arg| arg.env(Resettable::Reset));
    bare.try_get_matches_from(argv).err().unwrap_or(error)
}

/// Help and version are what was asked for; anything else is a mistake in the command line.
fn usage(error: &clap::Error) -> Exit {
    let text = error.render();
    if error.use_stderr() {
        complain(text.to_string().trim_end());
        return Exit::Failed;
    }
    // A reader that went away (`paasta --help | head -1`) is no failure.
    let _ = match terminal::colours(&std::io::stdout()) {
        true => write!(std::io::stdout(), "{}", text.ansi()),
        false => write!(std::io::stdout(), "{text}"),
    };
    Exit::Ok
}

fn complain(text: &str) {
    // There is nowhere left to say that standard error is gone.
    let _ = writeln!(std::io::stderr(), "{text}");
}
