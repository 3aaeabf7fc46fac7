//! Which instances are in alarm. Replicated, so that a new leader neither tells a team twice nor
//! forgets to tell it that all is well again. When an alarm begins or ends is decided in
//! [`crate::plan::alarm`].

use paasta_common::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What was last said of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Whether it is in alarm.
    pub critical: bool,
    /// Since when it is, or is not any more.
    pub since: Timestamp,
    /// What was said then.
    pub text: String,
}
