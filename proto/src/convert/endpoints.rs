//! The endpoints of namespaces, and what load balancers report of them. A value that only a newer
//! program knows costs nothing but itself: an endpoint stays as it is, a backend counts as not in
//! service, and options that cannot be read leave those of before.

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::{
    endpoints::{
        BackendReport, BackendState, Endpoint, EndpointState, EndpointUpdate, EndpointVersion,
        Extent, NamespaceUpdate, OptionsUpdate, PROBLEMS_MAX, ProxyProblem, ProxyProblemKind,
        ProxyReport,
    },
    id::ReplicaId,
    smartstack::{Namespace, NamespaceOptions},
};

use super::{WireError, parsed, port, required};
use crate::v1;

/// An update for the wire.
pub fn endpoints_to_wire(update: &EndpointUpdate) -> v1::Endpoints {
    let (complete, part, more, removed) = match &update.extent {
        Extent::Part { number, more } => (true, *number, *more, Vec::new()),
        Extent::Changes { removed } => (false, 0, false, removed.clone()),
    };
    let namespaces = update.namespaces.iter();
    v1::Endpoints {
        version: Some(version_to_wire(update.version)),
        complete,
        part,
        more,
        namespaces: namespaces
            .map(|(name, update)| namespace_to_wire(name, update))
            .collect(),
        removed: removed.iter().map(ToString::to_string).collect(),
    }
}

/// An update as a word.
///
/// # Errors
/// [`WireError`] names the field, `namespaces[2].endpoints[0].host`.
pub fn endpoints_from_wire(wire: v1::Endpoints) -> Result<EndpointUpdate, WireError> {
    let names = wire.removed.iter().enumerate();
    let removed = names
        .map(|(at, name)| parsed(name, &format!("removed[{at}]")))
        .collect::<Result<_, _>>()?;
    let mut namespaces = BTreeMap::new();
    for (at, namespace) in wire.namespaces.into_iter().enumerate() {
        let field = format!("namespaces[{at}]");
        let (name, update) = namespace_from_wire(namespace).map_err(|error| error.within(field))?;
        namespaces.insert(name, update);
    }
    Ok(EndpointUpdate {
        version: version_from_wire(required(wire.version, "version")?),
        extent: match wire.complete {
            true => Extent::Part {
                number: wire.part,
                more: wire.more,
            },
            false => Extent::Changes { removed },
        },
        namespaces,
    })
}

fn version_to_wire(version: EndpointVersion) -> v1::EndpointVersion {
    v1::EndpointVersion {
        epoch: version.epoch,
        term: version.term,
        number: version.number,
    }
}

fn version_from_wire(wire: v1::EndpointVersion) -> EndpointVersion {
    EndpointVersion {
        epoch: wire.epoch,
        term: wire.term,
        number: wire.number,
    }
}

fn namespace_to_wire(name: &Namespace, update: &NamespaceUpdate) -> v1::NamespaceEndpoints {
    let endpoints = update.endpoints.iter();
    v1::NamespaceEndpoints {
        name: name.to_string(),
        options: match &update.options {
            OptionsUpdate::Given(options) => options_to_wire(options),
            OptionsUpdate::Unchanged | OptionsUpdate::Refused(_) => String::new(),
        },
        endpoints: endpoints
            .map(|(id, endpoint)| endpoint_to_wire(*id, endpoint))
            .collect(),
        removed: update.removed.iter().map(|id| id.0).collect(),
    }
}

fn namespace_from_wire(
    wire: v1::NamespaceEndpoints,
) -> Result<(Namespace, NamespaceUpdate), WireError> {
    let mut endpoints = BTreeMap::new();
    for (at, endpoint) in wire.endpoints.into_iter().enumerate() {
        let field = format!("endpoints[{at}]");
        let id = ReplicaId(endpoint.replica);
        let endpoint = endpoint_from_wire(endpoint).map_err(|error| error.within(field))?;
        endpoints.insert(id, endpoint);
    }
    let update = NamespaceUpdate {
        options: match wire.options.as_str() {
            "" => OptionsUpdate::Unchanged,
            text => options_from_wire(text),
        },
        endpoints,
        removed: wire.removed.into_iter().map(ReplicaId).collect(),
    };
    Ok((parsed(&wire.name, "name")?, update))
}

fn options_to_wire(options: &NamespaceOptions) -> String {
    // Maps with texts for keys, texts and numbers: nothing of it can fail.
    serde_json::to_string(options).unwrap_or_default()
}

