//! Method `http`: the service itself is told to drain and asked whether it has. Its parameters
//! are the four endpoints `drain`, `stop_draining`, `is_draining` and `is_safe_to_kill`, each with
//! `url_format`, `method` and `success_codes`; each is called once for every registration.

use std::collections::BTreeMap;

use paasta_common::time::Timestamp;
use serde::Deserialize;

use super::{Leaving, Look, Method};
use crate::{
    actions::Action,
    state::{Draining, Live},
};

/// Errors in a row after which the service counts as drained: a broken endpoint never blocks.
pub const ERRORS_MAX: u32 = 3;
/// How long one call may take, milliseconds.
pub const CALL_TIMEOUT_MS: u64 = 15_000;
/// Between two questions whether it is safe, milliseconds.
const POLL_MS: u64 = 1_000;
/// A call without an answer this long after its timeout is lost.
const LOST_AFTER_MS: u64 = 5_000;
/// Ranges of status codes of one endpoint, at most.
const CODE_RANGES_MAX: usize = 32;

/// Which endpoint is called.
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
    fn key(self) -> &'static str {
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
    /// Status codes that mean yes, as inclusive ranges.
    pub success: Vec<(u16, u16)>,
}

/// How far the conversation is. A new process begins it anew, with a question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    next: Option<Call>,
    due_by: Option<Timestamp>,
    not_before: Timestamp,
    errors: u32,
    answers: u32,
}

impl Progress {
    pub(crate) fn is_coming_back(&self) -> bool {
        self.next == Some(Call::StopDraining)
    }
}

pub(crate) struct Http<'a> {
    pub(crate) params: &'a str,
}

#[derive(Deserialize)]
struct Endpoint {
    url_format: String,
    #[serde(default = "get")]
    method: String,
    success_codes: Codes,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Codes {
    One(u16),
    Text(String),
}

fn get() -> String {
    "GET".to_owned()
}

impl Method for Http<'_> {
    fn leave(
        &self,
        leaving: &Leaving<'_>,
        draining: &mut Draining,
        live: &mut Live,
        now: Timestamp,
    ) -> Look {
        let progress = &mut live.http;
        if progress.errors >= ERRORS_MAX {
            draining.safe = true;
            return Look {
                message: Some(format!("drain failed {ERRORS_MAX} times, going on without")),
                ..Look::default()
            };
        }
        let call = *progress.next.get_or_insert(match draining.told {
            true => Call::IsSafeToKill,
            false => Call::IsDraining,
        });
        self.call(leaving, call, progress, now)
            .unwrap_or_else(|problem| {
                draining.safe = true;
                Look {
                    message: Some(format!("drain_method_params: {problem}, going on without")),
                    ..Look::default()
                }
            })
    }

    fn come_back(
        &self,
        leaving: &Leaving<'_>,
        draining: &Draining,
        live: &mut Live,
        now: Timestamp,
    ) -> Option<Look> {
        let progress = &mut live.http;
        if progress.next != Some(Call::StopDraining) {
            // A process that just began does not know what the one before it had sent.
            let sent = progress.due_by.is_some() || progress.errors > 0;
            let may_have_told = draining.told
                || progress.next.is_none()
                || (progress.next == Some(Call::Drain) && sent);
            *progress = Progress {
                next: Some(Call::StopDraining),
                ..Progress::default()
            };
            if !may_have_told {
                return None;
            }
        }
        if progress.answers > 0 || progress.errors >= ERRORS_MAX {
            return None;
        }
        self.call(leaving, Call::StopDraining, progress, now).ok()
    }
}

impl Http<'_> {
    fn call(
        &self,
        leaving: &Leaving<'_>,
        call: Call,
        progress: &mut Progress,
        now: Timestamp,
    ) -> Result<Look, String> {
        if let Some(due_by) = progress.due_by {
            if now < due_by {
                return Ok(look_at(due_by));
            }
            progress.due_by = None;
            progress.errors += 1;
        }
        if now < progress.not_before {
            return Ok(look_at(progress.not_before));
        }
        let requests = requests(self.params, call, leaving)?;
        let calls = u64::try_from(requests.len()).unwrap_or(1).max(1);
        let due_by = now.after_ms(CALL_TIMEOUT_MS.saturating_mul(calls) + LOST_AFTER_MS);
        progress.due_by = Some(due_by);
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
    let progress = &mut live.http;
    if progress.next != Some(call) {
        return None;
    }
    progress.due_by = None;
    progress.answers += u32::from(matches!(result, Ok(true)));
    match (call, &result) {
        (Call::IsDraining, Ok(true)) | (Call::Drain, Ok(true)) => {
            draining.told = true;
            progress.next = Some(Call::IsSafeToKill);
            progress.errors = 0;
        }
        // A service that can not say whether it drains may still be able to.
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

/// The requests of one call: one for each registration, the same URL once.
fn requests(params: &str, call: Call, leaving: &Leaving<'_>) -> Result<Vec<Request>, String> {
    let mut endpoints: BTreeMap<String, Endpoint> =
        serde_json::from_str(params).map_err(|error| error.to_string())?;
    let endpoint = endpoints
        .remove(call.key())
        .ok_or_else(|| format!("{} is missing", call.key()))?;
    let success = match &endpoint.success_codes {
        Codes::One(code) => vec![(*code, *code)],
        Codes::Text(text) => codes(text)?,
    };
    let port = leaving
        .host_port
        .ok_or("the replica has no port to be asked on")?;
    let instance = &leaving.replica.instance;
    let mut requests: Vec<Request> = Vec::new();
    for registration in &leaving.replica.run.registrations {
        let namespace = registration.split_once('.').map_or("", |(_, name)| name);
        let url = endpoint
            .url_format
            .replace("{host}", &leaving.host.address)
            .replace("{port}", &port.to_string())
            .replace("{service}", instance.service.as_str())
            .replace("{instance}", instance.instance.as_str())
            .replace("{nerve_ns}", namespace);
        if requests.iter().all(|request| request.url != url) {
            requests.push(Request {
                method: endpoint.method.to_ascii_uppercase(),
                url,
                success: success.clone(),
            });
        }
    }
    Ok(requests)
}

/// `200-399,407`.
fn codes(text: &str) -> Result<Vec<(u16, u16)>, String> {
    let refuse = || format!("success_codes {text:?} is not a list such as 200-399,407");
    let number = |text: &str| text.trim().parse::<u16>().map_err(|_| refuse());
    let mut ranges = Vec::new();
    for part in text.split(',').take(CODE_RANGES_MAX) {
        ranges.push(match part.split_once('-') {
            Some((low, high)) => (number(low)?, number(high)?),
            None => (number(part)?, number(part)?),
        });
    }
    Ok(ranges)
}
