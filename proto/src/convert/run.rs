//! How a replica is run, and what should become of it.

use paasta_common::{
    assignment::Want,
    spec::{DrainMethod, HACHECK_PORT, RunSettings},
};

use super::{WireError, port, required};
use crate::v1;

/// The settings as a word.
///
/// # Errors
/// [`WireError`] when the drain method is missing or unknown, or its port is none.
pub fn run_from_wire(wire: v1::RunSettings) -> Result<RunSettings, WireError> {
    let drain = required(wire.drain, "drain")?;
    let delay_ms = drain.delay_ms;
    Ok(RunSettings {
        backoff_base_ms: wire.backoff_base_ms,
        drain: match drain.name.as_str() {
            "noop" => DrainMethod::Noop,
            "hacheck" => DrainMethod::Hacheck {
                delay_ms,
                port: match port(drain.hacheck_port, "drain.hacheck_port")? {
                    0 => HACHECK_PORT,
                    port => port,
                },
                expiration_ms: drain.expiration_ms,
            },
            "test" => DrainMethod::Test { delay_ms },
            "http" => DrainMethod::Http {
                params: drain.params,
            },
            other => {
                let allowed = "noop, hacheck, http, test";
                return Err(WireError::unknown("drain.name", other, allowed));
            }
        },
        registrations: wire.registrations,
        stop_grace_ms: wire.stop_grace_ms,
        drain_timeout_ms: wire.drain_timeout_ms,
    })
}

/// The settings for the wire.
pub fn run_to_wire(run: &RunSettings) -> v1::RunSettings {
    let mut drain = v1::DrainMethod::default();
    drain.name = match &run.drain {
        DrainMethod::Noop => "noop",
        DrainMethod::Hacheck {
            delay_ms,
            port,
            expiration_ms,
        } => {
            drain.delay_ms = *delay_ms;
            drain.hacheck_port = (*port).into();
            drain.expiration_ms = *expiration_ms;
            "hacheck"
        }
        DrainMethod::Test { delay_ms } => {
            drain.delay_ms = *delay_ms;
            "test"
        }
        DrainMethod::Http { params } => {
            drain.params.clone_from(params);
            "http"
        }
    }
    .to_owned();
    v1::RunSettings {
        backoff_base_ms: run.backoff_base_ms,
        drain: Some(drain),
        registrations: run.registrations.clone(),
        stop_grace_ms: run.stop_grace_ms,
        drain_timeout_ms: run.drain_timeout_ms,
    }
}

/// What should become of a replica, as a word.
///
/// # Errors
/// [`WireError`] when it is none of run, drain and stop.
pub fn want_from_wire(text: &str) -> Result<Want, WireError> {
    match text {
        "run" => Ok(Want::Run),
        "drain" => Ok(Want::Drain),
        "stop" => Ok(Want::Stop),
        other => Err(WireError::unknown("want", other, "run, drain, stop")),
    }
}

/// What should become of a replica, for the wire.
pub fn want_to_wire(want: Want) -> &'static str {
    match want {
        Want::Run => "run",
        Want::Drain => "drain",
        Want::Stop => "stop",
    }
}
