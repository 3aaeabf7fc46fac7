//! Containers of ours that no run accounts for. An orphan is of this cluster and this host but of
//! no replica that the ledger knows: it goes when it is old enough. A leftover is of a known
//! replica but not its present run: it goes at once. Every other container is a stranger, and
//! strangers are never touched (I5).

use paasta_common::time::Timestamp;

use crate::{
    actions::{Action, Actions, Lane},
    observed::{ContainerState, Observed, Seen},
    settings::HostSettings,
    state::{LocalState, Record, Stage},
};

/// Why a container is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is another's, or it is a run of ours, or there is not enough known to say.
    Leave,
    /// Nothing accounts for it and it has reached the reap age.
    Orphan,
    /// A run that is over, of a replica that is known.
    Leftover,
}

/// Judges one container of the listing.
pub fn judge(
    state: &LocalState,
    settings: &HostSettings,
    seen: &Seen,
    listed_after_step: u64,
    now: Timestamp,
) -> Verdict {
    // Without an assignment nothing is known of what should be here: no reaping.
    let Some(assignment) = &state.assignment else {
        return Verdict::Leave;
    };
    let ours = seen.cluster_id == assignment.fence.cluster_id
        && seen.host.as_ref() == Some(&settings.host);
    if !ours || seen.state == ContainerState::Removing {
        return Verdict::Leave;
    }
    let Some(replica) = seen.replica else {
        return by_age(settings, seen, now);
    };
    match state.records.get(&replica) {
        Some(record) if listed_after_step < record.live.settled => Verdict::Leave,
        Some(record) if is_present_run(record, seen.run) => Verdict::Leave,
        Some(record) if is_next_run(record, seen.run) => Verdict::Leave,
        Some(_) => Verdict::Leftover,
        None if assignment.replicas.contains_key(&replica) => Verdict::Leave,
        None => by_age(settings, seen, now),
    }
}

/// Everything that would be reaped, for the operator who asks first.
pub fn reapable<'a>(
    state: &'a LocalState,
    settings: &'a HostSettings,
    observed: &'a Observed,
    now: Timestamp,
) -> impl Iterator<Item = (&'a Seen, Verdict)> {
    let listing = observed.listing.iter();
    listing.flat_map(move |listing| {
        listing.containers().iter().filter_map(move |seen| {
            let verdict = judge(state, settings, seen, listing.after_step, now);
            (verdict != Verdict::Leave).then_some((seen, verdict))
        })
    })
}

pub(crate) fn reap(
    state: &LocalState,
    settings: &HostSettings,
    observed: &Observed,
    now: Timestamp,
    actions: &mut Actions,
) {
    // Once per listing: what could not be removed is tried again when it shows again.
    if observed.degraded || !observed.fresh_listing {
        return;
    }
    for (seen, verdict) in reapable(state, settings, observed, now) {
        let lane = Lane::Container(seen.container.clone());
        if observed.busy.contains(&lane) {
            continue;
        }
        let why = match verdict {
            Verdict::Orphan => "no replica of this host accounts for it",
            Verdict::Leftover | Verdict::Leave => "its run is over",
        };
        actions.actions.push(Action::Reap {
            container: seen.container.clone(),
            name: seen.name.clone(),
            why: why.to_owned(),
        });
    }
}

fn by_age(settings: &HostSettings, seen: &Seen, now: Timestamp) -> Verdict {
    match now.since_ms(seen.created_at) >= settings.reap_age_ms {
        true => Verdict::Orphan,
        false => Verdict::Leave,
    }
}

/// A run that the records do not know yet: they are of the save before the one that began it. The
/// replica is on its way to this run and takes it over.
fn is_next_run(record: &Record, run: u64) -> bool {
    matches!(record.stage, Stage::Waiting { .. } | Stage::Pulling) && run > record.run
}

fn is_present_run(record: &Record, run: u64) -> bool {
    let holds = matches!(
        record.stage,
        Stage::Starting { .. } | Stage::Running { .. } | Stage::Ending { .. }
    );
    holds && run == record.run
}
