//! `paasta generate-deployments --status`: how the services' repositories answer the leader.

use paasta_common::id::ServiceName;
use paasta_proto::v1::{RemotesRequest, RemotesResponse, deploys_client::DeploysClient};

use super::Context;
use crate::{
    client::{ANSWER_BYTES_MAX, CallError, Coordinators, request},
    exit::Exit,
    render,
    terminal::note,
};

/// How many repositories are asked for at once.
const PAGE: u32 = 1000;

/// Shows them all, or those of the named services. The exit code is 2 when one does not answer.
pub(super) async fn show(services: &[ServiceName], context: &Context) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let mut answer = fetch(&mut coordinators).await?;
    if !services.is_empty() {
        let named = |name: &str| services.iter().any(|service| service.as_str() == name);
        answer.remotes.retain(|remote| named(&remote.service));
    }
    if context.global.json {
        context.print_json(&answer)?;
    } else {
        context.print(&render::remotes::render(&answer, &context.view))?;
    }
    let known = |service: &&ServiceName| {
        let of_it = |name: &str| name == service.as_str();
        answer.remotes.iter().any(|remote| of_it(&remote.service))
    };
    if let Some(unknown) = services.iter().find(|service| !known(service)) {
        note(&format!("no repository of a service {unknown} is followed"));
        return Ok(Exit::Failed);
    }
    match answer.remotes.iter().any(|remote| remote.failures > 0) {
        true => Ok(Exit::Unwell),
        false => Ok(Exit::Ok),
    }
}

/// All pages as one.
async fn fetch(coordinators: &mut Coordinators) -> Result<RemotesResponse, CallError> {
    let mut all = RemotesResponse::default();
    loop {
        let ask = RemotesRequest {
            page_size: PAGE,
            page: all.next_page.clone(),
            ..RemotesRequest::default()
        };
        let timeout = coordinators.timeout();
        let answer = coordinators.call(|channel| {
            let mut deploys =
                DeploysClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
            let ask = request(ask.clone(), timeout);
            async move { deploys.remotes(ask).await }
        });
        let mut page = answer.await?;
        let ended = page.next_page.is_empty() || page.next_page == all.next_page;
        page.remotes.splice(0..0, all.remotes);
        all = page;
        if ended {
            all.next_page.clear();
            return Ok(all);
        }
    }
}
