//! Asking for an override of one instance: what the emergency commands and `autoscale` share.

use paasta_common::id::InstanceId;
use paasta_proto::v1::{OverrideAction, OverrideRequest, deploys_client::DeploysClient};

use super::{Context, asker, operate::verdict};
use crate::{client::request, exit::Exit, render::plain};

/// Asks, and prints what became of it. The request has one id, however often it has to be sent.
///
/// # Errors
/// No coordinator answered, there is no such instance, or the number makes no sense.
pub(super) async fn ask(
    context: &Context,
    instance: &InstanceId,
    action: OverrideAction,
    instances: Option<u32>,
    delta: Option<i32>,
) -> anyhow::Result<Exit> {
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let ask = OverrideRequest {
        asker: Some(asker::new()),
        instance: instance.to_string(),
        action: action.into(),
        action_word: String::new(),
        instances,
        delta,
    };
    let answer = coordinators.call(|channel| {
        let ask = request(ask.clone(), timeout);
        async move { DeploysClient::new(channel).r#override(ask).await }
    });
    let answer = answer.await?;
    if context.global.json {
        context.print_json(&answer)?;
    } else {
        context.print(&format!("{}\n", plain(&answer.text)))?;
    }
    Ok(verdict(answer.outcome()))
}
