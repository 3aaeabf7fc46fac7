//! Tells the coordinators that a service's repository has something new, so that it is seen now and
//! not at the next look. Best effort: without it a deploy arrives all the same, a little later.

use std::time::Duration;

use paasta_common::id::ServiceName;
use paasta_proto::v1::{PokeRequest, deploys_client::DeploysClient};

use tokio::task::JoinSet;

use super::{Context, asker, fleet};
use crate::client::{Coordinators, request};

/// Nobody waits longer for this.
const LIMIT: Duration = Duration::from_secs(3);

/// Notifies every cluster that is configured and answers. `tags` are the new ones, for the history:
/// git does not say who pushed them.
pub(super) async fn best_effort(context: &Context, service: &ServiceName, tags: &[String]) {
    let limit = LIMIT.min(context.global.timeout);
    let ask = PokeRequest {
        asker: Some(asker::new()),
        service: service.to_string(),
        tags: tags.to_vec(),
    };
    let mut notified = JoinSet::new();
    for coordinators in fleet::coordinators(context, limit) {
        notified.spawn(one(coordinators.once(), ask.clone()));
    }
    // Nothing depends on it.
    while notified.join_next().await.is_some() {}
}

async fn one(mut coordinators: Coordinators, ask: PokeRequest) {
    let limit = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = request(ask.clone(), limit);
        async move { DeploysClient::new(channel).poke(ask).await }
    });
    // Nothing depends on it.
    let _ = answer.await;
}
