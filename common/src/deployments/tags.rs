//! The tags by which git says what runs: `paasta-GROUP-TIME-deploy` on the commit that a deploy
//! group runs, `paasta-CLUSTER.INSTANCE-TIME-start` and `-stop` on the commit for which that is
//! meant. TIME is `YYYYMMDDTHHMMSS`, UTC. Read here, and named; pushed elsewhere.
//!
//! A start or stop tag may have no prefix `paasta-`, or two of them: older tools of PaaSTA made
//! such tags, and PaaSTA counts them. A deploy tag has exactly one.

use std::{collections::BTreeMap, iter};

use crate::{
    id::{ClusterName, InstanceName},
    spec::DesiredState,
};

/// The prefix of the tags.
const PREFIX: &str = "paasta-";
/// The most prefixes that a start or stop tag may have.
const CONTROL_PREFIXES_MAX: usize = 2;
/// The longest deploy group that a tag is made for, in bytes: git keeps a ref in a file.
pub const GROUP_BYTES_MAX: usize = 150;

/// The tags of a repository that say what runs.
#[derive(Debug, Clone, Default)]
pub struct Tags<'a> {
    /// By deploy group, oldest first.
    deploys: BTreeMap<&'a str, Vec<Deploy<'a>>>,
    /// By `CLUSTER.INSTANCE`.
    controls: BTreeMap<&'a str, Vec<Control<'a>>>,
    /// Names with a time that is none.
    timeless: Vec<&'a str>,
}

/// A deploy tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deploy<'a> {
    /// When it was made, by its name.
    pub timestamp: &'a str,
    /// The deployed commit.
    pub sha: &'a str,
    /// The deploy group.
    pub group: &'a str,
}

/// A start or stop tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control<'a> {
    /// When it was made, by its name.
    pub timestamp: &'a str,
    /// What it asks for.
    pub state: DesiredState,
    /// The commit for which it is meant.
    pub sha: &'a str,
    /// The tag, without `refs/tags/`.
    pub name: &'a str,
}

impl<'a> Tags<'a> {
    /// Picks them out of the refs of a repository (name to sha); every other ref is passed over.
    pub fn read(refs: &'a BTreeMap<String, String>) -> Self {
        let mut tags = Self::default();
        for (name, sha) in refs {
            let Some(name) = name.strip_prefix("refs/tags/") else {
                continue;
            };
            let Some((subject, timestamp, word)) = parse(name) else {
                continue;
            };
            let prefixed = subject.strip_prefix(PREFIX);
            match (word, prefixed) {
                ("deploy" | "start" | "stop", Some(_)) if !is_time(timestamp) => {
                    tags.timeless.push(name);
                }
                ("deploy", Some(group)) if !group.is_empty() => {
                    tags.deploys.entry(group).or_default().push(Deploy {
                        timestamp,
                        sha,
                        group,
                    });
                }
                ("start" | "stop", _) if is_time(timestamp) => {
                    let state = match word {
                        "stop" => DesiredState::Stop,
                        _ => DesiredState::Start,
                    };
                    for target in targets(subject) {
                        tags.controls.entry(target).or_default().push(Control {
                            timestamp,
                            state,
                            sha,
                            name,
                        });
                    }
                }
                _ => {}
            }
        }
        // Refs come by name, and names of one group differ in their time only.
        tags
    }

    /// The deploy tag of a group that counts: the one with the greatest time.
    pub fn latest(&self, group: &str) -> Option<Deploy<'a>> {
        self.deploys.get(group)?.last().copied()
    }

    /// Every deploy of these groups, the newest first; of all groups when none is named.
    pub fn deploys(&self, groups: &[&str]) -> Vec<Deploy<'a>> {
        let chosen = |group: &&str| groups.is_empty() || groups.contains(group);
        let mut found: Vec<Deploy<'a>> = self
            .deploys
            .iter()
            .filter(|(group, _)| chosen(group))
            .flat_map(|(_, deploys)| deploys.iter().copied())
            .collect();
        found.sort_by(|a, b| b.cmp(a));
        found
    }

    /// The latest control of `CLUSTER.INSTANCE` that was made for the deployed `sha`: one that was
    /// made for another commit says nothing.
    pub fn control(&self, target: &str, sha: &str) -> Option<Control<'a>> {
        let candidates = self.controls.get(target)?.iter();
        // At the same second a stop wins over a start: what is stopped can be started again.
        candidates
            .filter(|tag| tag.sha == sha)
            .max_by_key(|tag| (tag.timestamp, tag.state == DesiredState::Stop))
            .copied()
    }

    /// The tags that have the form of one that counts and a time that is none, as
    /// `99999999T999999`: they count for nothing and are to be deleted.
    pub fn timeless(&self) -> &[&'a str] {
        &self.timeless
    }

    /// The greatest time of any control of `CLUSTER.INSTANCE`.
    pub fn last_control(&self, target: &str) -> Option<&'a str> {
        let controls = self.controls.get(target)?.iter();
        controls.map(|tag| tag.timestamp).max()
    }
}

