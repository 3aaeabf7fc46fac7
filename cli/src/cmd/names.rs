//! The declared instances, for verbs that were given an unknown name.

use paasta_common::typo::close_matches;
use paasta_proto::v1::{ListRequest, ListResponse, admin_client::AdminClient};

use crate::client::{ANSWER_BYTES_MAX, CallError, Coordinators, request};

/// How many names are asked for at once.
const PAGE: u32 = 1000;

/// Every declared instance (of `service`, or of all when that is empty), page after page.
///
/// # Errors
/// No coordinator answered.
pub(super) async fn all(
    coordinators: &mut Coordinators,
    service: &str,
    stale: bool,
) -> Result<ListResponse, CallError> {
    let mut names = ListResponse::default();
    loop {
        let ask = ListRequest {
            service: service.to_owned(),
            page_size: PAGE,
            page: names.next_page.clone(),
            stale,
        };
        let timeout = coordinators.timeout();
        let answer = coordinators.call(|channel| {
            let mut admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
            let ask = request(ask.clone(), timeout);
            async move { admin.list(ask).await }
        });
        let page = answer.await?;
        names.cluster = page.cluster;
        names.stale = page.stale;
        names.instances.extend(page.instances);
        // A page that names itself would be asked for ever.
        let ended = page.next_page.is_empty() || page.next_page == names.next_page;
        names.next_page = page.next_page;
        if ended {
            names.next_page.clear();
            return Ok(names);
        }
    }
}

/// The name of the cluster that the coordinators are of.
///
/// # Errors
/// No coordinator answered.
pub(super) async fn cluster(coordinators: &mut Coordinators) -> Result<String, CallError> {
    let timeout = coordinators.timeout();
    let answer = coordinators.call(|channel| {
        let ask = ListRequest {
            page_size: 1,
            ..ListRequest::default()
        };
        let ask = request(ask, timeout);
        async move { AdminClient::new(channel).list(ask).await }
    });
    Ok(answer.await?.cluster)
}

/// The services of sorted `SERVICE.INSTANCE` names.
pub(super) fn services(instances: &[String]) -> impl Iterator<Item = &str> {
    services_of(instances)
}

/// The same of any names.
pub(super) fn services_of<'a>(
    instances: impl IntoIterator<Item = &'a String>,
) -> impl Iterator<Item = &'a str> {
    let ids = instances.into_iter();
    ids.filter_map(|id| Some(id.split_once('.')?.0))
}

/// `; did you mean a, b?` for what looks like `name`, or nothing.
pub(super) fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match close_matches(name, known).join(", ") {
        near if near.is_empty() => String::new(),
        near => format!("; did you mean {near}?"),
    }
}
