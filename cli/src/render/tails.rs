//! The last lines that failing replicas wrote, below their instances.

use paasta_proto::{v1::LogComponent, words::shown};

use super::{Tone, View, lines::Lines, plain, time};
use crate::cmd::status::tails::Tail;

/// Renders the tails, and how many replicas were left out.
pub fn render(tails: &[Tail], left_out: usize, view: &View) -> String {
    let mut lines = Lines::new(view);
    for tail in tails {
        let whose = format!("{} {} on {}", tail.instance, tail.replica, tail.host);
        lines.raw("");
        match &tail.lines {
            Ok(all) if all.is_empty() => lines.add("    ", &format!("{whose} wrote nothing"), 6),
            Ok(all) => {
                lines.add("    ", &format!("{whose} wrote last:"), 6);
                for line in all {
                    let at = time::moment(line.at_ns / 1_000_000, view);
                    let first = format!("      {} ", view.paint(Tone::Faint, &at));
                    let text = String::from_utf8_lossy(&line.message);
                    let text = format!(
                        "[{}] {}",
                        shown::<LogComponent>(line.component),
                        plain(&text)
                    );
                    lines.add(&first, &text, 8);
                }
            }
            Err(why) => lines.add(
                "    ",
                &format!("{whose}: its lines are missing: {}", plain(why)),
                6,
            ),
        }
    }
    if left_out > 0 {
        lines.raw("");
        let text = format!("and {left_out} more: name an instance with -s and -i");
        lines.add("    ", &text, 6);
    }
    lines.finish()
}