/// The name of a deploy tag, without `refs/tags/`.
pub fn deploy_tag(group: &str, timestamp: &str) -> String {
    format!("paasta-{group}-{timestamp}-deploy")
}

/// The name of a start or stop tag, without `refs/tags/`.
pub fn control_tag(
    cluster: &ClusterName,
    instance: &InstanceName,
    timestamp: &str,
    state: DesiredState,
) -> String {
    let word = match state {
        DesiredState::Start => "start",
        DesiredState::Stop => "stop",
    };
    format!("paasta-{cluster}.{instance}-{timestamp}-{word}")
}

/// What keeps a deploy group from standing in the name of a tag (git-check-ref-format's rules), if
/// anything does.
pub fn group_fault(group: &str) -> Option<&'static str> {
    let parts = || group.split('/');
    if group.is_empty() || group.len() > GROUP_BYTES_MAX {
        return Some("it must have 1 to 150 bytes");
    }
    if group.chars().any(|c| c.is_control() || c == ' ') {
        return Some("it must not hold blanks or control characters");
    }
    if group.contains(['~', '^', ':', '?', '*', '[', '\\']) || group.contains("..") {
        return Some("it must hold none of ~ ^ : ? * [ \\ and no two dots in a row");
    }
    if group.contains("@{") || parts().any(|part| part.ends_with(".lock")) {
        return Some("it must hold no @{ and no part that ends in .lock");
    }
    if parts().any(str::is_empty) || parts().skip(1).any(|part| part.starts_with('.')) {
        return Some("between slashes there must be something that does not begin with a dot");
    }
    None
}

/// Every `CLUSTER.INSTANCE` that a start or stop tag of this subject counts for: the subject without
/// none, one or two prefixes, since the name of a cluster may begin with `paasta-`, too.
fn targets(subject: &str) -> impl Iterator<Item = &str> {
    let all = iter::successors(Some(subject), |subject| subject.strip_prefix(PREFIX));
    all.take(CONTROL_PREFIXES_MAX + 1)
}

/// `SUBJECT-YYYYMMDDTHHMMSS-WORD`, taken apart. The subject may hold `-`.
fn parse(name: &str) -> Option<(&str, &str, &str)> {
    let (rest, word) = name.rsplit_once('-')?;
    let (subject, timestamp) = rest.rsplit_once('-')?;
    let (date, time) = timestamp.split_once('T')?;
    let digits = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
    let fine = digits(date, 8) && digits(time, 6) && !subject.is_empty();
    fine.then_some((subject, timestamp, word))
}

