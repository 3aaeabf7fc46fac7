//! What the verbs that change hosts and instances have in common: each host or instance is a
//! request of its own, told in a line, and one that is refused keeps the others from nothing.

use paasta_proto::{
    v1::{Asker, OperateResponse, RequestOutcome, operate_client::OperateClient},
    words::word,
};
use serde_json::{Value, json};
use tonic::{Request, Response, Status, transport::Channel};

use super::{Context, asker};
use crate::{
    client::{CallError, request},
    exit::Exit,
    terminal::note,
};

/// Asks for every host in turn, as [`each`] does.
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
    let send = |channel, ask| send(OperateClient::new(channel), ask);
    each(context, ("host", hosts), make, send).await
}

/// Asks for everything that is named in turn, and prints what became of it. Each request has an id
/// that stays the same however often it has to be sent. `named` says what kind of thing is named,
/// for `--json`.
///
/// # Errors
/// No coordinator answered, or standard output is gone.
pub(super) async fn each<F, Q, M>(
    context: &Context,
    (kind, named): (&str, &[String]),
    make: M,
    send: impl Fn(Channel, Request<Q>) -> F,
) -> anyhow::Result<Exit>
where
    Q: Clone,
    F: Future<Output = Result<Response<OperateResponse>, Status>>,
    M: Fn(Asker, &str) -> Q,
{
    let mut coordinators = context.coordinators()?;
    let timeout = coordinators.timeout();
    let mut worst = Exit::Ok;
    let mut answers: Vec<Value> = Vec::new();
    for name in named {
        let ask = make(asker::new(), name);
        let answer = coordinators.call(|channel| send(channel, request(ask.clone(), timeout)));
        let response = match answer.await {
            Ok(response) => response,
            Err(error @ CallError::Unreachable { .. }) => return Err(error.into()),
            Err(error) => {
                note(&error.to_string());
                worst = worst.max(Exit::Failed);
                continue;
            }
        };
        worst = worst.max(verdict(response.outcome()));
        if !context.global.json {
            context.print(&format!("{}\n", crate::render::plain(&response.text)))?;
        }
        let outcome = word::<RequestOutcome>(response.outcome);
        answers.push(json!({kind: name, "outcome": outcome, "text": response.text}));
    }
    if context.global.json {
        context.print_json(&answers)?;
    }
    Ok(worst)
}

/// Prints the answer to one request, and returns its exit code.
///
/// # Errors
/// Standard output is gone.
pub(super) fn print(answer: &OperateResponse, context: &Context) -> anyhow::Result<Exit> {
    match context.global.json {
        true => context.print_json(answer)?,
        false => context.print(&format!("{}\n", crate::render::plain(&answer.text)))?,
    }
    Ok(verdict(answer.outcome()))
}

/// The exit code of an outcome: what was so already is as good as done.
pub(super) fn verdict(outcome: RequestOutcome) -> Exit {
    match outcome {
        RequestOutcome::Done | RequestOutcome::Unchanged | RequestOutcome::Planned => Exit::Ok,
        // Not given, or one that only a newer coordinator knows: it may not be done.
        RequestOutcome::Refused | RequestOutcome::Unspecified => Exit::Failed,
    }
}
