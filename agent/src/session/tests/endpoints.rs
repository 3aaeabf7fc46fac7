//! Endpoints come through sessions to the load balancer, and its answers go back.

use paasta_common::{
    endpoints::{EndpointSet, EndpointVersion, ProxyReport},
    smartstack::Namespace,
};

use super::*;
use crate::endpoints::link;

fn name() -> Namespace {
    "hello.main".parse().unwrap()
}

/// A part of a set of this leader with one endpoint.
fn part(term: u64, part: u32, more: bool, replica: u64) -> v1::Endpoints {
    let endpoint = v1::Endpoint {
        replica,
        instance: "hello.main".to_owned(),
        host: "host2".to_owned(),
        address: "10.0.0.2".to_owned(),
        port: 31_000,
        state: v1::EndpointState::Up.into(),
        weight: 1,
        backup: false,
    };
    v1::Endpoints {
        version: Some(v1::EndpointVersion {
            epoch: 1,
            term,
            number: 1,
        }),
        complete: true,
        part,
        more,
        namespaces: vec![v1::NamespaceEndpoints {
            name: name().to_string(),
            options: "{}".to_owned(),
            endpoints: vec![endpoint],
            removed: Vec::new(),
        }],
        removed: Vec::new(),
    }
}

async fn answer(peer: &mut Peer) -> v1::ProxyReport {
    loop {
        if let agent_message::Kind::ProxyReport(report) = peer.hear().await {
            return report;
        }
    }
}

fn replicas(set: &EndpointSet) -> Vec<u64> {
    let endpoints = &set.namespaces[&name()].endpoints;
    endpoints.keys().map(|id| id.0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_reaches_the_load_balancer_when_it_is_whole_and_stays_when_the_next_one_is_not() {
    let world = World::new();
    let (address, mut sessions) = coordinator(CancellationToken::new()).await;
    let (sessions_end, mut proxy) = link(None);
    let _stop = talk_with(&world, &[address], Some(sessions_end)).drop_guard();
    let mut first = peer(&mut sessions).await;
    let (hello, _) = first.open().await;
    assert!(hello.takes_endpoints);
    let empty = answer(&mut first).await;
    assert!(empty.complete && empty.version.is_none());
    for wire in [part(1, 0, true, 1), part(1, 1, false, 2)] {
        first.say(coordinator_message::Kind::Endpoints(wire)).await;
    }
    let whole = |set: &Option<Arc<EndpointSet>>| set.is_some();
    let set = timeout(PATIENCE, proxy.sets.wait_for(whole)).await.unwrap();
    let set = set.unwrap().clone().unwrap();
    assert_eq!(replicas(&set), [1, 2]);
    proxy.answers.send_replace(Arc::new(ProxyReport {
        version: Some(set.version),
        ..ProxyReport::default()
    }));
    let acknowledged = answer(&mut first).await;
    assert!(!acknowledged.complete);
    let version = EndpointVersion {
        epoch: 1,
        term: 1,
        number: 1,
    };
    assert_eq!(set.version, version);
    assert_eq!(acknowledged.version.unwrap().number, 1);
    // A part is missing: the session ends, the set stays, and the next session answers anew.
    for wire in [part(1, 0, true, 3), part(1, 2, false, 4)] {
        first.say(coordinator_message::Kind::Endpoints(wire)).await;
    }
    let mut second = peer(&mut sessions).await;
    second.open().await;
    let again = answer(&mut second).await;
    assert!(again.complete);
    assert_eq!(again.version.unwrap().number, 1);
    assert_eq!(replicas(&proxy.sets.borrow().clone().unwrap()), [1, 2]);
}
