//! `paasta audit`: what was done, by what caller, with which outcome.

use std::{collections::BTreeSet, time::Duration};

use paasta_process::{
    clock::{Clock, SystemClock},
    help::examples,
};
use paasta_proto::v1::{
    AuditRecord, AuditRequest, AuditResponse, principals_client::PrincipalsClient,
};
use tokio::task::JoinSet;

use super::Context;
use crate::{
    client::{ANSWER_BYTES_MAX, CallError, Coordinators, request},
    exit::Exit,
    render,
    terminal::note,
};

/// The exit codes.
const EXITS: &str = "\
Exit codes:
  0  the records of every coordinator are shown
  2  a coordinator did not answer: its records are missing
  3  no coordinator could be reached, or none that could answer";

/// Show what was done and refused: callers, addresses, methods, outcomes
///
/// Every coordinator keeps a log of the calls that reach it: each change, and each refusal. This asks
/// all coordinators that are named and shows their records by time; a call that one of them passed on
/// is shown once. A proven caller is ROLE/NAME; a name that was only typed is "NAME" (claimed).
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta audit",
        "paasta audit --refused --since 1day",
        "paasta audit --by deployer/ci --about web -n 1000 --json",
    ],
    EXITS,
))]
pub struct Args {
    /// Only what happened within this time, as 1h or 7days
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub since: Option<Duration>,
    /// So many records of each coordinator at most, the newest
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
    /// Only calls that were denied, refused or failed
    #[arg(long)]
    pub refused: bool,
    /// Only calls of this caller: ROLE/NAME, or a name that was typed
    #[arg(
        long,
        value_name = "CALLER",
        default_value = "",
        hide_default_value = true
    )]
    pub by: String,
    /// Only calls that name this service, SERVICE.INSTANCE or host
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub about: String,
}

/// Shows the records.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let ask = AuditRequest {
        since_ms: args
            .since
            .map_or(0, |span| SystemClock.now().before(span).0),
        limit: args.limit,
        refused: args.refused,
        by: args.by.clone(),
        object: args.about.clone(),
    };
    // Side by side: one that is away holds up no other.
    let mut asking = JoinSet::new();
    for (at, address) in context.addresses()?.into_iter().enumerate() {
        let coordinators = context.reaching(vec![address.clone()], context.global.timeout)?;
        let ask = ask.clone();
        asking.spawn(async move { (at, address, one(ask, coordinators.once()).await) });
    }
    let mut answers = asking.join_all().await;
    answers.sort_by_key(|(at, ..)| *at);
    let (mut records, mut failed) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for (_, address, answer) in answers {
        match answer {
            // One coordinator may be named by two addresses.
            Ok(answer) if !seen.insert(answer.coordinator) => {}
            Ok(answer) => records.extend(answer.records),
            Err(error) => failed.push((address, error)),
        }
    }
    if seen.is_empty()
        && let Some((_, error)) = failed.pop()
    {
        return Err(error.into());
    }
    for (address, error) in &failed {
        note(&format!(
            "the records of coordinator {address} are missing: {error}"
        ));
    }
    let records = once_each(records);
    match context.global.json {
        true => context.print_json(&records)?,
        false => context.print(&render::audit::render(&records, &context.view))?,
    }
    Ok(match failed.is_empty() {
        true => Exit::Ok,
        false => Exit::Unwell,
    })
}

/// The records of one coordinator.
async fn one(
    ask: AuditRequest,
    mut coordinators: Coordinators,
) -> Result<AuditResponse, CallError> {
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let mut client = PrincipalsClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(ask.clone(), timeout);
        async move { client.audit(ask).await }
    });
    answer.await
}

/// By time; without what a coordinator passed on, where that coordinator's own record is there.
fn once_each(mut records: Vec<AuditRecord>) -> Vec<AuditRecord> {
    let direct: BTreeSet<(String, String)> = records
        .iter()
        .filter(|one| one.via.is_empty() && !one.request_id.is_empty())
        .map(|one| (one.request_id.clone(), one.method.clone()))
        .collect();
    records.retain(|one| {
        one.via.is_empty() || !direct.contains(&(one.request_id.clone(), one.method.clone()))
    });
    records.sort_by_key(|one| (one.at_ms, one.coordinator));
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_passed_on_is_shown_once() {
        let record = |at_ms: u64, via: &str, id: &str| AuditRecord {
            at_ms,
            via: via.to_owned(),
            request_id: id.to_owned(),
            method: "Operate.DrainHost".to_owned(),
            ..AuditRecord::default()
        };
        let records = once_each(vec![
            record(3, "", "a"),
            record(2, "coordinator/2", "a"),
            // Its direct record is on a coordinator that did not answer.
            record(1, "coordinator/3", "b"),
            record(4, "", ""),
        ]);
        let at: Vec<u64> = records.iter().map(|one| one.at_ms).collect();
        assert_eq!(at, [1, 3, 4]);
    }
}
