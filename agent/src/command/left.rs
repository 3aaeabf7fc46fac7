//! Containers that this agent made under a host id that it has no more. They run on, and nothing
//! manages them: their labels name the former id.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use paasta_agent_core::state::LocalState;
use paasta_common::id::HostId;
use paasta_process::clock::{Clock as _, SystemClock};

use super::removal;
use crate::{
    engine::Engine,
    lanes::within,
    ledger::{Ledger, LedgerError},
    machine::Machine,
};

/// How long the engine may take for each call.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most containers that are named in one line of the log.
const NAMED_MAX: usize = 20;

/// Lists the containers of each former host id in the log, with the command that removes them.
pub(super) async fn report(engine: &dyn Engine, machine: &Machine) {
    for former in machine.former() {
        match describe(engine, former).await {
            Ok(None) => {}
            Ok(Some(text)) => tracing::warn!("{text}"),
            Err(error) => {
                tracing::warn!(%former, "containers of the former host id are not known: {error}");
            }
        }
    }
}

async fn describe(engine: &dyn Engine, former: &HostId) -> anyhow::Result<Option<String>> {
    let found = within(PATIENCE, engine.list(former.as_str())).await?;
    if found.is_empty() {
        return Ok(None);
    }
    let names = found.iter().take(NAMED_MAX).map(|seen| seen.name.as_str());
    let names = names.collect::<Vec<_>>().join(", ");
    let more = match found.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Ok(Some(format!(
        "this agent had host id {former} before and left {} containers under it, which nothing \
         manages: {names}{more}. Remove them with `paasta-agent reap --left-by {former}`, or give \
         the agent its former id again",
        found.len()
    )))
}

/// The ledger of the state directory where it is of a former host id. It is held while that host's
/// containers are removed, so that no agent starts meanwhile.
///
/// # Errors
/// When it cannot be used, or an agent of the former host id runs.
pub(super) fn ledger(state_dir: &Path, left_by: &HostId) -> anyhow::Result<Option<Ledger>> {
    let is_former = |state: &LocalState| {
        let held = state.assignment.as_ref();
        held.is_some_and(|held| held.host == *left_by)
    };
    match Ledger::open(state_dir, SystemClock.now()) {
        Ok((ledger, opened)) => Ok(Some(ledger).filter(|_| is_former(&opened.state))),
        Err(error @ LedgerError::InUse { .. }) if is_former(&Ledger::peek(state_dir)?) => {
            Err(error).context(format!("the agent of {left_by} runs: stop it first"))
        }
        // The agent runs under its present id, with a ledger of that.
        Err(LedgerError::InUse { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Stops and removes the containers of a former host id, or lists them. Returns what to print.
///
/// # Errors
/// When the agent never had that id, or the engine fails.
pub(super) async fn reap(
    engine: &dyn Engine,
    machine: &Machine,
    left_by: &HostId,
    dry_run: bool,
) -> anyhow::Result<String> {
    if !machine.former().contains(left_by) {
        let former = machine.former().iter().map(HostId::as_str);
        let former = former.collect::<Vec<_>>().join(", ");
        anyhow::bail!(
            "--left-by {left_by}: the agent of this state directory had no such id before (former \
             ids: {}); containers of another agent are left alone",
            if former.is_empty() { "none" } else { &former }
        );
    }
    let found = within(PATIENCE, engine.list(left_by.as_str())).await?;
    let why = format!("left by {left_by}");
    let found = found.iter().map(|seen| (seen, why.as_str()));
    let none = format!("{left_by} left no containers");
    removal::remove(engine, found, dry_run, &none).await
}

#[cfg(test)]
mod tests;
