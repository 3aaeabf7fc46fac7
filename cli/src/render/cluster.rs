//! What each coordinator says about itself.

use paasta_proto::{
    v1::{NodeResponse, NodeRole},
    words::shown,
};

use super::{
    Tone, View,
    table::{field, table},
};

/// A coordinator's address, and what it says or why it says nothing.
pub type Answer = (String, Result<NodeResponse, String>);

/// Renders a row per coordinator.
pub fn render(answers: &[Answer], view: &View) -> String {
    let head = [
        "ADDRESS", "ID", "ROLE", "TERM", "LEADER", "LOG", "APPLIED", "VERSION",
    ];
    let mut rows = Vec::new();
    let mut silent = String::new();
    for (address, answer) in answers {
        match answer {
            Ok(node) => {
                if !node.refused.is_empty() {
                    let words = view.paint(Tone::Bad, &super::plain(&node.refused));
                    silent.push_str(&format!("{address}: {words}\n"));
                }
                let tone = match NodeRole::try_from(node.role) {
                    Ok(NodeRole::Leader) => Tone::Good,
                    Ok(NodeRole::Candidate | NodeRole::Uninitialized) => Tone::Bad,
                    Ok(
                        NodeRole::NoQuorum
                        | NodeRole::Follower
                        | NodeRole::Learner
                        | NodeRole::Stopped
                        | NodeRole::Unspecified,
                    )
                    | Err(_) => Tone::Faint,
                };
                rows.push(vec![
                    field(address),
                    field(node.id),
                    (shown::<NodeRole>(node.role).into_owned(), Some(tone)),
                    field(node.term),
                    field(
                        node.leader_id
                            .map_or_else(|| "-".to_owned(), |id| id.to_string()),
                    ),
                    field(node.last_log_index),
                    field(node.applied_index),
                    field(&node.version),
                ]);
            }
            Err(words) => {
                let words = view.paint(Tone::Bad, &super::plain(words));
                silent.push_str(&format!("{address}: {words}\n"));
            }
        }
    }
    let cluster = answers.iter().find_map(|(_, answer)| {
        let node = answer.as_ref().ok()?;
        (!node.cluster.is_empty())
            .then(|| format!("cluster: {} (id {})\n", node.cluster, node.cluster_id))
    });
    let mut text = cluster.unwrap_or_default();
    if !rows.is_empty() {
        text.push_str(&table(view, 0, &head, rows));
    }
    text + &silent
}
