//! How a replica is run.

use paasta_common::spec::{DrainMethod, HACHECK_PORT, RunSettings};

use super::{WireError, port, required, words::ordered};
use crate::v1;

/// The settings as a word.
///
/// # Errors
/// [`WireError`] when the drain method is missing or unknown, or its port is none.
pub fn run_from_wire(wire: v1::RunSettings) -> Result<RunSettings, WireError> {
    let drain = required(wire.drain, "drain")?;
    let delay_ms = drain.delay_ms;
    let field = "drain.name";
    Ok(RunSettings {
        backoff_base_ms: wire.backoff_base_ms,
        drain: match ordered::<v1::DrainKind>(field, drain.name, &drain.name_word)? {
            v1::DrainKind::Noop => DrainMethod::Noop,
            v1::DrainKind::Hacheck => DrainMethod::Hacheck {
                delay_ms,
                port: match port(drain.hacheck_port, "drain.hacheck_port")? {
                    0 => HACHECK_PORT,
                    port => port,
                },
                expiration_ms: drain.expiration_ms,
            },
            v1::DrainKind::Test => DrainMethod::Test { delay_ms },
            v1::DrainKind::Http => DrainMethod::Http {
                params: drain.params,
            },
            v1::DrainKind::Unspecified => {
                return Err(WireError::not_given::<v1::DrainKind>(field));
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
    let name = match &run.drain {
        DrainMethod::Noop => v1::DrainKind::Noop,
        DrainMethod::Hacheck {
            delay_ms,
            port,
            expiration_ms,
        } => {
            drain.delay_ms = *delay_ms;
            drain.hacheck_port = (*port).into();
            drain.expiration_ms = *expiration_ms;
            v1::DrainKind::Hacheck
        }
        DrainMethod::Test { delay_ms } => {
            drain.delay_ms = *delay_ms;
            v1::DrainKind::Test
        }
        DrainMethod::Http { params } => {
            drain.params.clone_from(params);
            v1::DrainKind::Http
        }
    };
    drain.set_name(name);
    v1::RunSettings {
        backoff_base_ms: run.backoff_base_ms,
        drain: Some(drain),
        registrations: run.registrations.clone(),
        stop_grace_ms: run.stop_grace_ms,
        drain_timeout_ms: run.drain_timeout_ms,
    }
}
