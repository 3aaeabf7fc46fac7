//! The identity of a program or a person, and its text.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    id::{ClusterName, HostId},
    text::beginning,
};

/// The scheme of the text.
const SCHEME: &str = "paasta://";
/// The longest text that is read, in bytes: a cluster, a role and a name with their separators.
const TEXT_BYTES_MAX: usize = 512;

/// What an identity is in its cluster. A closed set: a certificate with another word is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A coordinator; its name is its member id.
    Coordinator,
    /// The agent of a host; its name is the host's id.
    Agent,
    /// A person or program that may do everything.
    Admin,
    /// A person or program that deploys services.
    Deployer,
    /// A person or program that only looks.
    Reader,
    /// A program that collects metrics.
    Metrics,
}

/// `paasta://CLUSTER/ROLE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identity {
    cluster: ClusterName,
    role: Role,
    name: String,
}

/// Text that is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an identity: {rule}; expected paasta://CLUSTER/ROLE/NAME")]
pub struct IdentityError {
    text: String,
    rule: String,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] = [
        Self::Coordinator,
        Self::Agent,
        Self::Admin,
        Self::Deployer,
        Self::Reader,
        Self::Metrics,
    ];

    /// The word in an identity.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Agent => "agent",
            Self::Admin => "admin",
            Self::Deployer => "deployer",
            Self::Reader => "reader",
            Self::Metrics => "metrics",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Identity {
    /// The identity of `name` in the cluster.
    ///
    /// # Errors
    /// [`IdentityError`] when the name does not fit the role: the name of a coordinator is a number
    /// from 1, every other one follows the rule of a host's id.
    pub fn new(cluster: ClusterName, role: Role, name: &str) -> Result<Self, IdentityError> {
        let refused = |rule: String| IdentityError {
            text: format!("{SCHEME}{cluster}/{role}/{name}"),
            rule,
        };
        HostId::new(name).map_err(|error| refused(error.to_string()))?;
        if role == Role::Coordinator && member(name).is_none() {
            let rule = "the name of a coordinator is its id, a number from 1";
            return Err(refused(rule.to_owned()));
        }
        Ok(Self {
            cluster,
            role,
            name: name.to_owned(),
        })
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// The role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The member id of a coordinator; `None` for every other role.
    #[must_use]
    pub fn member(&self) -> Option<u64> {
        match self.role {
            Role::Coordinator => member(&self.name),
            _ => None,
        }
    }

    /// `ROLE/NAME`, for messages inside one cluster.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}/{}", self.role, self.name)
    }
}

/// The DNS name by which every coordinator of a cluster is verified. Addresses are no part of a
/// certificate: they may change.
#[must_use]
pub fn server_name(cluster: &ClusterName) -> String {
    format!("coordinator.{cluster}.paasta.internal")
}

/// The DNS name by which the HTTP endpoint of every agent of a cluster is verified. No program of
/// the cluster takes it for a coordinator's.
#[must_use]
pub fn agent_server_name(cluster: &ClusterName) -> String {
    format!("agent.{cluster}.paasta.internal")
}

/// A number from 1 in its only form: no sign, no zero in front.
fn member(name: &str) -> Option<u64> {
    let id: u64 = name.parse().ok()?;
    (id > 0 && id.to_string() == name).then_some(id)
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}/{}", self.cluster, self.role, self.name)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let refused = |rule: String| IdentityError {
            text: beginning(text, TEXT_BYTES_MAX).to_owned(),
            rule,
        };
        if text.len() > TEXT_BYTES_MAX {
            return Err(refused(format!("it is longer than {TEXT_BYTES_MAX} bytes")));
        }
        let path = text
            .strip_prefix(SCHEME)
            .ok_or_else(|| refused(format!("it does not begin with {SCHEME}")))?;
        let segments: Vec<&str> = path.split('/').collect();
        let [cluster, role, name] = segments[..] else {
            return Err(refused(format!("it has {} segments", segments.len())));
        };
        let cluster = ClusterName::new(cluster).map_err(|error| refused(error.to_string()))?;
        let known = Role::ALL.into_iter().find(|known| known.as_str() == role);
        let role = known.ok_or_else(|| {
            let roles = Role::ALL.map(Role::as_str).join(", ");
            refused(format!("{role:?} is not a role: {roles}"))
        })?;
        Self::new(cluster, role, name)
    }
}

impl TryFrom<String> for Identity {
    type Error = IdentityError;

    fn try_from(text: String) -> Result<Self, IdentityError> {
        text.parse()
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        identity.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn segments_are_exact() {
        for good in [
            "paasta://prod/coordinator/1",
            "paasta://prod/agent/host-1.example.com",
            "paasta://prod-eu_1/admin/alice",
            "paasta://prod/deployer/ci",
            "paasta://prod/reader/bob",
            "paasta://prod/metrics/prometheus",
        ] {
            let identity: Identity = good.parse().unwrap();
            assert_eq!(identity.to_string(), good);
        }
        for bad in [
            "",
            "paasta:/prod/agent/h",
            "PAASTA://prod/agent/h",
            "https://prod/agent/h",
            "paasta://prod/agent",
            "paasta://prod/agent/",
            "paasta://prod/agent/h/",
            "paasta://prod/agent/h/x",
            "paasta:///agent/h",
            "paasta://prod//h",
            "paasta://prod/agent/h?x",
            "paasta://prod/agent/h#x",
            "paasta://prod/agent/%68",
            "paasta://user@prod/agent/h",
            "paasta://prod:1/agent/h",
            "paasta://prod/agent/..",
            "paasta://prod/Agent/h",
            "paasta://prod/root/h",
            "paasta://prod/agent/h ",
            "paasta://prod/agent/h\0",
            "paasta://prod/coordinator/0",
            "paasta://prod/coordinator/01",
            "paasta://prod/coordinator/+1",
            "paasta://prod/coordinator/one",
            "paasta://prod/coordinator/99999999999999999999",
        ] {
            let error = bad.parse::<Identity>().expect_err(bad).to_string();
            assert!(error.contains("paasta://CLUSTER/ROLE/NAME"), "{error}");
        }
        let member: Identity = "paasta://prod/coordinator/7".parse().unwrap();
        assert_eq!(member.member(), Some(7));
        let written = serde_json::to_string(&member).unwrap();
        assert_eq!(written, "\"paasta://prod/coordinator/7\"");
        assert_eq!(serde_json::from_str::<Identity>(&written).unwrap(), member);
        let agent: Identity = "paasta://prod/agent/7".parse().unwrap();
        assert_eq!(agent.member(), None, "a host that is called 7");
    }

    proptest! {
        #[test]
        fn what_is_read_is_printed_the_same(text in "paasta://[a-z0-9_/.%-]{0,40}|.{0,60}") {
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert_eq!(identity.to_string(), text);
            }
        }

        #[test]
        fn what_is_printed_is_read_the_same(
            cluster in "[a-z][a-z0-9]{0,20}", role in 0usize..6, name in "[a-zA-Z0-9][a-zA-Z0-9._-]{0,60}", id in 1u64..,
        ) {
            let cluster = ClusterName::new(&cluster).unwrap();
            let role = Role::ALL[role];
            let name = if role == Role::Coordinator { id.to_string() } else { name };
            let identity = Identity::new(cluster, role, &name).unwrap();
            prop_assert_eq!(identity.to_string().parse::<Identity>().unwrap(), identity);
        }
    }
}
