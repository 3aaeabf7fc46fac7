//! Instances at a glance: a line each, those that need attention in front.

use paasta_common::text::count_of;
use paasta_proto::v1::{InstanceStatus, Problem, StatusResponse};

use super::{
    Tone, View,
    lines::Lines,
    plain, problem,
    replicas::git,
    repository, stale,
    table::{Field, field, table},
    time, waiting,
};
use crate::verdict::{
    glance::{Glance, Need, glance, is_bouncing},
    instance::is_error,
};

/// Below so many columns the problem is on a line of its own.
const NARROW: usize = 72;

/// Renders the instances of an answer, `limit` of them at most.
pub fn render(answer: &StatusResponse, limit: Option<usize>, view: &View) -> String {
    let mut all: Vec<(Glance, &InstanceStatus)> = answer
        .instances
        .iter()
        .map(|one| (glance(one), one))
        .collect();
    // The sort is stable: equal needs stay in the order of names.
    all.sort_by_key(|(glance, _)| glance.need);
    let mut lines = Lines::new(view);
    lines.block(0, &stale::line(answer.stale.as_ref(), view));
    lines.add("", &heading(answer, &all, view), 2);
    let shown = limit.unwrap_or(all.len()).min(all.len());
    if shown > 0 {
        lines.raw("");
        lines.block(0, &rows(&all[..shown], answer, view));
    }
    let hidden = &all[shown..];
    if !hidden.is_empty() {
        let unwell = hidden.iter().filter(|(one, _)| one.need != Need::Rest);
        let more = match unwell.count() {
            0 => "all as wanted".to_owned(),
            unwell => format!("{unwell} not as wanted"),
        };
        lines.raw("");
        let text = format!("and {} more, {more}: --limit 0 shows all", hidden.len());
        lines.add("", &text, 2);
    }
    services(&mut lines, answer);
    lines.finish()
}

/// The cluster and what is to be said of all its instances.
fn heading(answer: &StatusResponse, all: &[(Glance, &InstanceStatus)], view: &View) -> String {
    let unwell = all.iter().filter(|(one, _)| one.need != Need::Rest).count();
    let bouncing = all.iter().filter(|(_, one)| is_bouncing(one)).count();
    let mut text = format!(
        "{}: {}, ",
        view.paint(Tone::Strong, &plain(&answer.cluster)),
        count_of(all.len(), "instance")
    );
    text.push_str(&match unwell {
        0 => "all as wanted".to_owned(),
        unwell => format!("{unwell} not as wanted"),
    });
    if bouncing > 0 {
        text.push_str(&format!(", {bouncing} bouncing"));
    }
    text
}

fn rows(all: &[(Glance, &InstanceStatus)], answer: &StatusResponse, view: &View) -> String {
    let bounces = all.iter().any(|(_, one)| one.bounce.is_some());
    let narrow = view.width.is_some_and(|width| width < NARROW);
    let problems: Vec<String> = all
        .iter()
        .map(|(_, one)| trouble(one, answer, view))
        .collect();
    let beside = !narrow && problems.iter().any(|text| !text.is_empty());
    let mut head = vec!["INSTANCE", "STATE", "HAPPY", "GIT"];
    if bounces {
        head.push("BOUNCE");
    }
    head.push("SINCE");
    if beside {
        head.push("PROBLEM");
    }
    let row = |((glance, one), problem): (&(Glance, &InstanceStatus), &String)| {
        let mut row = vec![
            field(format!("{}.{}", one.service, one.instance)),
            (glance.word.to_owned(), Some(tone(glance.need))),
            happy(one),
            field(git(&one.desired_app)),
        ];
        if bounces {
            row.push(field(bounce(one)));
        }
        row.push(field(match glance.since_ms {
            0 => "-".to_owned(),
            since => time::span(answer.now_ms.saturating_sub(since)),
        }));
        if beside {
            row.push(field(problem));
        }
        row
    };
    let text = table(view, 0, &head, all.iter().zip(&problems).map(row).collect());
    match narrow {
        true => interleaved(&text, &problems, view),
        false => text,
    }
}

/// Adds each problem below the line of its instance.
fn interleaved(table: &str, problems: &[String], view: &View) -> String {
    let mut lines = Lines::new(view);
    let mut problems = problems.iter();
    for (at, line) in table.lines().enumerate() {
        lines.raw(line);
        let below = (at > 0).then(|| problems.next()).flatten();
        if let Some(text) = below.filter(|text| !text.is_empty()) {
            lines.add("  ", text, 2);
        }
    }
    lines.finish()
}

fn tone(need: Need) -> Tone {
    match need {
        Need::Act => Tone::Bad,
        Need::Look => Tone::Fair,
        Need::Rest => Tone::Good,
    }
}

fn happy(one: &InstanceStatus) -> Field {
    let counts = one.counts.unwrap_or_default();
    let (happy, wanted) = (counts.happy, one.wanted);
    let text = match counts.unknown {
        0 => format!("{happy}/{wanted}"),
        _ if happy == 0 => format!("?/{wanted}"),
        _ => format!("{happy}+?/{wanted}"),
    };
    match happy < one.wanted {
        true => (text, Some(Tone::Fair)),
        false => field(text),
    }
}

fn bounce(one: &InstanceStatus) -> String {
    match &one.bounce {
        Some(bounce) => format!("{}/{} new", bounce.new_happy, bounce.new_wanted),
        None => "-".to_owned(),
    }
}

/// The first thing that is wrong, in a few words; empty when nothing is.
fn trouble(one: &InstanceStatus, answer: &StatusResponse, view: &View) -> String {
    let own = |problem: &&Problem| !answer.problems.contains(problem);
    let mut problems = one.problems.iter().filter(own);
    let errors = problems.clone().find(|problem| is_error(problem));
    if repository::is_silent(one) {
        return "its git repository does not answer".to_owned();
    }
    if let Some(problem) = errors {
        return view.said(&problem::text(problem));
    }
    if let Some(waiting) = one.waiting.first() {
        return waiting::brief(waiting, view);
    }
    problems
        .next()
        .map_or_else(String::new, |problem| view.said(&problem::text(problem)))
}

/// Adds the problems of whole services, each once.
fn services(lines: &mut Lines<'_>, answer: &StatusResponse) {
    if !answer.problems.is_empty() {
        lines.raw("");
        lines.raw("Problems of whole services:");
        problem::add(lines, 2, &answer.problems);
    }
}
