//! A coordinator goes on as long as its log can be written, whatever else finds no room.

use super::Violation;

/// A coordinator ended by itself; `full` is whether its disk had no room for the log.
pub fn ended(whom: &str, full: bool, why: &str) -> Option<Violation> {
    (!full).then(|| {
        Violation::new(
            "Disk",
            format!("{whom} ended although its log had room: {why}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_disk_is_a_reason() {
        assert!(ended("c1", true, "no room").is_none());
        assert!(ended("c1", false, "no room").is_some());
    }
}
