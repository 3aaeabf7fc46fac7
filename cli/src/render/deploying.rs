//! How far a deploy is, instance by instance: bars on a terminal, lines elsewhere.

use paasta_common::text::beginning;

use super::{Tone, View, plain};
use crate::verdict::deploy::Arrival;

/// The width of a bar.
const BAR: u32 = 20;

/// A line with a bar, cut to the width of the terminal: it is painted again and again.
pub fn bar(name: &str, arrival: &Arrival, view: &View) -> String {
    let full = match (arrival.done, arrival.needed) {
        (true, _) | (false, 0) => BAR * u32::from(arrival.done),
        // The whole of it means that it is done.
        (false, needed) => (arrival.happy.min(needed) * BAR / needed).min(BAR - 1),
    };
    let (full, rest) = (full as usize, (BAR - full) as usize);
    let tone = if arrival.done { Tone::Good } else { Tone::Fair };
    let drawn = format!("[{}{}]", "#".repeat(full), "-".repeat(rest));
    let text = format!(
        " {name} {}/{} {}",
        arrival.happy,
        arrival.needed,
        words(arrival)
    );
    let room = view
        .width
        .map_or(usize::MAX, |width| width.saturating_sub(BAR as usize + 3));
    let text = beginning(text.trim_end(), room);
    format!("{}{text}", view.paint(tone, &drawn))
}

/// A line without a bar.
pub fn line(name: &str, arrival: &Arrival) -> String {
    format!("{name}: {}", words(arrival))
}

fn words(arrival: &Arrival) -> String {
    match arrival.done {
        true => "Complete".to_owned(),
        false => plain(&arrival.why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::view_80;

    #[test]
    fn bars_are_full_when_all_is_done_and_never_wider_than_the_terminal() {
        let mut arrival = Arrival {
            done: false,
            happy: 3,
            needed: 3,
            why: "still bouncing, ".repeat(20),
        };
        let view = view_80();
        let shown = bar("demo.main", &arrival, &view);
        assert!(
            shown.starts_with("[###################-] demo.main 3/3 still"),
            "{shown}"
        );
        assert!(shown.chars().count() < 80, "{shown}");
        arrival.done = true;
        let whole = format!("[{}] demo.main 3/3 Complete", "#".repeat(20));
        assert_eq!(bar("demo.main", &arrival, &view), whole);
        assert_eq!(line("demo.main", &arrival), "demo.main: Complete");
    }
}
