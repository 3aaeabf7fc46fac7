//! The health of a local run, judged as an agent judges it.

use std::time::Duration;

use paasta_agent_core::health::Checks;
use paasta_common::{
    app::{HealthCheck, Probe},
    report::Health,
    time::Timestamp,
};
use paasta_process::https::{Trust, client};
use tokio::{net::TcpStream, time};

use super::docker;
use crate::terminal::note;

/// While it starts it is asked this often, as an agent does.
const EAGER: Duration = Duration::from_secs(1);

/// What the check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It passes.
    Healthy,
    /// An agent would replace the container now.
    Dead,
}

/// Checks again and again, and says each change. Ends when the container would be replaced, or,
/// with `once`, when it is healthy.
pub(super) async fn watch(
    check: &HealthCheck,
    container: &str,
    port: Option<u16>,
    once: bool,
) -> Verdict {
    let started = time::Instant::now();
    let now = || Timestamp(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
    let mut checks = Checks::new(Some(check), Timestamp(0));
    loop {
        let before = checks.verdict;
        let result = probe(check, container, port).await;
        checks.take(check, Timestamp(0), result.is_ok(), now());
        let after = started.elapsed().as_secs_f32();
        match (&result, checks.verdict) {
            (_, Health::Healthy) if before != Health::Healthy => {
                note(&format!("healthy after {after:.1} s"));
            }
            (Err(why), _) if checks.in_grace(check, Timestamp(0), now()) => {
                let grace = Duration::from_millis(check.grace_ms).as_secs_f32();
                note(&format!(
                    "not healthy yet ({why}); failures count from {grace:.0} s on"
                ));
            }
            (Err(why), _) => {
                let (count, most) = (checks.failures_in_row, check.max_consecutive_failures);
                note(&format!("health check failed, {count} of {most}: {why}"));
            }
            _ => {}
        }
        if checks.is_dead(check) {
            note("an agent would replace the container now");
            return Verdict::Dead;
        }
        if once && checks.verdict == Health::Healthy {
            return Verdict::Healthy;
        }
        let interval = Duration::from_millis(check.interval_ms.max(100));
        time::sleep(match checks.in_grace(check, Timestamp(0), now()) {
            true => interval.min(EAGER),
            false => interval,
        })
        .await;
    }
}

async fn probe(check: &HealthCheck, container: &str, port: Option<u16>) -> Result<(), String> {
    let limit = Duration::from_millis(check.timeout_ms.max(1));
    let needed = || port.ok_or_else(|| "it has no network".to_owned());
    match &check.probe {
        Probe::Http { uri } => http("http", needed()?, uri, limit).await,
        Probe::Https { uri } => http("https", needed()?, uri, limit).await,
        Probe::Tcp => {
            let connected = TcpStream::connect(("127.0.0.1", needed()?));
            match time::timeout(limit, connected).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("no connection in time".to_owned()),
            }
        }
        Probe::Cmd { command } => docker::exec(container, command, limit).await,
    }
}

async fn http(scheme: &str, port: u16, uri: &str, limit: Duration) -> Result<(), String> {
    let url = format!("{scheme}://127.0.0.1:{port}{uri}");
    // Redirects are answers, and the certificate is the container's own, as for an agent.
    let asked = tokio::task::spawn_blocking(move || client(limit, Trust::Anyone).get(&url).call());
    match asked.await.map_err(|error| error.to_string())? {
        Ok(answer) if (200..400).contains(&answer.status().as_u16()) => Ok(()),
        Ok(answer) => Err(format!("HTTP {}", answer.status().as_u16())),
        Err(error) => Err(error.to_string()),
    }
}
