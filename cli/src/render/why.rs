//! The answer to `paasta why`: first the reasons, then the whole status, then what happened.

use paasta_proto::v1::WhyResponse;

use super::{View, events, lines::Lines, problem, repository, status, time, waiting};
use crate::{exit::Exit, verdict::instance};

/// Renders the whole answer.
pub fn render(response: &WhyResponse, view: &View) -> String {
    let mut lines = Lines::new(view);
    let Some(one) = &response.status else {
        return lines.finish();
    };
    let name = format!("{}.{}", one.service, one.instance);
    match instance::exit(one) {
        Exit::Ok => lines.raw(&format!("{name} is as wanted.")),
        _ => lines.raw(&format!("{name} is not as wanted:")),
    }
    repository::add(&mut lines, 2, one, response.now_ms);
    problem::add(&mut lines, 2, &one.problems);
    waiting::add(&mut lines, 2, &one.waiting, response.now_ms);
    if one.desired_app.is_empty() && one.problems.is_empty() && one.repository.is_none() {
        let text = "nothing was ever deployed: mark a commit by `paasta mark-for-deployment`";
        lines.add("  - ", text, 4);
    }
    for replica in one
        .replicas
        .iter()
        .filter(|replica| !replica.message.is_empty())
    {
        let next = replica.next_try_at_ms.map_or_else(String::new, |at| {
            format!("; next try {}", time::distance(at, response.now_ms))
        });
        let text = format!(
            "{} on {}: {}{next}",
            replica.id,
            replica.host,
            super::plain(&replica.message)
        );
        lines.add("  - ", &text, 4);
    }
    // Said above already.
    let mut rest = one.clone();
    rest.waiting.clear();
    rest.problems.clear();
    if !repository::is_silent(one) {
        rest.repository = None;
    }
    for replica in &mut rest.replicas {
        if replica.message == replica.last_end_text {
            replica.last_end = None;
        }
        replica.message.clear();
    }
    status::instance(&mut lines, &rest, response.now_ms);
    if !response.events.is_empty() {
        lines.raw("");
        lines.raw("What happened:");
        events::add(&mut lines, 2, &response.events);
    }
    lines.finish()
}

#[cfg(test)]
mod tests;
