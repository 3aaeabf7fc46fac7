//! What the verbs that change hosts have in common: each host is a request of its own, told in a
//! line, and one that is refused keeps the others from nothing.

use paasta_proto::v1::{Asker, OperateResponse, operate_client::OperateClient};
use serde::Serialize;
use tonic::{Request, Response, Status, transport::Channel};

use super::{Context, asker};
use crate::{
    client::{CallError, request},
    exit::Exit,
    terminal::note,
};

/// What became of one host, for `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    host: &'a str,
    #[serde(flatten)]
    response: OperateResponse,
}

/// Asks for every host in turn, and prints what became of it. Each request has an id that stays the
/// same however often it has to be sent.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub(super) async fn each_host<F, Q, M>(
    context: &Context,
    hosts: &[String],
    make: M,
    send: impl Fn(OperateClient<Channel>, Request<Q>) -> F,
) -> anyhow::Result<Exit>
where
    Q: Clone,
    F: Future<Output = Result<Response<OperateResponse>, Status>>,
    M: Fn(Asker, &str) -> Q,
{
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let mut worst = Exit::Ok;
    let mut answers = Vec::new();
    for host in hosts {
        let ask = make(asker::new(), host);
        let answer = coordinators.call(|channel| {
            let ask = request(ask.clone(), timeout);
            send(OperateClient::new(channel), ask)
        });
        let response = match answer.await {
            Ok(response) => response,
            Err(error @ CallError::Unreachable { .. }) => return Err(error.into()),
            Err(error) => {
                note(&error.to_string());
                worst = worst.max(Exit::Failed);
                continue;
            }
        };
        worst = worst.max(verdict(&response.outcome));
        if !context.global.json {
            context.print(&format!("{}\n", crate::render::plain(&response.text)))?;
        }
        answers.push(Answer { host, response });
    }
    if context.global.json {
        context.print_json(&answers)?;
    }
    Ok(worst)
}

/// The exit code of an outcome: what was so already is as good as done.
pub(super) fn verdict(outcome: &str) -> Exit {
    match outcome {
        "done" | "unchanged" | "planned" => Exit::Ok,
        _ => Exit::Failed,
    }
}
