//! The services' repositories as the leader sees them.

use paasta_proto::v1::{Remote, RemotesResponse};

use super::{
    Tone, View, plain,
    table::{self, field},
    time,
};

/// A line on the whole, and a table of the repositories.
pub fn render(answer: &RemotesResponse, view: &View) -> String {
    if !answer.follows {
        return "git is not followed (deployments.generate is false): deployments.json says what \
                runs\n"
            .to_owned();
    }
    let mut text = format!(
        "{} repositories, {} failing, {} being asked\n",
        answer.total, answer.failing, answer.asking
    );
    if !answer.write_error.is_empty() {
        let words = format!(
            "deployments.json is not written: {}",
            plain(&answer.write_error)
        );
        text.push_str(&view.paint(Tone::Fair, &words));
        text.push('\n');
    }
    if answer.remotes.is_empty() {
        return text;
    }
    let row = |remote: &Remote| row(remote, answer.now_ms);
    let rows = answer.remotes.iter().map(row).collect();
    let head = ["SERVICE", "ANSWERED", "NEXT", "FAILURES"];
    text.push_str(&table::table(view, 0, &head, rows));
    for remote in answer
        .remotes
        .iter()
        .filter(|remote| !remote.error.is_empty())
    {
        text.push_str(&format!("{}: {}\n", remote.service, plain(&remote.error)));
    }
    for remote in &answer.remotes {
        if !remote.warning.is_empty() {
            let words = format!("{}: {}", remote.service, plain(&remote.warning));
            text.push_str(&view.paint(Tone::Fair, &words));
            text.push('\n');
        }
    }
    text
}

fn row(remote: &Remote, now_ms: u64) -> Vec<table::Field> {
    let answered = remote.answered_at_ms;
    let next = match remote.next_at_ms {
        0 => "now".to_owned(),
        at if at <= now_ms => "now".to_owned(),
        at => time::distance(at, now_ms),
    };
    let failures = match remote.failures {
        0 => field(""),
        count => (count.to_string(), Some(Tone::Bad)),
    };
    vec![
        field(&remote.service),
        field(answered.map_or("never".to_owned(), |at| time::distance(at, now_ms))),
        field(next),
        failures,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::view_80;

    #[test]
    fn who_does_not_answer_is_told_with_the_reason() {
        let remote = Remote {
            service: "web".to_owned(),
            error: "no\nroute".to_owned(),
            failures: 2,
            next_at_ms: 45_000,
            ..Remote::default()
        };
        let answer = RemotesResponse {
            follows: true,
            remotes: vec![remote],
            now_ms: 5_000,
            total: 3,
            failing: 1,
            ..RemotesResponse::default()
        };
        assert_eq!(
            render(&answer, &view_80()),
            "3 repositories, 1 failing, 0 being asked\n\
             SERVICE  ANSWERED  NEXT    FAILURES\n\
             web      never     in 40s  2\n\
             web: no route\n"
        );
        let off = render(&RemotesResponse::default(), &view_80());
        assert!(off.starts_with("git is not followed"), "{off}");
    }
}
