//! `paasta cluster node`: what each coordinator says it is, leader or no leader.

use std::{collections::BTreeMap, time::Duration};

use paasta_proto::v1::{NodeRequest, NodeResponse, cluster_client::ClusterClient};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::{
    client::{Attempt, CallError, Coordinators, request},
    cmd::Context,
    exit::Exit,
    render,
};

/// What one coordinator is given: it answers from memory, and none is waited for by the others.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// An answer, for `--json`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    asked: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a NodeResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// Asks all and prints the answers: 0 when all agree on a leader, 2 when not, 3 when all are silent.
///
/// # Errors
/// No coordinator is named, or standard output is gone.
pub async fn run(context: &Context) -> anyhow::Result<Exit> {
    show(context).await
}

/// Asks all at once, prints the answers in the order in which the coordinators are named.
///
/// # Errors
/// No coordinator is named, or standard output is gone.
pub async fn show(context: &Context) -> anyhow::Result<Exit> {
    let addresses = context.addresses()?;
    let within = context.global.timeout.min(ANSWER_WITHIN);
    let mut asked = JoinSet::new();
    for (at, address) in addresses.iter().cloned().enumerate() {
        let one = context.reaching(vec![address], within)?;
        asked.spawn(async move { (at, ask(one).await) });
    }
    let mut answers = BTreeMap::new();
    while let Some(answer) = asked.join_next().await {
        let (at, answer) = answer?;
        answers.insert(at, (addresses[at].to_string(), answer));
    }
    let answers: Vec<render::cluster::Answer> = answers.into_values().collect();
    if context.global.json {
        context.print_json(&answers.iter().map(line).collect::<Vec<_>>())?;
    } else {
        context.print(&render::cluster::render(&answers, &context.view))?;
    }
    Ok(verdict(&answers))
}

/// Asks one coordinator; the error says why there is no answer.
pub(in crate::cmd) async fn ask(mut one: Coordinators) -> Result<NodeResponse, String> {
    let within = one.timeout();
    let answer = one.call(|channel| async move {
        ClusterClient::new(channel)
            .node(request(NodeRequest {}, within))
            .await
    });
    answer.await.map_err(|error| match error {
        CallError::Unreachable { attempts, .. } => attempts
            .first()
            .map(Attempt::words)
            .unwrap_or("no answer")
            .to_owned(),
        error => error.to_string(),
    })
}

fn line((asked, answer): &render::cluster::Answer) -> Line<'_> {
    let node = answer.as_ref().ok();
    let error = answer.as_ref().err().map(String::as_str);
    Line { asked, node, error }
}

fn verdict(answers: &[render::cluster::Answer]) -> Exit {
    let nodes: Vec<&NodeResponse> = answers
        .iter()
        .filter_map(|(_, node)| node.as_ref().ok())
        .collect();
    let Some(first) = nodes.first() else {
        return Exit::Unreachable;
    };
    let agreed = nodes
        .iter()
        .all(|node| node.leader_id.is_some() && node.leader_id == first.leader_id);
    match agreed && nodes.len() == answers.len() {
        true => Exit::Ok,
        false => Exit::Unwell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(leader: Option<u64>) -> render::cluster::Answer {
        (
            "h:1".to_owned(),
            Ok(NodeResponse {
                leader_id: leader,
                ..NodeResponse::default()
            }),
        )
    }

    #[test]
    fn coordinators_must_all_answer_and_agree() {
        let silent = || ("h:2".to_owned(), Err("refused".to_owned()));
        let table = [
            (vec![answer(Some(1)), answer(Some(1))], Exit::Ok),
            (vec![answer(Some(1)), answer(Some(2))], Exit::Unwell),
            (vec![answer(None)], Exit::Unwell),
            (vec![answer(Some(1)), silent()], Exit::Unwell),
            (vec![silent()], Exit::Unreachable),
        ];
        for (answers, wanted) in table {
            assert_eq!(verdict(&answers), wanted, "{answers:?}");
        }
    }
}
