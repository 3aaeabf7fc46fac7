//! The conversation with who is told to drain, call by call: one at a time, each with a time by
//! which it is back or lost, and an end to trying. Not here: what is called and where.

use paasta_common::time::Timestamp;

use super::{Leaving, Look};
use crate::{
    actions::Action,
    state::{Draining, Live},
};

/// Errors in a row after which nobody is asked any more: a broken endpoint never blocks.
pub const ERRORS_MAX: u32 = 3;
/// How long one call may take, milliseconds.
pub const CALL_TIMEOUT_MS: u64 = 15_000;
/// Between two questions whether it is safe, milliseconds.
const POLL_MS: u64 = 1_000;
/// A call without an answer this long after its timeout is lost.
const LOST_AFTER_MS: u64 = 5_000;

/// What is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Is it draining already? Asked first, as an agent may have died between telling and knowing.
    IsDraining,
    /// Drain.
    Drain,
    /// May it be killed?
    IsSafeToKill,
    /// Serve again.
    StopDraining,
}

impl Call {
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::IsDraining => "is_draining",
            Self::Drain => "drain",
            Self::IsSafeToKill => "is_safe_to_kill",
            Self::StopDraining => "stop_draining",
        }
    }
}

/// One HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// GET, POST and so on.
    pub method: String,
    /// Complete.
    pub url: String,
    /// The body, as a form; none sends no body.
    pub form: Option<String>,
    /// Status codes that mean yes, as inclusive ranges.
    pub success: Vec<(u16, u16)>,
}

/// How far the conversation is. A new process begins it anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    pub(super) next: Option<Call>,
    due_by: Option<Timestamp>,
    not_before: Timestamp,
    errors: u32,
    answers: u32,
}

impl Progress {
    pub(crate) fn is_coming_back(&self) -> bool {
        self.next == Some(Call::StopDraining)
    }

    /// Whether it is no use to ask again.
    pub(super) fn failed(&self) -> bool {
        self.errors >= ERRORS_MAX
    }

    /// Makes the call unless one is out or the pace forbids it.
    pub(super) fn make(
        &mut self,
        leaving: &Leaving<'_>,
        call: Call,
        now: Timestamp,
        requests: impl FnOnce(Call) -> Result<Vec<Request>, String>,
    ) -> Result<Look, String> {
        self.next = Some(call);
        if let Some(due_by) = self.due_by {
            if now < due_by {
                return Ok(look_at(due_by));
            }
            self.due_by = None;
            self.errors += 1;
        }
        if now < self.not_before {
            return Ok(look_at(self.not_before));
        }
        let requests = requests(call)?;
        let calls = u64::try_from(requests.len()).unwrap_or(1).max(1);
        let due_by = now.after_ms(CALL_TIMEOUT_MS.saturating_mul(calls) + LOST_AFTER_MS);
        self.due_by = Some(due_by);
        let action = Action::Drain {
            replica: leaving.id,
            call,
            requests,
        };
        Ok(Look {
            action: Some(action),
            ..look_at(due_by)
        })
    }

    /// Says that the drain is called off, to who may have heard of it.
    pub(super) fn take_back(
        &mut self,
        leaving: &Leaving<'_>,
        draining: &Draining,
        now: Timestamp,
        requests: impl FnOnce(Call) -> Result<Vec<Request>, String>,
    ) -> Option<Look> {
        if !self.is_coming_back() {
            // A process that just began does not know what the one before it had sent.
            let sent = self.due_by.is_some() || self.errors > 0;
            let may_have_told =
                draining.told || self.next.is_none() || (self.next == Some(Call::Drain) && sent);
            *self = Self {
                next: Some(Call::StopDraining),
                ..Self::default()
            };
            if !may_have_told {
                return None;
            }
        }
        if self.answers > 0 || self.failed() {
            return None;
        }
        self.make(leaving, Call::StopDraining, now, requests).ok()
    }
}

fn look_at(at: Timestamp) -> Look {
    Look {
        wake_at: Some(at),
        ..Look::default()
    }
}

/// Takes an answer. Returns what went wrong, for the operator.
pub(crate) fn answered(
    draining: &mut Draining,
    live: &mut Live,
    call: Call,
    result: Result<bool, String>,
    now: Timestamp,
) -> Option<String> {
    let progress = &mut live.calls;
    if progress.next != Some(call) {
        return None;
    }
    progress.due_by = None;
    progress.answers += u32::from(matches!(result, Ok(true)));
    match (call, &result) {
        (Call::IsDraining, Ok(true)) | (Call::Drain, Ok(true)) => {
            draining.told = true;
            draining.told_at = Some(now);
            progress.next = Some(Call::IsSafeToKill);
            progress.errors = 0;
        }
        // A service that cannot say whether it drains may still be able to.
        (Call::IsDraining, _) => progress.next = Some(Call::Drain),
        (Call::IsSafeToKill, Ok(safe)) => {
            draining.safe = *safe;
            progress.errors = 0;
            progress.not_before = now.after_ms(POLL_MS);
        }
        (Call::StopDraining, Ok(true)) => {}
        (Call::Drain | Call::StopDraining, Ok(false)) | (_, Err(_)) => {
            progress.errors += 1;
            progress.not_before = now.after_ms(POLL_MS);
        }
    }
    match (call, result) {
        (_, Err(error)) => Some(format!("drain endpoint {}: {error}", call.key())),
        (Call::Drain | Call::StopDraining, Ok(false)) => {
            Some(format!("drain endpoint {} refused", call.key()))
        }
        _ => None,
    }
}
