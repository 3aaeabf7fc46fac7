//! One line of the audit log. The first eight fields are those of PaaSTA's audit line.

use paasta_common::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The longest text of a record, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 500;
/// Objects that a record names, at most; the number of all is in `objects_total`.
pub const OBJECTS_MAX: usize = 20;

/// One line of the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// When, as RFC 3339 in UTC.
    pub timestamp: String,
    /// The cluster; empty before it was made.
    pub cluster: String,
    /// The service, where the call names one; `N/A` otherwise.
    pub service: String,
    /// The instance, where the call names one; `N/A` otherwise.
    pub instance: String,
    /// The caller in words: `admin/alice` is proven, `"bob@desk" (claimed)` was typed.
    pub user: String,
    /// The host that the call is about; where it is about none, that of the caller's address.
    pub host: String,
    /// The method without its package: `Operate.DrainHost`.
    pub action: String,
    /// What came of it, in words.
    pub action_details: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The proven identity, `ROLE/NAME`; empty where none was proven.
    pub principal: String,
    /// The role of the proven identity; empty where none was proven.
    pub role: String,
    /// The name that the caller typed; proves nothing.
    pub claimed: String,
    /// The caller's address, or `admin.sock`.
    pub peer: String,
    /// The coordinator that passed the call on, `coordinator/2`; empty where the caller is connected
    /// to this coordinator.
    pub via: String,
    /// The coordinator whose log this is.
    pub coordinator: u64,
    /// What the call names, at most [`OBJECTS_MAX`].
    pub objects: Vec<String>,
    /// How many things the call names.
    pub objects_total: usize,
    /// What came of it.
    pub outcome: AuditOutcome,
    /// The id of the request; empty where the call has none.
    pub request_id: String,
    /// Refusals of this caller, or records, that were not written down one by one.
    pub left_out: u64,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    /// Something changed, or the answer has begun.
    Done,
    /// It was so already.
    Unchanged,
    /// The caller may not call it.
    Denied,
    /// The caller may call it, and the request was refused.
    Refused,
    /// It failed: no leader, no room, a deadline.
    Failed,
    /// The caller went away before the answer: it may have been done.
    #[default]
    Unknown,
    /// Records were lost, as the log could not be written.
    Lost,
}

impl Record {
    /// A record of this moment about nothing yet.
    pub fn at(now: Timestamp) -> Self {
        let timestamp = humantime::format_rfc3339_millis(now.into());
        Self {
            timestamp: timestamp.to_string(),
            at_ms: now.0,
            service: "N/A".to_owned(),
            instance: "N/A".to_owned(),
            ..Self::default()
        }
    }

    /// The record as a line, its texts cut.
    pub(super) fn line(mut self) -> Option<Vec<u8>> {
        for text in [
            &mut self.action_details,
            &mut self.user,
            &mut self.claimed,
            &mut self.action,
            &mut self.request_id,
        ] {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        }
        self.objects.truncate(OBJECTS_MAX);
        let mut line = serde_json::to_vec(&self).ok()?;
        line.push(b'\n');
        Some(line)
    }
}
