//! Whether the settings of the cluster change by what the coordinators' own files say: when the
//! files of a majority agree on another set, and somebody made them do so. A file that differs since
//! before the set came into force is a drift, not a change.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::config::ClusterSettings;

use crate::state::{ClusterState, command::SetSettings};

/// What the leader's coordinator `own` proposes, having heard what the files of these coordinators
/// say; none when all is as it should be.
pub fn settings(
    state: &ClusterState,
    own: u64,
    voters: &BTreeSet<u64>,
    files: &BTreeMap<u64, ClusterSettings>,
) -> Option<SetSettings> {
    let digests = || {
        files
            .iter()
            .map(|(id, file)| (*id, file.digest()))
            .collect()
    };
    let Some(settings) = state.settings() else {
        let values = Box::new(files.get(&own)?.clone());
        return Some(SetSettings {
            values: Some(values),
            files: digests(),
            why: format!("as the files of coordinator {own} have them, which led first"),
        });
    };
    let changed = |id: &u64, file: &ClusterSettings| {
        let known = settings.files.get(id);
        known.is_some_and(|known| *known != file.digest())
    };
    let of_voters: Vec<(&u64, &ClusterSettings)> =
        files.iter().filter(|(id, _)| voters.contains(id)).collect();
    for (id, file) in &of_voters {
        let alike = of_voters.iter().filter(|(_, other)| other == file);
        let most = alike.count() * 2 > voters.len();
        if most && **file != settings.values && changed(id, file) {
            return Some(SetSettings {
                values: Some(Box::new((*file).clone())),
                files: digests(),
                why: "the files of most coordinators say so".to_owned(),
            });
        }
    }
    let mut known = settings.files.clone();
    for (id, file) in files {
        // One that is as it should be has no older word that could count.
        if !known.contains_key(id) || *file == settings.values {
            known.insert(*id, file.digest());
        }
    }
    (known != settings.files).then(|| SetSettings {
        values: None,
        files: known,
        why: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{build::Cluster, state::command::Command};

    fn set(name: &str) -> ClusterSettings {
        ClusterSettings {
            docker_registry: Some(name.to_owned()),
            ..ClusterSettings::default()
        }
    }

    fn files(of: &[(u64, &str)]) -> BTreeMap<u64, ClusterSettings> {
        of.iter().map(|(id, name)| (*id, set(name))).collect()
    }

    struct World {
        cluster: Cluster,
        voters: BTreeSet<u64>,
    }

    impl World {
        fn new(voters: u64) -> Self {
            Self {
                cluster: Cluster::new(0),
                voters: (1..=voters).collect(),
            }
        }

        /// The leader hears these files; what is in force then.
        fn hear(&mut self, own: u64, of: &[(u64, &str)]) -> String {
            let files = files(of);
            if let Some(command) = settings(&self.cluster.state, own, &self.voters, &files) {
                self.cluster.must(Command::SetSettings(command));
            }
            let more = settings(&self.cluster.state, own, &self.voters, &files);
            assert_eq!(more, None, "it does not settle");
            let values = &self.cluster.state.settings().unwrap().values;
            values.docker_registry.clone().unwrap()
        }
    }

    #[test]
    fn the_first_leaders_files_are_adopted_and_a_drift_is_no_change() {
        let mut world = World::new(3);
        assert_eq!(world.hear(1, &[(1, "a")]), "a");
        // The others were of another opinion all the time, whichever coordinator leads.
        assert_eq!(world.hear(2, &[(1, "a"), (2, "b"), (3, "b")]), "a");
        assert_eq!(world.hear(3, &[(3, "b"), (2, "b")]), "a");
        // The first is brought into line with them: that is a change, and most agree.
        assert_eq!(world.hear(2, &[(1, "b"), (2, "b"), (3, "b")]), "b");
    }

    #[test]
    fn a_change_takes_effect_when_the_files_of_most_agree() {
        let mut world = World::new(3);
        assert_eq!(world.hear(1, &[(1, "a"), (2, "a"), (3, "a")]), "a");
        assert_eq!(world.hear(1, &[(1, "b"), (2, "a"), (3, "a")]), "a");
        assert_eq!(world.hear(1, &[(1, "b"), (2, "c"), (3, "a")]), "a");
        assert_eq!(world.hear(1, &[(1, "b"), (3, "a")]), "a", "half of three");
        assert_eq!(world.hear(3, &[(1, "b"), (2, "b"), (3, "a")]), "b");
        // The last one follows: nothing more happens.
        assert_eq!(world.hear(3, &[(1, "b"), (2, "b"), (3, "b")]), "b");
        // A learner does not count.
        assert_eq!(
            world.hear(3, &[(1, "c"), (2, "b"), (3, "b"), (4, "c")]),
            "b"
        );
    }

    #[test]
    fn what_an_operator_applied_stays_until_somebody_changes_files() {
        let mut world = World::new(3);
        let all_a = [(1, "a"), (2, "a"), (3, "a")];
        assert_eq!(world.hear(1, &all_a), "a");
        let one_b = [(1, "b"), (2, "a"), (3, "a")];
        assert_eq!(world.hear(1, &one_b), "a");
        let digests = files(&one_b)
            .into_iter()
            .map(|(id, one)| (id, one.digest()));
        world.cluster.must(Command::SetSettings(SetSettings {
            values: Some(Box::new(set("b"))),
            files: digests.collect(),
            why: "applied".to_owned(),
        }));
        assert_eq!(
            world.hear(1, &one_b),
            "b",
            "most said otherwise before it was applied"
        );
        assert_eq!(world.hear(1, &[(1, "b"), (2, "b"), (3, "a")]), "b");
        assert_eq!(world.hear(1, &[(1, "c"), (2, "c"), (3, "a")]), "c");
    }

    #[test]
    fn one_coordinator_alone_is_most() {
        let mut world = World::new(1);
        assert_eq!(world.hear(1, &[(1, "a")]), "a");
        assert_eq!(world.hear(1, &[(1, "b")]), "b");
        assert_eq!(world.hear(1, &[(1, "a")]), "a");
    }
}