/// Whether `YYYYMMDDTHHMMSS` is a time that there is.
fn is_time(text: &str) -> bool {
    let number = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse().ok());
    let part = |from, to| number(from, to).unwrap_or(u32::MAX);
    let (year, month, day) = (part(0, 4), part(4, 6), part(6, 8));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    let of_day = part(9, 11) < 24 && part(11, 13) < 60 && part(13, 15) < 60;
    (1..=9999).contains(&year) && (1..=days).contains(&day) && of_day
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refs(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
        tags.iter()
            .map(|(name, sha)| (format!("refs/tags/{name}"), (*sha).to_owned()))
            .collect()
    }

    #[test]
    fn deploys_are_told_newest_first_and_by_group() {
        let refs = refs(&[
            ("paasta-a-20200101T000000-deploy", "1"),
            ("paasta-a-20200103T000000-deploy", "3"),
            ("paasta-b-20200102T000000-deploy", "2"),
            ("paasta-a-20200102-deploy", "9"),
            ("paasta-a/x-20200104T000000-deploy", "4"),
        ]);
        let tags = Tags::read(&refs);
        let shas = |groups: &[&str]| -> String {
            let deploys = tags.deploys(groups);
            deploys.iter().map(|deploy| deploy.sha).collect()
        };
        assert_eq!(shas(&[]), "4321");
        assert_eq!(shas(&["a"]), "31");
        assert_eq!(tags.latest("a").map(|deploy| deploy.sha), Some("3"));
        assert_eq!(tags.latest("c"), None);
    }

    #[test]
    fn a_time_that_is_none_never_wins_and_is_named() {
        for fine in [
            "20240229T235959",
            "20000229T000000",
            "00010101T000000",
            "99991231T235959",
        ] {
            assert!(is_time(fine), "{fine}");
        }
        for none in [
            "99999999T999999",
            "20230229T000000",
            "19000229T000000",
            "20240431T000000",
            "20241301T000000",
            "20240100T000000",
            "00000101T000000",
            "20240101T240000",
            "20240101T006000",
            "20240101T000060",
        ] {
            assert!(!is_time(none), "{none}");
        }
        let refs = refs(&[
            ("paasta-a-20200101T000000-deploy", "1"),
            ("paasta-a-99999999T999999-deploy", "9"),
            ("paasta-c.i-99999999T999999-stop", "1"),
            ("unlike-99999999T999999-deploy", "1"),
        ]);
        let tags = Tags::read(&refs);
        assert_eq!(tags.latest("a").map(|deploy| deploy.sha), Some("1"));
        assert_eq!(tags.deploys(&[]).len(), 1);
        assert_eq!(tags.control("c.i", "1"), None);
        assert_eq!(
            tags.timeless(),
            [
                "paasta-a-99999999T999999-deploy",
                "paasta-c.i-99999999T999999-stop"
            ]
        );
    }

    #[test]
    fn names_that_are_made_are_names_that_are_read() {
        let (cluster, instance) = ("prod".parse().unwrap(), "main".parse().unwrap());
        let time = "20200101T000000";
        let refs = refs(&[
            (&deploy_tag("prod.all", time), "a"),
            (
                &control_tag(&cluster, &instance, time, DesiredState::Stop),
                "a",
            ),
            (
                &control_tag(&cluster, &instance, time, DesiredState::Start),
                "a",
            ),
        ]);
        let tags = Tags::read(&refs);
        assert_eq!(
            tags.latest("prod.all").map(|deploy| deploy.timestamp),
            Some(time)
        );
        let control = tags.control("prod.main", "a").unwrap();
        assert_eq!(control.state, DesiredState::Stop, "at one second stop wins");
        assert_eq!(tags.control("prod.main", "b"), None);
        assert_eq!(tags.last_control("prod.main"), Some(time));
    }

    #[test]
    fn a_control_has_no_prefix_or_one_or_two_of_them() {
        // Right values by get_desired_state of paasta-tools 0.92.1.
        for (name, target, counts) in [
            ("prod.main-20200101T000000-stop", "prod.main", true),
            ("paasta-prod.main-20200101T000000-stop", "prod.main", true),
            (
                "paasta-paasta-prod.main-20200101T000000-stop",
                "prod.main",
                true,
            ),
            (
                "paasta-paasta-paasta-prod.main-20200101T000000-stop",
                "prod.main",
                false,
            ),
            ("xprod.main-20200101T000000-stop", "prod.main", false),
            ("paasta-x.main-20200101T000000-stop", "paasta-x.main", true),
            ("paasta-x.main-20200101T000000-stop", "x.main", true),
            (
                "paasta-paasta-x.main-20200101T000000-stop",
                "paasta-x.main",
                true,
            ),
            ("prod.main-99999999T999999-stop", "prod.main", false),
        ] {
            let refs = refs(&[(name, "a")]);
            let tags = Tags::read(&refs);
            let found = tags.control(target, "a");
            let expected = counts.then_some((DesiredState::Stop, name));
            assert_eq!(
                found.map(|tag| (tag.state, tag.name)),
                expected,
                "{name} for {target}"
            );
            assert_eq!(tags.last_control(target).is_some(), counts, "{name}");
        }
        // A deploy tag has one prefix; a greater time wins whatever the prefix.
        let refs = refs(&[
            ("prod.all-20200101T000000-deploy", "a"),
            ("paasta-paasta-prod.all-20200101T000000-deploy", "a"),
            ("paasta-prod.main-20200102T000000-stop", "a"),
            ("prod.main-20200103T000000-start", "a"),
        ]);
        let tags = Tags::read(&refs);
        assert_eq!(tags.latest("prod.all"), None);
        let control = tags.control("prod.main", "a").unwrap();
        assert_eq!(control.name, "prod.main-20200103T000000-start");
    }

    #[test]
    fn a_group_that_git_would_refuse_is_refused_first() {
        for fine in ["prod.main", "a/b", "größe", "x-y_z"] {
            assert_eq!(group_fault(fine), None, "{fine}");
        }
        for bad in [
            "",
            "a b",
            "a..b",
            "a~b",
            "a:b",
            "/a",
            "a/",
            "a//b",
            "a/.b",
            "a.lock/b",
            "a@{b",
            "a\nb",
            &"x".repeat(151),
        ] {
            assert!(group_fault(bad).is_some(), "{bad:?}");
        }
    }
}
