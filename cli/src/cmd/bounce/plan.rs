//! `paasta bounce plan`: one step of a bounce method on a state that is written down.

use std::{
    fs::File,
    io::{self, Read},
};

use anyhow::{Context as _, bail};
use paasta_coordinator_core::plan::bounce::dry_run::DryRun;
use paasta_process::help::examples;

use crate::{cmd::Context, exit::Exit, render};

/// The longest input, in bytes: ten thousand tasks have room.
const INPUT_BYTES_MAX: u64 = 4 << 20;

const INPUT: &str = "\
The input is JSON, as in:
  {\"method\": \"crossover\",
   \"new_config\": {\"id\": \"web.main.git2.config2\", \"instances\": 2},
   \"new_app_running\": true,
   \"happy_new_tasks\": [\"n1\"],
   \"old_app_live_happy_tasks\": {\"web.main.git1.config1\": [\"o1\", \"o2\"]},
   \"old_app_live_unhappy_tasks\": {},
   \"old_app_at_risk_tasks\": {},
   \"margin_factor\": 1.0}

The last two may be left out. The answer with --json:
  {\"create_app\": false, \"tasks_to_drain\": [\"o2\"]}";

/// Say what a bounce method would do next, by the code that the coordinators decide with
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta bounce plan --input state.json",
        "paasta bounce plan --input - --json < state.json",
    ],
    INPUT,
))]
pub struct Args {
    /// The state to decide on; - for standard input
    #[arg(long, value_name = "FILE")]
    pub input: String,
}

/// Reads, decides, prints.
///
/// # Errors
/// An input that cannot be read or is wrong; the field is named.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let text = match args.input.as_str() {
        "-" => read(io::stdin().lock()).context("standard input")?,
        path => File::open(path)
            .map_err(Into::into)
            .and_then(read)
            .with_context(|| path.to_owned())?,
    };
    let question: DryRun = serde_json::from_str(&text).context("input")?;
    let answer = question.run();
    if context.global.json {
        context.print(&format!("{}\n", serde_json::to_string(&answer)?))?;
    } else {
        let method = question.method.as_str();
        context.print(&render::bounce::render(
            method,
            answer.create_app,
            &answer.tasks_to_drain,
        ))?;
    }
    Ok(Exit::Ok)
}

fn read(input: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    input.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        bail!("longer than {INPUT_BYTES_MAX} bytes");
    }
    Ok(text)
}