fn options_from_wire(text: &str) -> OptionsUpdate {
    let options = match serde_json::from_str::<NamespaceOptions>(text) {
        Ok(options) => options,
        Err(error) => return OptionsUpdate::Refused(error.to_string()),
    };
    match options.check() {
        Ok(()) => OptionsUpdate::Given(Arc::new(options)),
        Err(error) => OptionsUpdate::Refused(error.to_string()),
    }
}

fn endpoint_to_wire(id: ReplicaId, endpoint: &Endpoint) -> v1::Endpoint {
    v1::Endpoint {
        replica: id.0,
        instance: endpoint.instance.to_string(),
        host: endpoint.host.to_string(),
        address: endpoint.address.to_string(),
        port: endpoint.port.into(),
        state: match endpoint.state {
            EndpointState::Up => v1::EndpointState::Up,
            EndpointState::Drain => v1::EndpointState::Drain,
            EndpointState::Down => v1::EndpointState::Down,
            EndpointState::Keep => v1::EndpointState::Keep,
        }
        .into(),
        weight: endpoint.weight.into(),
        backup: endpoint.backup,
    }
}

fn endpoint_from_wire(wire: v1::Endpoint) -> Result<Endpoint, WireError> {
    Ok(Endpoint {
        instance: parsed(&wire.instance, "instance")?,
        host: parsed(&wire.host, "host")?,
        port: port(wire.port, "port")?,
        state: match v1::EndpointState::try_from(wire.state) {
            Ok(v1::EndpointState::Up) => EndpointState::Up,
            Ok(v1::EndpointState::Drain) => EndpointState::Drain,
            Ok(v1::EndpointState::Down) => EndpointState::Down,
            Ok(v1::EndpointState::Keep | v1::EndpointState::Unspecified) | Err(_) => {
                EndpointState::Keep
            }
        },
        weight: u16::try_from(wire.weight).unwrap_or(u16::MAX),
        backup: wire.backup,
        address: wire.address.into(),
    })
}

/// A report for the wire.
pub fn proxy_report_to_wire(report: &ProxyReport) -> v1::ProxyReport {
    let problems = report.problems.iter();
    let backends = report.backends.iter();
    v1::ProxyReport {
        version: report.version.map(version_to_wire),
        complete: report.complete,
        backends: backends
            .map(|(id, backend)| backend_to_wire(*id, *backend))
            .collect(),
        as_wanted: report.as_wanted.iter().map(|id| id.0).collect(),
        problems: problems
            .take(PROBLEMS_MAX)
            .map(|(name, problem)| problem_to_wire(name, problem))
            .collect(),
        degraded: report.degraded.clone(),
    }
}

/// A report as a word.
///
/// # Errors
/// [`WireError`] names the field, `problems[2].name`.
pub fn proxy_report_from_wire(wire: v1::ProxyReport) -> Result<ProxyReport, WireError> {
    let mut problems = BTreeMap::new();
    for (at, problem) in wire.problems.into_iter().enumerate() {
        let name = parsed(&problem.name, &format!("problems[{at}].name"))?;
        problems.insert(name, problem_from_wire(problem));
    }
    let backends = wire.backends.into_iter();
    Ok(ProxyReport {
        version: wire.version.map(version_from_wire),
        complete: wire.complete,
        backends: backends.map(backend_from_wire).collect(),
        as_wanted: wire.as_wanted.into_iter().map(ReplicaId).collect(),
        problems,
        degraded: wire.degraded,
    })
}

fn backend_to_wire(id: ReplicaId, backend: BackendReport) -> v1::BackendReport {
    v1::BackendReport {
        replica: id.0,
        state: match backend.state {
            BackendState::Up => v1::BackendState::Up,
            BackendState::Down => v1::BackendState::Down,
            BackendState::Maint => v1::BackendState::Maint,
            BackendState::Absent => v1::BackendState::Absent,
            BackendState::Unrecognized => v1::BackendState::Unspecified,
        }
        .into(),
        sessions: backend.sessions,
    }
}

fn backend_from_wire(wire: v1::BackendReport) -> (ReplicaId, BackendReport) {
    let state = match v1::BackendState::try_from(wire.state) {
        Ok(v1::BackendState::Up) => BackendState::Up,
        Ok(v1::BackendState::Down) => BackendState::Down,
        Ok(v1::BackendState::Maint) => BackendState::Maint,
        Ok(v1::BackendState::Absent) => BackendState::Absent,
        Ok(v1::BackendState::Unspecified) | Err(_) => BackendState::Unrecognized,
    };
    let backend = BackendReport {
        state,
        sessions: wire.sessions,
    };
    (ReplicaId(wire.replica), backend)
}

