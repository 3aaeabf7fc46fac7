//! Instances that bounce by a change that touches many: a few at a time, the others run on as they
//! are until it is their turn.

use paasta_common::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An instance that bounces, or is to, by a change that touches many. While it waits it is pinned
/// to the app that it runs ([`super::instance::PinKind::Paced`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paced {
    /// Since when it is to bounce.
    pub since: Timestamp,
    /// Whether it is its turn.
    pub going: bool,
}
