//! What a host says it runs.

use paasta_common::{
    id::ReplicaId,
    report::{Health, HostReport, Phase, ReplicaReport, Runtime},
    time::Timestamp,
};

use super::{WireError, parsed, port};
use crate::v1;

const PHASES: [Phase; 8] = [
    Phase::Accepted,
    Phase::Pulling,
    Phase::Starting,
    Phase::Running,
    Phase::BackingOff,
    Phase::Draining,
    Phase::Stopping,
    Phase::Gone,
];

const HEALTHS: [Health; 4] = [
    Health::Unknown,
    Health::Unchecked,
    Health::Healthy,
    Health::Unhealthy,
];

/// The report as a word.
///
/// # Errors
/// [`WireError`] names the field, `replicas[2].phase`.
pub fn report_from_wire(wire: v1::Report) -> Result<HostReport, WireError> {
    let replicas = wire.replicas.into_iter().enumerate().map(|(at, replica)| {
        replica_report_from_wire(replica).map_err(|error| error.within(format!("replicas[{at}]")))
    });
    Ok(HostReport {
        complete: wire.complete,
        replicas: replicas.collect::<Result<_, _>>()?,
        runtime: match wire.runtime_degraded.is_empty() {
            true => Runtime::Ok,
            false => Runtime::Degraded {
                reason: wire.runtime_degraded,
            },
        },
        generation: wire.generation,
    })
}

/// The report for the wire.
pub fn report_to_wire(report: &HostReport) -> v1::Report {
    v1::Report {
        complete: report.complete,
        replicas: report.replicas.iter().map(replica_report_to_wire).collect(),
        runtime_degraded: match &report.runtime {
            Runtime::Ok => String::new(),
            // An empty text would read as a runtime that works.
            Runtime::Degraded { reason } if reason.is_empty() => "unknown reason".to_owned(),
            Runtime::Degraded { reason } => reason.clone(),
        },
        generation: report.generation,
    }
}

/// The state of one replica as a word.
///
/// # Errors
/// [`WireError`] names the field.
pub fn replica_report_from_wire(wire: v1::ReplicaReport) -> Result<ReplicaReport, WireError> {
    let phase = PHASES
        .into_iter()
        .find(|phase| phase.as_str() == wire.phase)
        .ok_or_else(|| {
            WireError::unknown("phase", &wire.phase, &PHASES.map(Phase::as_str).join(", "))
        })?;
    let health = HEALTHS
        .into_iter()
        .find(|health| health.as_str() == wire.health)
        .ok_or_else(|| {
            let allowed = HEALTHS.map(Health::as_str).join(", ");
            WireError::unknown("health", &wire.health, &allowed)
        })?;
    Ok(ReplicaReport {
        id: ReplicaId(wire.id),
        app: parsed(&wire.app, "app")?,
        phase,
        health,
        started_at: wire.started_at_ms.map(Timestamp),
        host_port: wire
            .host_port
            .map(|number| port(number, "host_port"))
            .transpose()?,
        container: wire.container,
        run: wire.run,
        failures: wire.failures,
        next_try_at: wire.next_try_at_ms.map(Timestamp),
        drained: wire.drained,
        in_load_balancer: wire.in_load_balancer,
        message: wire.message,
    })
}

/// The state of one replica for the wire.
pub fn replica_report_to_wire(report: &ReplicaReport) -> v1::ReplicaReport {
    v1::ReplicaReport {
        id: report.id.0,
        app: report.app.to_string(),
        phase: report.phase.as_str().to_owned(),
        health: report.health.as_str().to_owned(),
        started_at_ms: report.started_at.map(|at| at.0),
        host_port: report.host_port.map(u32::from),
        container: report.container.clone(),
        run: report.run,
        failures: report.failures,
        next_try_at_ms: report.next_try_at.map(|at| at.0),
        drained: report.drained,
        in_load_balancer: report.in_load_balancer,
        message: report.message.clone(),
    }
}
