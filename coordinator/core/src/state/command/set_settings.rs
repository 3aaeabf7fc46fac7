//! The operator's settings of the cluster change, or what the coordinators' files say is noted.

use std::collections::BTreeMap;

use paasta_common::config::ClusterSettings;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    outcome::{Outcome, Reason},
    settings::{FILES_MAX, Settings},
};

/// The settings of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetSettings {
    /// The set to be in force; none to leave it as it is.
    pub values: Option<Box<ClusterSettings>>,
    /// The digests of the coordinators' own files that count from now on.
    pub files: BTreeMap<u64, String>,
    /// Why, in words.
    pub why: String,
}

impl SetSettings {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let files: BTreeMap<u64, String> = self
            .files
            .iter()
            .take(FILES_MAX)
            .map(|(id, digest)| (*id, digest.clone()))
            .collect();
        let before = state.tables.settings.take();
        let values = self.values.as_deref();
        let changed = values.filter(|values| {
            before
                .as_ref()
                .is_none_or(|before| before.values != **values)
        });
        let (after, outcome) = match (before, changed) {
            (None, None) => return Outcome::Refused(Reason::NoSettings),
            (Some(before), None) => {
                let outcome = match before.files == files {
                    true => Outcome::Unchanged,
                    false => Outcome::Applied,
                };
                (Settings { files, ..before }, outcome)
            }
            (before, Some(values)) => {
                self.tell(state, context, before.as_ref(), values);
                let settings = Settings {
                    values: values.clone(),
                    previous: before.map(|before| Box::new(before.values)),
                    since: context.at,
                    by: context.by.clone(),
                    why: self.why.clone(),
                    files,
                };
                (settings, Outcome::Applied)
            }
        };
        state.tables.settings = Some(after);
        outcome
    }

    fn tell(
        &self,
        state: &mut ClusterState,
        context: &Context<'_>,
        before: Option<&Settings>,
        values: &ClusterSettings,
    ) {
        let text = match before {
            None => format!("the cluster's settings are in force: {}", self.why),
            Some(before) => {
                let differences = before.values.differences(values);
                let keys: Vec<&str> = differences.iter().map(|one| one.key.as_str()).collect();
                format!(
                    "the cluster's settings change ({}): {}",
                    keys.join(", "),
                    self.why
                )
            }
        };
        state.note(context, EventKind::Cluster, Subject::Cluster, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{build::Cluster, state::command::Command};

    fn set(cluster: &mut Cluster, registry: Option<&str>, files: &[(u64, &str)]) -> Outcome {
        let values = registry.map(|name| {
            Box::new(ClusterSettings {
                docker_registry: Some(name.to_owned()),
                ..ClusterSettings::default()
            })
        });
        let files = files.iter().map(|(id, digest)| (*id, (*digest).to_owned()));
        cluster.apply(Command::SetSettings(SetSettings {
            values,
            files: files.collect(),
            why: "a test".to_owned(),
        }))
    }

    #[test]
    fn a_change_is_told_by_its_keys_and_remembers_the_set_before() {
        let mut cluster = Cluster::new(0);
        let nothing = Outcome::Refused(Reason::NoSettings);
        assert_eq!(set(&mut cluster, None, &[]), nothing);
        assert_eq!(
            set(&mut cluster, Some("one"), &[(1, "a")]),
            Outcome::Applied
        );
        assert_eq!(
            set(&mut cluster, Some("one"), &[(1, "a")]),
            Outcome::Unchanged
        );
        assert_eq!(
            set(&mut cluster, None, &[(1, "a"), (2, "b")]),
            Outcome::Applied
        );
        cluster.now = cluster.now.after_ms(1);
        assert_eq!(
            set(&mut cluster, Some("two"), &[(1, "c")]),
            Outcome::Applied
        );
        let settings = cluster.state.settings().unwrap();
        assert_eq!(settings.since, cluster.now);
        assert_eq!(
            settings
                .previous
                .as_ref()
                .unwrap()
                .docker_registry
                .as_deref(),
            Some("one")
        );
        assert_eq!(settings.files.len(), 1);
        let texts: Vec<String> = cluster.state.events().map(|one| one.text.clone()).collect();
        let told = texts.iter().filter(|text| text.contains("settings"));
        assert_eq!(told.count(), 2, "{texts:?}");
        assert!(
            texts.last().unwrap().contains("(docker_registry): a test"),
            "{texts:?}"
        );
    }
}
