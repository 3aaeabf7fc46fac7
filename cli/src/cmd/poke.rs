//! Tells the coordinators that a service's repository has something new, so that it is seen now and
//! not at the next look. Best effort: without it a deploy arrives all the same, a little later.

use std::time::Duration;

use paasta_common::id::ServiceName;
use paasta_proto::v1::{PokeRequest, deploys_client::DeploysClient};

use super::{Context, asker};
use crate::client::request;

/// Nobody waits longer for this.
const LIMIT: Duration = Duration::from_secs(3);

/// Tells, if any coordinator is named and answers. `tags` are the new ones, for the history: who
/// pushed them is not in git.
pub(super) async fn best_effort(context: &Context, service: &ServiceName, tags: &[String]) {
    let Ok(addresses) = context.known_addresses() else {
        return;
    };
    let limit = LIMIT.min(context.global.timeout);
    let Ok(coordinators) = context.reaching(addresses, limit) else {
        return;
    };
    let mut coordinators = coordinators.once();
    let ask = PokeRequest {
        asker: Some(asker::new()),
        service: service.to_string(),
        tags: tags.to_vec(),
    };
    let told = coordinators.call(|channel| {
        let ask = request(ask.clone(), limit);
        async move { DeploysClient::new(channel).poke(ask).await }
    });
    // Nothing depends on it.
    let _ = told.await;
}
