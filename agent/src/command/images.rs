//! `paasta-agent images`: the images of services on this host and what becomes of each. With
//! `--dry-run` they are only judged, beside a running agent; without, those that exceed the budget
//! are removed, which needs the agent to be stopped, as a running one does it by itself.

use std::fmt::Write;

use anyhow::Context;
use clap::Args;
use paasta_agent_core::{
    collect::{Fate, Judged, judge, note_use},
    images::needed,
    state::LocalState,
};
use paasta_common::time::Timestamp;
use paasta_process::{
    clock::{Clock, SystemClock},
    help::examples,
};

use super::{ConfigArgs, at_rest, runtime};
use crate::{
    engine::{Engine, docker::DockerEngine},
    images::collect::{LastUseFile, PATIENCE, stock},
    lanes::within,
    options::Options,
};

/// The flags of `images`.
#[derive(Debug, Args)]
#[command(after_help = examples(&["paasta-agent images --dry-run"], ""))]
pub struct ImagesArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only say what would be removed.
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Judges the images, removes those that go, and returns what to print.
///
/// # Errors
/// When the configuration, the ledger or the engine cannot be used.
pub fn images(args: ImagesArgs) -> anyhow::Result<String> {
    let system = args.config.load()?;
    let options = Options::new(&system)?;
    let (_held, state) = at_rest(&options, args.dry_run)?;
    if options.collect.registry.is_empty() {
        return Ok("docker_registry is not set: no image is known to be ours\n".to_owned());
    }
    let engine = DockerEngine::new(&options.docker_socket, &options.credentials);
    runtime()?.block_on(collect(&engine, &options, &state, args.dry_run))
}

async fn collect(
    engine: &dyn Engine,
    options: &Options,
    state: &LocalState,
    dry_run: bool,
) -> anyhow::Result<String> {
    if state.assignment.is_none() {
        return Ok(
            "no assignment was ever accepted here: nothing is known to be unneeded\n".to_owned(),
        );
    }
    let stock = stock(engine).await.context("images cannot be listed")?;
    let file = LastUseFile::new(&options.state_dir);
    let (now, needed, settings) = (SystemClock.now(), needed(state), &options.collect);
    let mut last = file.read();
    note_use(&mut last, &stock, &needed, settings, now);
    let judged = judge(&stock, &needed, &last, settings, now);
    let mut said = String::new();
    for image in &judged {
        let what = match (image.fate, dry_run) {
            (Fate::Goes, true) => "would remove",
            (Fate::Goes, false) => {
                remove(engine, image).await?;
                "removed"
            }
            _ => "keep",
        };
        writeln!(said, "{what} {}", line(image, now))?;
    }
    if !dry_run {
        file.write(&last)
            .context("the times at which images were used cannot be kept")?;
    }
    if said.is_empty() {
        said.push_str("no images of services\n");
    }
    Ok(said)
}

async fn remove(engine: &dyn Engine, image: &Judged) -> anyhow::Result<()> {
    for name in &image.names {
        within(PATIENCE, engine.forget(name))
            .await
            .with_context(|| format!("{name} was not removed"))?;
    }
    Ok(())
}

fn line(image: &Judged, now: Timestamp) -> String {
    let mib = image.bytes.div_ceil(1 << 20);
    let unused = now.since_ms(image.last_used) / 60_000;
    format!(
        "{} ({mib} MiB, unused for {unused} min): {}",
        image.names.join(" "),
        image.fate.as_str()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_and_why() {
        let image = Judged {
            names: vec!["r/services-a:1".to_owned()],
            bytes: (5 << 20) + 1,
            last_used: Timestamp(60_000),
            fate: Fate::InUse,
        };
        assert_eq!(
            line(&image, Timestamp(240_000)),
            "r/services-a:1 (6 MiB, unused for 3 min): a container uses it"
        );
    }
}
