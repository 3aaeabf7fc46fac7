//! An instance as the cluster knows it: what is asked for, and what is remembered between versions.

use paasta_common::{id::AppId, spec::InstanceSpec, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    absence::Absence,
    bounce::BounceRecord,
    failed::{FailedHost, FailedHosts},
    history::History,
    overrides::Override,
};

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The last good desired state.
    pub spec: InstanceSpec,
    /// Whether it is still declared; when not, its replicas are drained and it is dropped.
    pub declared: bool,
    /// An app that is desired instead of the one in `spec`: after a rollback, or by an operator.
    /// A new version ends it.
    #[serde(default)]
    pub pin: Option<Pin>,
    /// The last app of which every wanted replica was happy at once: what a rollback goes to.
    #[serde(default)]
    pub last_good: Option<AppId>,
    /// What an operator asked for beside the configuration. The next deploy ends it, and so does a
    /// change of what a container or their number is.
    #[serde(default)]
    pub overridden: Option<Override>,
    /// What was asked of it, by whom.
    #[serde(default)]
    pub history: History,
    /// The bounce under way.
    #[serde(default)]
    pub bounce: Option<BounceRecord>,
    /// Where its app failed so that replicas were moved away; none when it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedHosts>,
    /// Since when readings do not have it; none while they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absence: Option<Absence>,
    /// When it was first declared.
    pub created_at: Timestamp,
    /// When what is asked for last changed.
    pub changed_at: Timestamp,
}

/// Why another app than the configured one is desired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The app.
    pub app: AppId,
    /// Whether it is another version at all.
    #[serde(default)]
    pub kind: PinKind,
    /// Who or what asked for it, and why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// What a pinned app is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinKind {
    /// Another version than the configured one: a rollback.
    #[default]
    Version,
    /// The configured version once more: a forced bounce.
    OnceMore,
    /// The configured version as it was before a change that touches many: until it is its turn.
    Paced,
}

impl Instance {
    /// The version that runs instead of the configured one, after a rollback.
    pub fn other_version(&self) -> Option<&Pin> {
        self.pin.as_ref().filter(|pin| pin.kind == PinKind::Version)
    }

    /// The app that should run now.
    pub fn desired_app(&self) -> &AppId {
        self.pin.as_ref().map_or(&self.spec.app_id, |pin| &pin.app)
    }

    /// The hosts on which an app failed, so far back as is remembered.
    pub fn failed_hosts(&self, app: &AppId) -> impl Iterator<Item = &FailedHost> {
        let failed = self.failed.as_ref().filter(|failed| failed.app == *app);
        failed.into_iter().flat_map(|failed| &failed.hosts)
    }

    /// How many replicas of it should run now: none when stopped or no longer declared.
    pub fn wanted(&self) -> u32 {
        match (self.declared, &self.overridden) {
            (true, None) => self.spec.wanted(),
            (true, Some(overridden)) => overridden.wanted(&self.spec),
            (false, _) => 0,
        }
    }

    /// Whether the instance itself, apart from its replicas, keeps this app's record alive.
    pub(super) fn refers_to(&self, app: &AppId) -> bool {
        self.spec.app_id == *app
            || self.desired_app() == app
            || self.last_good.as_ref() == Some(app)
    }
}
