//! Which of the two files of a ledger counts, decided from what each of them is.
//!
//! The newest counts when it is whole. Otherwise the one before it does: it holds the same
//! assignment, as a save that changes the assignment goes to both files, and records that are one
//! save older. Where the head of the damaged file shows a newer fence all the same, and where
//! neither file is whole, only the fence remains: what runs is then taken over by its labels at the
//! next assignment.

use paasta_agent_core::state::LocalState;
use paasta_common::assignment::Fence;

use super::{
    damage::Remains,
    disk::{BEFORE, Found, NEWEST},
    format::Contents,
};

/// What is gone on with.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Choice {
    pub(super) contents: Contents,
    /// Both files are whole and hold this assignment.
    pub(super) settled: bool,
    pub(super) damage: Option<Damaged>,
}

/// What is wrong, and which files are to be set aside for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damaged {
    pub(super) reason: String,
    pub(super) remains: Remains,
    pub(super) files: Vec<&'static str>,
}

/// A file in a format that this agent does not know, and no older one counts beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewerFormat {
    pub(super) file: &'static str,
    pub(super) format: u32,
}

pub(super) fn choose(newest: Found, before: Found) -> Result<Choice, NewerFormat> {
    let newer = |file, format| Err(NewerFormat { file, format });
    match (newest, before) {
        (Found::Newer { format }, _) => newer(NEWEST, format),
        (Found::Whole(newest), Found::Whole(before)) if before.sequence > newest.sequence => {
            let reason = format!(
                "{NEWEST} ends at save {}, and {BEFORE} at save {}",
                newest.sequence, before.sequence
            );
            Ok(go_back(reason, newest.state.accepted, before))
        }
        (Found::Whole(newest), before) => Ok(Choice {
            settled: matches!(&before, Found::Whole(before) if same_order(&before.state, &newest.state)),
            contents: newest,
            damage: None,
        }),
        (Found::Damaged { .. } | Found::Missing, Found::Newer { format }) => newer(BEFORE, format),
        (Found::Damaged { reason, accepted }, Found::Whole(before)) => {
            Ok(go_back(format!("{NEWEST}: {reason}"), accepted, before))
        }
        // A save was interrupted between its two renames: nothing was done about it.
        (Found::Missing, Found::Whole(before)) => Ok(Choice {
            contents: before,
            ..Choice::default()
        }),
        (Found::Missing, Found::Missing) => Ok(Choice::default()),
        (newest, before) => Ok(begin_anew([(NEWEST, newest), (BEFORE, before)])),
    }
}

/// Whether both hold the same assignment and fence.
pub(super) fn same_order(one: &LocalState, other: &LocalState) -> bool {
    one.accepted == other.accepted && one.assignment == other.assignment
}

fn go_back(reason: String, accepted: Option<Fence>, before: Contents) -> Choice {
    let newest = newer_fence(before.state.accepted.clone(), accepted);
    let files = vec![NEWEST];
    if newest == before.state.accepted {
        return Choice {
            contents: before,
            settled: false,
            damage: Some(Damaged {
                reason,
                remains: Remains::SaveBefore,
                files,
            }),
        };
    }
    Choice {
        contents: only_fence(before.sequence, newest),
        settled: false,
        damage: Some(Damaged {
            reason: format!("{reason}; {BEFORE} holds an older assignment"),
            remains: Remains::Fence,
            files: vec![NEWEST, BEFORE],
        }),
    }
}

fn begin_anew(files: [(&'static str, Found); 2]) -> Choice {
    let (mut reasons, mut names, mut fence) = (Vec::new(), Vec::new(), None);
    for (name, found) in files {
        match found {
            Found::Damaged { reason, accepted } => {
                reasons.push(format!("{name}: {reason}"));
                names.push(name);
                fence = newer_fence(fence, accepted);
            }
            Found::Missing | Found::Whole(_) | Found::Newer { .. } => {
                reasons.push(format!("{name} is missing"));
            }
        }
    }
    let remains = match fence {
        Some(_) => Remains::Fence,
        None => Remains::Nothing,
    };
    Choice {
        contents: only_fence(0, fence),
        settled: false,
        damage: Some(Damaged {
            reason: reasons.join("; "),
            remains,
            files: names,
        }),
    }
}

fn only_fence(sequence: u64, accepted: Option<Fence>) -> Contents {
    Contents {
        sequence,
        state: LocalState {
            accepted,
            ..LocalState::default()
        },
    }
}

/// The newer of two fences; the first where they are of two clusters.
pub(super) fn newer_fence(one: Option<Fence>, other: Option<Fence>) -> Option<Fence> {
    match (one, other) {
        (Some(one), Some(other)) if one.admits(&other).is_err() => Some(one),
        (one, None) => one,
        (_, other) => other,
    }
}
