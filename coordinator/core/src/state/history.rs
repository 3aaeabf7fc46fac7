//! What was asked of an instance, by whom and when: every change of what is desired, in a ring of
//! bounded length that is replicated with the instance.

use std::collections::VecDeque;

use paasta_common::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{actor::Actor, command::Context};

/// The most changes kept of an instance; the oldest goes when another comes.
pub const CHANGES_MAX: usize = 20;
/// The longest text of a change, in bytes.
pub const TEXT_BYTES_MAX: usize = 300;
/// The most fields or tags that one change names.
pub const NAMES_MAX: usize = 20;

/// A change of what is desired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The log index of the command.
    pub index: u64,
    /// When.
    pub at: Timestamp,
    /// Its author.
    pub by: Actor,
    /// What kinds of thing changed, as words: declared, deploy, start, stop, restart, config, scale,
    /// override, rollback, removed.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// The commit that is desired since, where that changed.
    #[serde(default)]
    pub git_sha: Option<String>,
    /// The tags that said so.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The fields of the configuration that changed.
    #[serde(default)]
    pub fields: Vec<String>,
    /// In words.
    pub text: String,
}

/// Why an instance's desired state changes: said by the one who saw what changed, since that is not
/// in the state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// The author; when unknown, the proposer.
    pub by: Actor,
    /// As in [`Change`].
    pub kinds: Vec<String>,
    /// The tags that said so.
    pub tags: Vec<String>,
    /// The fields of the configuration that changed.
    pub fields: Vec<String>,
}

/// The last [`CHANGES_MAX`] changes, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(VecDeque<Change>);

impl History {
    /// The changes, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Change> + DoubleEndedIterator {
        self.0.iter()
    }

    pub(super) fn push(
        &mut self,
        context: &Context<'_>,
        cause: Cause,
        git_sha: Option<String>,
        mut text: String,
    ) {
        if text.len() > TEXT_BYTES_MAX {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        }
        while self.0.len() >= CHANGES_MAX {
            self.0.pop_front();
        }
        let few = |names: Vec<String>| names.into_iter().take(NAMES_MAX).collect();
        self.0.push_back(Change {
            index: context.index,
            at: context.at,
            by: match cause.by.is_unknown() {
                true => context.by.clone(),
                false => cause.by,
            },
            kinds: few(cause.kinds),
            git_sha,
            tags: few(cause.tags),
            fields: few(cause.fields),
            text,
        });
    }
}

impl Cause {
    /// Of one kind, by the proposer.
    pub fn of(kind: &str) -> Self {
        Self {
            kinds: vec![kind.to_owned()],
            ..Self::default()
        }
    }
}
