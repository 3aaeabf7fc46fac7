//! A plan: a line per instance that would change, with its reasons below, or a table in Markdown.

use paasta_common::text::{count, count_of};

use super::{Tone, View, lines::Lines, plain};
use crate::verdict::plan::{Act, Change, Plan};

/// The plan for people.
pub fn render(plan: &Plan, view: &View) -> String {
    let mut lines = Lines::new(view);
    let cluster = view.paint(Tone::Strong, &plain(&plan.cluster));
    let compared = count_of(plan.compared, "instance");
    let changes = match plan.changes.len() {
        0 => "nothing would change".to_owned(),
        1 => "1 would change".to_owned(),
        changes => format!("{changes} would change"),
    };
    lines.add("", &format!("{cluster}: {compared} compared, {changes}"), 2);
    for change in &plan.changes {
        lines.raw("");
        let tone = match change.act {
            Act::Refused | Act::Remove => Tone::Bad,
            Act::Bounce => Tone::Fair,
            Act::Scale | Act::New | Act::Settings => Tone::Good,
        };
        let what = view.paint(tone, &what(change));
        lines.add("", &format!("{}: {what}", plain(&change.instance)), 2);
        for why in &change.why {
            lines.add("  ", &plain(why), 4);
        }
    }
    lines.finish()
}

/// The plan as a comment on a change of yelpsoa-configs.
pub fn markdown(plan: &Plan) -> String {
    let compared = count_of(plan.compared, "instance");
    if plan.changes.is_empty() {
        return format!(
            "**{}**: nothing would change ({compared} compared)\n",
            plan.cluster
        );
    }
    let mut text = format!(
        "**{}**: {} of {compared} would change\n\n| instance | what | why |\n|---|---|---|\n",
        plan.cluster,
        plan.changes.len()
    );
    for change in &plan.changes {
        let why: Vec<String> = change.why.iter().map(|why| cell(why)).collect();
        text.push_str(&format!(
            "| `{}` | {} | {} |\n",
            change.instance,
            what(change),
            why.join("<br>")
        ));
    }
    text
}

/// Text that a table of Markdown keeps in one cell.
fn cell(text: &str) -> String {
    plain(text)
        .replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('<', "&lt;")
}

fn what(change: &Change) -> String {
    let before = count(change.replicas_before, "replica");
    match change.act {
        Act::Refused => "refused; its last good configuration stays".to_owned(),
        Act::Remove => format!("removed, with its {before}"),
        Act::Bounce => format!("bounces {before}"),
        Act::Scale => format!(
            "scales from {} to {}",
            change.replicas_before,
            count(change.replicas_after, "replica")
        ),
        Act::New => "new; starts when its deploy group is marked".to_owned(),
        Act::Settings => "settings change, without a bounce".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::view_80;

    #[test]
    fn changes_are_named_with_their_reasons() {
        let change = Change {
            instance: "web.main".to_owned(),
            act: Act::Bounce,
            replicas_before: 3,
            replicas_after: 3,
            why: vec!["cmd none -> a | b".to_owned()],
        };
        let plan = Plan::new("prod".to_owned(), 2, vec![change]);
        assert_eq!(
            render(&plan, &view_80()),
            "prod: 2 instances compared, 1 would change\n\nweb.main: bounces 3 replicas\n  cmd \
             none -> a | b\n"
        );
        assert_eq!(
            markdown(&plan),
            "**prod**: 1 of 2 instances would change\n\n| instance | what | why |\n|---|---|---|\n\
             | `web.main` | bounces 3 replicas | cmd none -> a \\| b |\n"
        );
    }
}
