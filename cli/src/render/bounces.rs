//! The answer to `paasta bounce status`: an entry per instance.

use paasta_coordinator_core::state::bounce::BounceCounts;
use paasta_proto::v1::{BounceLine, BounceStatusResponse, InstanceBounce};

use super::{Tone, View, lines::Lines, plain, status::bounce_text, time, waiting};

/// Columns of the labels.
const WIDE: usize = 12;

/// Renders the whole answer.
pub fn render(answer: &BounceStatusResponse, view: &View) -> String {
    let mut lines = Lines::new(view);
    if answer.instances.is_empty() {
        lines.raw("No bounce is under way, held or rolled back.");
    }
    for one in &answer.instances {
        instance(&mut lines, one, answer.now_ms);
    }
    lines.finish()
}

fn instance(lines: &mut Lines<'_>, one: &InstanceBounce, now_ms: u64) {
    let name = lines.view().paint(Tone::Strong, &plain(&one.instance));
    lines.raw(&name);
    lines.field(2, "App", WIDE, &plain(&one.desired_app));
    match (&one.bounce, &one.line) {
        (None, _) => lines.field(2, "Bounce", WIDE, "none is under way"),
        (Some(bounce), line) => {
            lines.field(2, "Bounce", WIDE, &bounce_text(bounce, now_ms));
            if let Some(line) = line {
                lines.field(2, "Numbers", WIDE, &numbers(line));
            }
        }
    }
    if !one.pinned.is_empty() && one.desired_app != one.configured_app {
        let since = time::distance(one.pinned_since_ms, now_ms);
        let text = format!(
            "{} is configured; {since}: {}",
            plain(&one.configured_app),
            plain(&one.pinned)
        );
        lines.field(2, "Instead", WIDE, &text);
    }
    let back = match one.rollback_to.as_str() {
        "" => "there is no earlier app",
        app => app,
    };
    lines.field(2, "Roll back", WIDE, &plain(back));
    if !one.waiting.is_empty() {
        lines.raw("  Waiting for:");
        waiting::add(lines, 4, &one.waiting, false, now_ms);
    }
}

/// The numbers that are not zero, as the events say them.
fn numbers(line: &BounceLine) -> String {
    BounceCounts {
        to_bring_up: line.to_bring_up,
        old_happy: line.old_happy,
        old_unhappy: line.old_unhappy,
        old_draining: line.old_draining,
        old_at_risk: line.old_at_risk,
        old_apps: line.old_apps,
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use paasta_proto::v1::{BounceMethod, BounceState, BounceStatus, Waiting, WaitingKind};

    use super::*;
    use crate::render::view_80;

    #[test]
    fn a_bounce_is_told_with_its_numbers_and_the_way_back() {
        let held = InstanceBounce {
            instance: "hello.main".to_owned(),
            desired_app: "hello.main.git22222222.config22222222".to_owned(),
            configured_app: "hello.main.git22222222.config22222222".to_owned(),
            bounce: Some(BounceStatus {
                method: BounceMethod::Crossover.into(),
                started_at_ms: 1_000,
                state: BounceState::Held.into(),
                new_happy: 1,
                new_wanted: 3,
                old_happy: 2,
                old_total: 2,
                ..BounceStatus::default()
            }),
            line: Some(BounceLine {
                to_bring_up: 2,
                old_happy: 2,
                old_apps: 1,
                ..BounceLine::default()
            }),
            waiting: vec![Waiting {
                kind: WaitingKind::Held.into(),
                what: "held".to_owned(),
                ..Waiting::default()
            }],
            rollback_to: "hello.main.git11111111.config11111111".to_owned(),
            ..InstanceBounce::default()
        };
        let pinned = InstanceBounce {
            instance: "hello.worker".to_owned(),
            desired_app: "hello.worker.git11111111.config11111111".to_owned(),
            configured_app: "hello.worker.git22222222.config22222222".to_owned(),
            pinned: "pages are slow".to_owned(),
            pinned_since_ms: 31_000,
            ..InstanceBounce::default()
        };
        let mut answer = BounceStatusResponse {
            instances: vec![held, pinned],
            now_ms: 91_000,
        };
        let wanted = "\
hello.main
  App:        hello.main.git22222222.config22222222
  Bounce:     crossover, held for 1m 30s: new 1/3 happy, old 2/2 happy
  Numbers:    2 new to bring up, 2 old happy, 1 old app
  Roll back:  hello.main.git11111111.config11111111
  Waiting for:
    - held: held
hello.worker
  App:        hello.worker.git11111111.config11111111
  Bounce:     none is under way
  Instead:    hello.worker.git22222222.config22222222 is configured; 1m ago:
              pages are slow
  Roll back:  there is no earlier app
";
        assert_eq!(render(&answer, &view_80()), wanted);
        answer.instances.clear();
        assert_eq!(
            render(&answer, &view_80()),
            "No bounce is under way, held or rolled back.\n"
        );
    }
}
