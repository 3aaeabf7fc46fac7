//! The last lines that failing replicas wrote.

use std::time::Duration;

use paasta_proto::v1::{
    InstanceStatus, LogComponent, LogLine, LogsRequest, ReplicaClass, ReplicaStatus,
    logs_client::LogsClient,
};
use tokio::time::timeout;

use crate::client::{ANSWER_BYTES_MAX, Coordinators, request};

/// Replicas whose lines are read, at most.
const REPLICAS_MAX: usize = 20;
/// Lines of each, at most.
const LINES_MAX: u32 = 100;
/// How long the lines of one replica are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a replica wrote last.
#[derive(Debug)]
pub struct Tail {
    /// SERVICE.INSTANCE.
    pub instance: String,
    /// The replica, and where it is.
    pub replica: String,
    /// Its host.
    pub host: String,
    /// The lines, the oldest first; or why there are none.
    pub lines: Result<Vec<LogLine>, String>,
}

/// How many lines `-v` given so often asks for: 10 for twice, 100 for more.
pub fn lines(verbose: u8) -> Option<u32> {
    let power = u32::from(verbose)
        .checked_sub(1)
        .filter(|power| *power > 0)?;
    Some(10_u32.saturating_pow(power).min(LINES_MAX))
}

/// Reads the last lines of the failing replicas of these instances, and says how many replicas were
/// left out.
pub async fn read(
    instances: &[InstanceStatus],
    lines: u32,
    coordinators: &mut Coordinators,
) -> (Vec<Tail>, usize) {
    let failing = instances.iter().flat_map(|one| {
        let replicas = one.replicas.iter().filter(|replica| fails(replica));
        replicas.map(move |replica| (one, replica))
    });
    let failing: Vec<_> = failing.collect();
    let mut tails = Vec::new();
    for (one, replica) in failing.iter().take(REPLICAS_MAX) {
        let ask = LogsRequest {
            service: one.service.clone(),
            instances: vec![one.instance.clone()],
            components: vec![LogComponent::Stdout.into(), LogComponent::Stderr.into()],
            replica: replica.id.clone(),
            lines,
            ..LogsRequest::default()
        };
        let read = timeout(PATIENCE, tail(ask, coordinators)).await;
        tails.push(Tail {
            instance: format!("{}.{}", one.service, one.instance),
            replica: replica.id.clone(),
            host: replica.host.clone(),
            lines: read.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}"))),
        });
    }
    (tails, failing.len().saturating_sub(REPLICAS_MAX))
}

/// Whether it died or is not healthy.
fn fails(replica: &ReplicaStatus) -> bool {
    replica.failures > 0 || replica.last_end.is_some() || replica.class() == ReplicaClass::Unhappy
}

async fn tail(ask: LogsRequest, coordinators: &mut Coordinators) -> Result<Vec<LogLine>, String> {
    let answer = coordinators.call(|channel| {
        let mut logs = LogsClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ask = request(ask.clone(), PATIENCE);
        async move { logs.read(ask).await }
    });
    let mut parts = answer.await.map_err(|error| error.to_string())?;
    let mut lines = Vec::new();
    let mut notices = Vec::new();
    loop {
        match parts.message().await {
            Ok(Some(part)) => {
                lines.extend(part.lines);
                notices.extend(part.notices);
            }
            Ok(None) => break,
            Err(status) => return Err(status.message().to_owned()),
        }
    }
    match (lines.is_empty(), notices.is_empty()) {
        (true, false) => Err(notices.join("; ")),
        _ => Ok(lines),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_further_v_asks_for_ten_times_as_many_lines() {
        let asked: Vec<_> = (0..5).map(lines).collect();
        assert_eq!(asked, [None, None, Some(10), Some(100), Some(100)]);
    }
}
