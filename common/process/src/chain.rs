//! An error and everything that caused it, on one line.

use std::error::Error;

/// The most causes that are shown; a longer chain is a loop.
const CAUSES_MAX: usize = 32;

/// The error and its causes, joined by `: `. A cause whose words are already there is not said
/// twice.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    for _ in 0..CAUSES_MAX {
        let Some(cause) = next else { break };
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{words}")]
    struct Link {
        words: &'static str,
        #[source]
        cause: Option<Box<Link>>,
    }

    fn link(words: &'static str, cause: Option<Link>) -> Link {
        let cause = cause.map(Box::new);
        Link { words, cause }
    }

    #[test]
    fn every_cause_is_said_once() {
        let error = link("read", Some(link("open", Some(link("denied", None)))));
        assert_eq!(chain(&error), "read: open: denied");
        let echoing = link("read: denied", Some(link("denied", None)));
        assert_eq!(chain(&echoing), "read: denied");
    }
}
