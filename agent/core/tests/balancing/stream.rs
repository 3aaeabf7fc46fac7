//! The stream of endpoints: the last whole set stays until another one is whole.

use paasta_agent_core::proxy::{
    stream::{Collecting, EndpointPart, Held, NamespacePart, Part, StreamError, Version},
    wanted::Service,
};
use paasta_common::{id::ReplicaId, smartstack::NamespaceOptions};

fn version(term: u64, number: u64) -> Version {
    Version {
        epoch: 1,
        term,
        number,
    }
}

fn endpoint(replica: u64, port: u16, service: Option<Service>) -> EndpointPart {
    EndpointPart {
        replica: ReplicaId(replica),
        at: (port > 0).then(|| ([10, 0, 0, 1], port).into()),
        service,
        weight: 10,
        backup: false,
    }
}

fn namespace(name: &str, endpoints: &[EndpointPart]) -> NamespacePart {
    NamespacePart {
        name: name.parse().unwrap(),
        options: Some(NamespaceOptions {
            proxy_port: Some(20_000),
            ..NamespaceOptions::default()
        }),
        endpoints: endpoints.to_vec(),
        removed: vec![],
    }
}

fn complete(term: u64, part: u32, more: bool, namespaces: Vec<NamespacePart>) -> Part {
    Part {
        version: version(term, 1),
        complete: true,
        part,
        more,
        namespaces,
        removed: vec![],
    }
}

fn ports(held: &Held, name: &str) -> Vec<(u64, u16, Service)> {
    let namespace = held.wanted().namespaces.get(&name.parse().unwrap());
    let servers = namespace.into_iter().flat_map(|one| &one.servers);
    servers
        .map(|(id, server)| (id.0, server.at.port(), server.service))
        .collect()
}

#[test]
fn a_set_counts_when_its_last_part_is_there() {
    use Service::Up;
    let (mut held, mut session) = (Held::default(), Collecting::default());
    let (one, two) = (endpoint(1, 31_001, Some(Up)), endpoint(2, 31_002, Some(Up)));
    let first = complete(1, 0, true, vec![namespace("web.main", &[one])]);
    assert_eq!(held.take(&mut session, &first), Ok(None));
    assert_eq!(ports(&held, "web.main"), []);
    let last = complete(1, 1, false, vec![namespace("web.main", &[two])]);
    assert_eq!(held.take(&mut session, &last), Ok(Some(1)));
    assert_eq!(ports(&held, "web.main"), [(1, 31_001, Up), (2, 31_002, Up)]);
    assert_eq!(held.version_of(1), Some(version(1, 1)));
    // A leader that was elected sends an empty set in two parts, and fails in between.
    let mut other = Collecting::default();
    assert_eq!(
        held.take(&mut other, &complete(2, 0, true, vec![])),
        Ok(None)
    );
    let mut third = Collecting::default();
    let gap = held.take(&mut third, &complete(2, 1, false, vec![]));
    assert!(matches!(
        gap,
        Err(StreamError::OutOfTurn { expected: 0, .. })
    ));
    assert_eq!(ports(&held, "web.main").len(), 2);
    // One of an older leader changes nothing.
    let older = complete(0, 0, false, vec![]);
    assert_eq!(held.take(&mut third, &older), Ok(None));
    assert_eq!(ports(&held, "web.main").len(), 2);
    // Whole, and of this time: it counts, even empty.
    assert_eq!(
        held.take(&mut third, &complete(2, 0, false, vec![])),
        Ok(Some(2))
    );
    assert_eq!(ports(&held, "web.main"), []);
}

#[test]
fn what_a_leader_does_not_know_yet_is_as_it_was() {
    use Service::{Drain, Up};
    let (mut held, mut session) = (Held::default(), Collecting::default());
    let set = [
        endpoint(1, 31_001, Some(Drain)),
        endpoint(2, 31_002, Some(Up)),
    ];
    let first = complete(1, 0, false, vec![namespace("web.main", &set)]);
    held.take(&mut session, &first).unwrap();
    let unknown = [
        endpoint(1, 0, None),
        endpoint(2, 0, Some(Drain)),
        endpoint(3, 0, None),
    ];
    let next = complete(2, 0, false, vec![namespace("web.main", &unknown)]);
    held.take(&mut Collecting::default(), &next).unwrap();
    assert_eq!(
        ports(&held, "web.main"),
        [(1, 31_001, Drain), (2, 31_002, Drain)]
    );
}

#[test]
fn changes_need_the_set_that_they_change() {
    use Service::Up;
    let (mut held, mut session) = (Held::default(), Collecting::default());
    let change = |number, removed: &[u64], endpoints: &[EndpointPart]| {
        let mut namespace = namespace("web.main", endpoints);
        namespace.options = None;
        namespace.removed = removed.iter().copied().map(ReplicaId).collect();
        Part {
            version: version(1, number),
            namespaces: vec![namespace],
            ..Part::default()
        }
    };
    let early = held.take(&mut session, &change(2, &[], &[]));
    assert_eq!(early, Err(StreamError::WithoutSet));
    let one = endpoint(1, 31_001, Some(Up));
    held.take(
        &mut session,
        &complete(1, 0, false, vec![namespace("web.main", &[one])]),
    )
    .unwrap();
    let two = endpoint(2, 31_002, Some(Up));
    assert_eq!(
        held.take(&mut session, &change(2, &[1], &[two])),
        Ok(Some(2))
    );
    assert_eq!(ports(&held, "web.main"), [(2, 31_002, Up)]);
    let namespace = &held.wanted().namespaces[&"web.main".parse().unwrap()];
    assert_eq!(namespace.options.proxy_port, Some(20_000));
    // What came before is no change any more.
    assert_eq!(held.take(&mut session, &change(2, &[2], &[])), Ok(None));
    // Another session begins with a set.
    let other = held.take(&mut Collecting::default(), &change(3, &[], &[]));
    assert_eq!(other, Err(StreamError::WithoutSet));
    let gone = Part {
        version: version(1, 3),
        removed: vec!["web.main".parse().unwrap()],
        ..Part::default()
    };
    held.take(&mut session, &gone).unwrap();
    assert_eq!(held.wanted().namespaces.len(), 0);
}
