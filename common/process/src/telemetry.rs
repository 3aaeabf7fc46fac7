//! Logs: structured, to standard error, as text for people or as JSON for collectors.

use std::{fmt, io, str::FromStr};

use tracing_subscriber::{EnvFilter, fmt as lines, layer::SubscriberExt, util::SubscriberInitExt};

/// The environment variable that chooses what is logged, for example `info,paasta_agent=debug`.
pub const FILTER_VARIABLE: &str = "PAASTA_LOG";

/// What is logged unless something else is chosen: openraft tells its whole inner state at info.
const DEFAULT_FILTER: &str = "info,openraft=warn";

/// How a log line is written: `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter makes no sense.
    #[error("{FILTER_VARIABLE} is not a log filter; expected for example info,paasta_agent=debug")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// The variable is not text.
    #[error("{FILTER_VARIABLE} is not UTF-8")]
    NotText,
    /// It was begun before.
    #[error("logging was set up twice")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Begins logging to standard error. Without [`FILTER_VARIABLE`] everything from `info` is logged, and
/// what warns of consensus.
///
/// # Errors
/// [`TelemetryError`] when the filter is wrong or logging was begun before.
pub fn init(format: LogFormat) -> Result<(), TelemetryError> {
    let filter = match std::env::var(FILTER_VARIABLE) {
        Ok(text) => filter(&text)?,
        Err(std::env::VarError::NotPresent) => filter(DEFAULT_FILTER)?,
        Err(std::env::VarError::NotUnicode(_)) => return Err(TelemetryError::NotText),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let lines = lines::layer().with_writer(io::stderr);
    let outcome = match format {
        LogFormat::Text => registry.with(lines.with_ansi(false)).try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    };
    outcome.map_err(TelemetryError::Twice)
}

fn filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(text).map_err(TelemetryError::Filter)
}

impl FromStr for LogFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!(
                "{text:?} is not a log format; expected text or json"
            )),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names_and_a_wrong_filter_is_named() {
        for format in [LogFormat::Text, LogFormat::Json] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!(
            "xml"
                .parse::<LogFormat>()
                .unwrap_err()
                .contains("text or json")
        );
        assert!(filter("info,paasta_agent=debug").is_ok());
        let error = filter("paasta=loud").unwrap_err();
        assert!(error.to_string().contains(FILTER_VARIABLE), "{error}");
    }

    #[test]
    fn logging_begins_once() {
        assert!(init(LogFormat::Json).is_ok());
        assert!(matches!(
            init(LogFormat::Text),
            Err(TelemetryError::Twice(_))
        ));
    }
}
