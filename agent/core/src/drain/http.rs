//! Method `http`: the service itself is told to drain and asked whether it has. Its parameters
//! are the four endpoints `drain`, `stop_draining`, `is_draining` and `is_safe_to_kill`, each with
//! `url_format`, `method` and `success_codes`; each is called once for every registration.

use std::collections::BTreeMap;

use paasta_common::time::Timestamp;
use serde::Deserialize;

use super::{
    Leaving, Look, Method,
    calls::{Call, ERRORS_MAX, Request},
};
use crate::state::{Draining, Live};

/// Ranges of status codes of one endpoint, at most.
const CODE_RANGES_MAX: usize = 32;

pub(super) struct Http<'a> {
    pub(super) params: &'a str,
}

#[derive(Deserialize)]
struct Endpoint {
    url_format: String,
    method: Option<String>,
    success_codes: Codes,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Codes {
    One(u16),
    Text(String),
}

/// What is called by unless the author says otherwise, as in PaaSTA.
const METHOD_DEFAULT: &str = "GET";

impl Method for Http<'_> {
    fn leave(
        &self,
        leaving: &Leaving<'_>,
        draining: &mut Draining,
        live: &mut Live,
        now: Timestamp,
    ) -> Look {
        let progress = &mut live.calls;
        if progress.failed() {
            draining.safe = true;
            return Look {
                message: Some(format!("drain failed {ERRORS_MAX} times, going on without")),
                ..Look::default()
            };
        }
        let call = progress.next.unwrap_or(match draining.told {
            true => Call::IsSafeToKill,
            false => Call::IsDraining,
        });
        let requests = |call| requests(self.params, call, leaving);
        progress
            .make(leaving, call, now, requests)
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
        let requests = |call| requests(self.params, call, leaving);
        live.calls.take_back(leaving, draining, now, requests)
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
    let method = endpoint.method.as_deref().unwrap_or(METHOD_DEFAULT);
    let method = method.to_ascii_uppercase();
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
                method: method.clone(),
                url,
                form: None,
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
