//! From a set of endpoints to servers, and what old workers say of theirs.

use std::{collections::BTreeMap, sync::Arc};

use paasta_agent_core::proxy::{
    seen,
    wanted::{Server, Service, WEIGHT_MAX, wanted},
};
use paasta_common::{
    endpoints::{Endpoint, EndpointSet, EndpointState, EndpointVersion, NamespaceSet},
    id::ReplicaId,
    smartstack::NamespaceOptions,
};

use super::name;

fn endpoint(address: &str, state: EndpointState) -> Endpoint {
    Endpoint {
        instance: "web.main".parse().unwrap(),
        host: "h1".parse().unwrap(),
        address: address.into(),
        port: 31_000,
        state,
        weight: 1_000,
        backup: true,
    }
}

#[test]
fn each_endpoint_with_an_ip_address_is_a_server() {
    let one = NamespaceSet {
        options: Arc::new(NamespaceOptions {
            proxy_port: Some(20_000),
            ..NamespaceOptions::default()
        }),
        endpoints: BTreeMap::from([
            (ReplicaId(1), endpoint("10.0.0.1", EndpointState::Up)),
            (ReplicaId(2), endpoint("fd00::1", EndpointState::Drain)),
            (ReplicaId(3), endpoint("10.0.0.1", EndpointState::Down)),
            (ReplicaId(4), endpoint("host.example", EndpointState::Up)),
        ]),
    };
    let set = EndpointSet {
        version: EndpointVersion::default(),
        namespaces: BTreeMap::from([(name("web.main"), Arc::new(one))]),
    };
    let (found, unreachable) = wanted(&set);
    let found = &found.namespaces[&name("web.main")];
    assert_eq!(found.options.proxy_port, Some(20_000));
    let services: Vec<Service> = found.servers.values().map(|one| one.service).collect();
    assert_eq!(services, [Service::Up, Service::Drain, Service::Down]);
    let first = Server {
        at: "10.0.0.1:31000".parse().unwrap(),
        service: Service::Up,
        weight: WEIGHT_MAX,
        backup: true,
    };
    assert_eq!(found.servers[&ReplicaId(1)], first);
    assert_eq!(unreachable.into_iter().collect::<Vec<_>>(), [ReplicaId(4)]);
}

#[test]
fn clients_without_a_server_and_questions_without_an_answer_are_seen() {
    let stat = |frontend: u32, backend: u32| {
        format!(
            "# pxname,svname,qcur,qmax,scur,smax\nweb.main:20000,FRONTEND,,,{frontend},3\n\
             paasta_stats,FRONTEND,,,9,9\nweb.main,BACKEND,0,0,{backend},3\n\n"
        )
    };
    assert_eq!(seen::undecided(&stat(2, 2)), Some(0));
    assert_eq!(seen::undecided(&stat(3, 1)), Some(2));
    // Streams of one HTTP/2 client say nothing of the others.
    assert_eq!(seen::undecided(&stat(1, 3)), Some(2));
    let gone = "Can't find the target PID matching the prefix '@!99'\n";
    assert_eq!(seen::undecided(gone), None);
    assert_eq!(seen::undecided(""), None);
    let both = format!("{}No such proxy.\n\n", stat(0, 0));
    assert_eq!((seen::answers(&both), seen::answers(gone)), (2, 0));
}
