//! What a Makefile must offer by the contract of services, read from its text alone: nothing in it
//! is run.

/// The targets that the steps of a pipeline make.
pub(super) const TARGETS: [&str; 3] = ["cook-image", "itest", "test"];

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Makefile {
    /// Whether its recipes are indented by tabs.
    pub(super) tabs: bool,
    /// Whether it reads DOCKER_TAG.
    pub(super) docker_tag: bool,
    /// Which of [`TARGETS`] it has.
    pub(super) targets: Vec<&'static str>,
}

impl Makefile {
    /// Reads the text.
    pub(super) fn parse(text: &str) -> Self {
        let has = |target: &&str| text.lines().any(|line| is_rule(line, target));
        Self {
            tabs: text.lines().any(|line| line.starts_with('\t')),
            docker_tag: text.contains("DOCKER_TAG"),
            targets: TARGETS
                .iter()
                .filter(|target| has(target))
                .copied()
                .collect(),
        }
    }
}

/// Whether the line begins a rule for the target: `a target: prerequisites`, and no `target := x`.
fn is_rule(line: &str, target: &str) -> bool {
    if line.starts_with(['\t', '#', '.']) {
        return false;
    }
    let Some((names, rest)) = line.split_once(':') else {
        return false;
    };
    !rest.starts_with('=') && names.split_whitespace().any(|name| name == target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_from_what_looks_like_them() {
        let text = "DOCKER_TAG ?= x\n.PHONY: itest\ncook-image : deps\n\tdocker build -t $(DOCKER_TAG) .\n\
                    itest := 1\ntests:\n# test:\nunit test: x\n";
        let found = Makefile::parse(text);
        assert_eq!(found.targets, ["cook-image", "test"]);
        assert!(found.tabs && found.docker_tag);
        let spaces = Makefile::parse("itest:\n    true\n");
        assert_eq!(spaces.targets, ["itest"]);
        assert!(!spaces.tabs && !spaces.docker_tag);
    }
}