fn problem_to_wire(name: &Namespace, problem: &ProxyProblem) -> v1::ProxyProblem {
    v1::ProxyProblem {
        name: name.to_string(),
        kind: match problem.kind {
            ProxyProblemKind::PortTaken => v1::ProxyProblemKind::PortTaken,
            ProxyProblemKind::OptionRefused => v1::ProxyProblemKind::OptionRefused,
            ProxyProblemKind::PortShared => v1::ProxyProblemKind::PortShared,
            ProxyProblemKind::Refused => v1::ProxyProblemKind::Refused,
            ProxyProblemKind::Unrecognized => v1::ProxyProblemKind::Unspecified,
        }
        .into(),
        detail: problem.detail.clone(),
    }
}

fn problem_from_wire(wire: v1::ProxyProblem) -> ProxyProblem {
    ProxyProblem {
        kind: match v1::ProxyProblemKind::try_from(wire.kind) {
            Ok(v1::ProxyProblemKind::PortTaken) => ProxyProblemKind::PortTaken,
            Ok(v1::ProxyProblemKind::OptionRefused) => ProxyProblemKind::OptionRefused,
            Ok(v1::ProxyProblemKind::PortShared) => ProxyProblemKind::PortShared,
            Ok(v1::ProxyProblemKind::Refused) => ProxyProblemKind::Refused,
            Ok(v1::ProxyProblemKind::Unspecified) | Err(_) => ProxyProblemKind::Unrecognized,
        },
        detail: wire.detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update() -> EndpointUpdate {
        let endpoint = Endpoint {
            instance: "web.main".parse().unwrap(),
            host: "h1".parse().unwrap(),
            address: "10.0.0.1".into(),
            port: 31_000,
            state: EndpointState::Drain,
            weight: 1,
            backup: true,
        };
        let namespace = NamespaceUpdate {
            options: OptionsUpdate::Given(Arc::default()),
            endpoints: BTreeMap::from([(ReplicaId(7), endpoint)]),
            removed: vec![ReplicaId(3)],
        };
        EndpointUpdate {
            version: EndpointVersion {
                epoch: 1,
                term: 4,
                number: 9,
            },
            extent: Extent::Changes {
                removed: vec!["web.old".parse().unwrap()],
            },
            namespaces: BTreeMap::from([("web.main".parse().unwrap(), namespace)]),
        }
    }

    #[test]
    fn an_update_and_a_report_survive_the_wire() {
        let update = update();
        assert_eq!(endpoints_from_wire(endpoints_to_wire(&update)), Ok(update));
        let backend = BackendReport {
            state: BackendState::Maint,
            sessions: 3,
        };
        let problem = ProxyProblem {
            kind: ProxyProblemKind::PortTaken,
            detail: "port 20001 is taken".to_owned(),
        };
        let report = ProxyReport {
            version: Some(EndpointVersion::default()),
            complete: true,
            backends: BTreeMap::from([(ReplicaId(7), backend)]),
            as_wanted: vec![ReplicaId(8)],
            problems: BTreeMap::from([("web.main".parse().unwrap(), problem)]),
            degraded: String::new(),
        };
        let read = proxy_report_from_wire(proxy_report_to_wire(&report));
        assert_eq!(read, Ok(report));
    }

    #[test]
    fn what_only_a_newer_program_knows_costs_nothing_but_itself() {
        let mut wire = endpoints_to_wire(&update());
        wire.namespaces[0].endpoints[0].state = 99;
        wire.namespaces[0].options = r#"{"mode": "quic"}"#.to_owned();
        let read = endpoints_from_wire(wire).unwrap();
        let namespace = &read.namespaces[&"web.main".parse().unwrap()];
        assert_eq!(
            namespace.endpoints[&ReplicaId(7)].state,
            EndpointState::Keep
        );
        assert!(matches!(namespace.options, OptionsUpdate::Refused(_)));
        let wire = v1::BackendReport {
            replica: 7,
            state: 99,
            sessions: 0,
        };
        let (_, backend) = backend_from_wire(wire);
        assert!(!backend.is_out(), "{backend:?}");
    }
}
