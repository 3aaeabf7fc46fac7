//! The ways by which alerts leave: one queue and one worker each, so that a way that is stuck delays
//! no other.

use std::{fmt, time::Duration};

use paasta_common::{config::SystemConfig, url::Url};
use paasta_process::{backoff::Retry, chain::chain};
use tokio::sync::mpsc;

use super::{
    command,
    event::{Event, Severity},
    sensu, webhook,
};

/// How often one delivery is tried.
const TRIES: u32 = 3;

/// A way.
#[derive(Debug, Clone)]
pub(super) struct Output {
    way: Way,
    timeout: Duration,
}

#[derive(Debug, Clone)]
enum Way {
    Log,
    Command(Vec<String>),
    Webhook(Url),
    Sensu {
        /// `HOST:PORT`.
        address: String,
        /// Whether it is configured: a client at the default address may be absent.
        named: bool,
    },
}

/// Why a delivery failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeliveryError {
    #[error("it took too long")]
    TooLong,
    #[error("{program} cannot be run")]
    Start {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{program} ended with {status}: {stderr}")]
    Ended {
        program: String,
        status: std::process::ExitStatus,
        stderr: String,
    },
    #[error("{0} is not a URL")]
    Url(Url),
    #[error("the connection failed")]
    Connection(#[from] std::io::Error),
    #[error("the request failed")]
    Request(#[from] hyper_util::client::legacy::Error),
    #[error("it answered {0}")]
    Answer(http::StatusCode),
}

/// The ways that are configured.
pub(super) fn configured(system: &SystemConfig) -> Vec<Output> {
    let settings = &system.alerts;
    let sensu = system.sensu_host.as_ref();
    let ways = [
        settings.log.then_some(Way::Log),
        (!settings.command.is_empty()).then(|| Way::Command(settings.command.clone())),
        settings.webhook.clone().map(Url::new).map(Way::Webhook),
        sensu.map(|host| Way::Sensu {
            address: format!("{host}:{}", system.sensu_port),
            named: system.sensu_named,
        }),
    ];
    let timeout = Duration::from_secs(settings.timeout_seconds);
    let output = |way| Output { way, timeout };
    ways.into_iter().flatten().map(output).collect()
}

impl Output {
    /// Whether the event goes this way: without a team nobody can be told, but the log.
    pub(super) fn wants(&self, event: &Event) -> bool {
        matches!(self.way, Way::Log) || event.team.is_some()
    }

    /// Delivers one event after the other, for as long as there may be more.
    pub(super) async fn deliver(&self, mut events: mpsc::Receiver<Event>) {
        while let Some(event) = events.recv().await {
            let mut retry = Retry::new();
            while let Err(error) = self.attempt(&event).await {
                let delay = retry.next_delay();
                if self.is_absent(&error) {
                    tracing::debug!(output = %self, "there is no Sensu client here");
                    break;
                }
                let error = chain(&error);
                if retry.failures() >= TRIES {
                    tracing::error!(output = %self, about = event.about, %error, "an alert was not delivered");
                    break;
                }
                tracing::warn!(output = %self, about = event.about, %error, "an alert will be sent again");
                tokio::time::sleep(delay).await;
            }
        }
    }

    /// Whether the way is the default and no client listens there.
    fn is_absent(&self, error: &DeliveryError) -> bool {
        let refused =
            |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
        matches!(self.way, Way::Sensu { named: false, .. })
            && matches!(error, DeliveryError::Connection(error) if refused(error))
    }

    async fn attempt(&self, event: &Event) -> Result<(), DeliveryError> {
        let sending = async {
            match &self.way {
                Way::Log => log(event),
                Way::Command(argv) => command::send(argv, &event.json()).await?,
                Way::Webhook(url) => webhook::send(url, event.json()).await?,
                Way::Sensu { address, .. } => sensu::send(address, &event.json()).await?,
            }
            Ok(())
        };
        let sent = tokio::time::timeout(self.timeout, sending).await;
        sent.unwrap_or(Err(DeliveryError::TooLong))
    }
}

fn log(event: &Event) {
    let team = event.team.as_deref().unwrap_or("none");
    let (about, check, said) = (&event.about, event.check.word(), event.headline());
    match event.severity() {
        Severity::Critical => tracing::error!(about, team, "{check} {said}"),
        Severity::Ok => tracing::info!(about, team, "{check} {said}"),
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Log => f.write_str("log"),
            Way::Command(argv) => {
                write!(f, "command {}", argv.first().map_or("", String::as_str))
            }
            Way::Webhook(url) => write!(f, "webhook {url}"),
            Way::Sensu { address, .. } => write!(f, "sensu {address}"),
        }
    }
}
