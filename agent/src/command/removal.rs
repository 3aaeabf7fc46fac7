//! The removal of containers that nothing manages, one after the other, as the answer of a command.

use std::fmt::Write;

use paasta_agent_core::observed::Seen;

use crate::{engine::Engine, lanes::reap_one};

/// Removes the containers, each with why it goes, or only says so if it is a `dry_run`. Returns
/// what to print, `none` where there is nothing to remove.
///
/// # Errors
/// When a container could not be removed; the others are, and the text names each.
pub(super) async fn remove<'a>(
    engine: &dyn Engine,
    containers: impl IntoIterator<Item = (&'a Seen, &'a str)>,
    dry_run: bool,
    none: &str,
) -> anyhow::Result<String> {
    let (mut said, mut failed) = (String::new(), 0_u32);
    for (seen, why) in containers {
        let what = match dry_run {
            true => "would remove",
            // One that cannot be removed keeps no other.
            false => match reap_one(engine, &seen.container).await {
                Ok(()) => "removed",
                Err(error) => {
                    failed += 1;
                    writeln!(said, "not removed: {}: {error}", seen.name)?;
                    continue;
                }
            },
        };
        writeln!(said, "{what} {} ({}): {why}", seen.name, seen.container)?;
    }
    if failed > 0 {
        anyhow::bail!("{said}{failed} containers were not removed; is the container runtime well?");
    }
    if said.is_empty() {
        writeln!(said, "{none}")?;
    }
    Ok(said)
}
