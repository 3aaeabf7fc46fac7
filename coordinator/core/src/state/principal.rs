//! Principals: the persons and programs that may call the coordinators, and what each may see and
//! change. A certificate proves a name and a role; what they are worth is here, and changes at once.

use paasta_common::{
    id::HostId,
    identity::{Identity, Role},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{ClusterState, actor::Actor};
use crate::access::{Sight, scope::Scopes};

/// Principals, at most.
pub const PRINCIPALS_MAX: usize = 1_000;
/// The longest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 500;
/// The names of users of a coordinator's host on its local socket begin so; no certificate and no
/// principal has such a name.
pub const LOCAL: &str = "local.";

/// The name of a principal, the `NAME` of `paasta://CLUSTER/ROLE/NAME`: by the rule of a host's id.
pub type PrincipalName = HostId;

/// A person or program that may call the coordinators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The role that its certificate must have.
    pub role: Role,
    /// What it may see and change; an admin may see and change everything.
    #[serde(default)]
    pub scopes: Scopes,
    /// From then on it may do nothing.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// Certificates that were issued before then count for nothing.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
    /// What it is for.
    #[serde(default)]
    pub note: String,
    /// The author.
    pub created_by: Actor,
    /// When it was made.
    pub created_at: Timestamp,
    /// The author of the last change.
    pub changed_by: Actor,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

/// Why a certificate of the cluster is worth nothing here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unentitled {
    /// There is no principal of this name.
    #[error(
        "it is no principal of this cluster; an admin makes it one: `paasta auth grant {name} --role {role}`"
    )]
    Unknown {
        /// The name.
        name: String,
        /// The role.
        role: Role,
    },
    /// The principal has another role.
    #[error("the principal {name} has the role {role}; it needs a certificate of that role")]
    OtherRole {
        /// The name.
        name: String,
        /// The role that it has.
        role: Role,
    },
    /// The principal may do nothing any more.
    #[error(
        "the principal {name} has expired; an admin extends it: `paasta auth grant {name} --ttl ...`"
    )]
    Expired {
        /// The name.
        name: String,
    },
    /// The certificate is older than those that count.
    #[error("its certificate was issued before those that count for {name}; it needs a new one")]
    Outdated {
        /// The name.
        name: String,
    },
    /// The name is kept for users of the coordinator's host.
    #[error("names that begin with {LOCAL} are for the local socket of a coordinator only")]
    Reserved,
}

impl Principal {
    /// What it may see and change, as far as its role lets it.
    pub fn sight(&self) -> Sight {
        match self.role {
            Role::Admin => Sight::Everything,
            _ if self.scopes.is_everything() => Sight::Everything,
            _ => Sight::Within(self.scopes.clone()),
        }
    }

    /// Whether it counts at this moment.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl ClusterState {
    /// The principals, by name.
    pub fn principals(&self) -> impl ExactSizeIterator<Item = (&PrincipalName, &Principal)> {
        self.tables.principals.iter()
    }

    /// A principal.
    pub fn principal(&self, name: &PrincipalName) -> Option<&Principal> {
        self.tables.principals.get(name)
    }

    /// What an identity may see and change at this moment, as far as its role lets it. `issued` is
    /// when its certificate was issued, where that is known.
    ///
    /// Programs of the cluster need no principal, and neither does one that only reads metrics.
    /// Before the first principal there is, the certificate of an admin is enough.
    ///
    /// # Errors
    /// [`Unentitled`].
    pub fn entitled(
        &self,
        identity: &Identity,
        issued: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Sight, Unentitled> {
        let (name, role) = (identity.name(), identity.role());
        if matches!(role, Role::Coordinator | Role::Agent) {
            return Ok(Sight::Everything);
        }
        if name.starts_with(LOCAL) {
            return Err(Unentitled::Reserved);
        }
        let known = PrincipalName::new(name).ok();
        let known = known.and_then(|name| self.principal(&name));
        let name = name.to_owned();
        let Some(known) = known else {
            return match role {
                Role::Metrics => Ok(Sight::Within(Scopes::default())),
                Role::Admin if self.tables.principals.is_empty() => Ok(Sight::Everything),
                _ => Err(Unentitled::Unknown { name, role }),
            };
        };
        if known.role != role {
            let role = known.role;
            return Err(Unentitled::OtherRole { name, role });
        }
        if !known.is_alive(now) {
            return Err(Unentitled::Expired { name });
        }
        match (known.not_before, issued) {
            (Some(not_before), Some(issued)) if issued < not_before => {
                Err(Unentitled::Outdated { name })
            }
            _ => Ok(known.sight()),
        }
    }
}

#[cfg(test)]
mod tests {
    use paasta_common::time::Timestamp;

    use super::*;
    use crate::{
        build::Cluster,
        state::{
            command::{Command, RemovePrincipal, SetPrincipal},
            event::EventKind,
            outcome::{Outcome, Reason},
        },
    };

    const NOW: Timestamp = Timestamp(1_000_000);

    fn identity(text: &str) -> Identity {
        format!("paasta://prod/{text}").parse().unwrap()
    }

    fn set(name: &str, role: Role, scopes: &[&str]) -> SetPrincipal {
        SetPrincipal {
            name: name.parse().unwrap(),
            role,
            scopes: Scopes::new(scopes.iter().copied()).unwrap(),
            expires: None,
            not_before: None,
            note: String::new(),
            asker: None,
        }
    }

    fn grant(cluster: &mut Cluster, name: &str, role: Role, scopes: &[&str]) -> Outcome {
        cluster.apply(Command::SetPrincipal(set(name, role, scopes)))
    }

    fn remove(cluster: &mut Cluster, name: &str) -> Outcome {
        let name = name.parse().unwrap();
        cluster.apply(Command::RemovePrincipal(RemovePrincipal { name }))
    }

    fn judged(cluster: &Cluster, text: &str) -> Result<Sight, Unentitled> {
        cluster.state.entitled(&identity(text), None, NOW)
    }

    #[test]
    fn without_a_principal_only_an_admin_counts_and_only_before_the_first_one() {
        let mut cluster = Cluster::new(0);
        assert_eq!(judged(&cluster, "admin/alice"), Ok(Sight::Everything));
        for other in ["deployer/ci", "reader/bob"] {
            let refused = judged(&cluster, other).unwrap_err();
            assert!(
                refused.to_string().contains("paasta auth grant"),
                "{refused}"
            );
        }
        for program in ["agent/h1", "coordinator/1"] {
            assert_eq!(judged(&cluster, program), Ok(Sight::Everything));
        }
        assert_eq!(
            judged(&cluster, "metrics/m"),
            Ok(Sight::Within(Scopes::default()))
        );
        assert_eq!(
            grant(&mut cluster, "root", Role::Admin, &[]),
            Outcome::Applied
        );
        assert!(judged(&cluster, "admin/alice").is_err(), "no principal");
        assert_eq!(judged(&cluster, "admin/root"), Ok(Sight::Everything));
    }

    #[test]
    fn the_first_principal_does_not_lock_out_its_maker() {
        let mut cluster = Cluster::new(0);
        let refused = Outcome::Refused(Reason::LastAdmin);
        assert_eq!(grant(&mut cluster, "ci", Role::Deployer, &["web"]), refused);
        let asked = SetPrincipal {
            asker: Some(identity("admin/alice")),
            ..set("ci", Role::Deployer, &["web"])
        };
        assert_eq!(
            cluster.apply(Command::SetPrincipal(asked)),
            Outcome::Applied
        );
        assert_eq!(judged(&cluster, "admin/alice"), Ok(Sight::Everything));
        let scopes = Scopes::new(["web"]).unwrap();
        assert_eq!(judged(&cluster, "deployer/ci"), Ok(Sight::Within(scopes)));
        assert_eq!(remove(&mut cluster, "alice"), refused);
        assert_eq!(grant(&mut cluster, "alice", Role::Reader, &["*"]), refused);
        let events = cluster
            .state
            .events()
            .filter(|one| one.kind == EventKind::Admin);
        assert_eq!(events.count(), 2);
    }

    #[test]
    fn a_downgrade_and_a_removal_count_at_once() {
        let mut cluster = Cluster::new(0);
        grant(&mut cluster, "root", Role::Admin, &[]);
        grant(&mut cluster, "ci", Role::Deployer, &["*"]);
        assert_eq!(judged(&cluster, "deployer/ci"), Ok(Sight::Everything));
        assert_eq!(
            grant(&mut cluster, "ci", Role::Deployer, &["*"]),
            Outcome::Unchanged
        );
        assert_eq!(
            grant(&mut cluster, "ci", Role::Reader, &["web"]),
            Outcome::Applied
        );
        let refused = judged(&cluster, "deployer/ci").unwrap_err();
        assert!(matches!(
            refused,
            Unentitled::OtherRole {
                role: Role::Reader,
                ..
            }
        ));
        assert!(judged(&cluster, "reader/ci").is_ok());
        assert_eq!(remove(&mut cluster, "ci"), Outcome::Applied);
        assert_eq!(remove(&mut cluster, "ci"), Outcome::Unchanged);
        assert!(judged(&cluster, "reader/ci").is_err());
        // An empty scope is nothing, not everything.
        grant(&mut cluster, "ci", Role::Deployer, &[]);
        let sight = judged(&cluster, "deployer/ci").unwrap();
        assert!(!sight.covers_instance(&"web.main".parse().unwrap()));
    }

    #[test]
    fn a_principal_ends_and_old_certificates_can_be_made_void() {
        let mut cluster = Cluster::new(0);
        grant(&mut cluster, "root", Role::Admin, &[]);
        let short = SetPrincipal {
            expires: Some(NOW),
            ..set("ci", Role::Deployer, &["*"])
        };
        cluster.apply(Command::SetPrincipal(short));
        let before = Timestamp(NOW.0 - 1);
        let ci = identity("deployer/ci");
        assert!(cluster.state.entitled(&ci, None, before).is_ok());
        assert!(matches!(
            cluster.state.entitled(&ci, None, NOW),
            Err(Unentitled::Expired { .. })
        ));
        let void = SetPrincipal {
            not_before: Some(NOW),
            ..set("ci", Role::Deployer, &["*"])
        };
        cluster.apply(Command::SetPrincipal(void));
        assert!(matches!(
            cluster.state.entitled(&ci, Some(before), NOW),
            Err(Unentitled::Outdated { .. })
        ));
        assert!(cluster.state.entitled(&ci, Some(NOW), NOW).is_ok());
    }

    #[test]
    fn what_may_not_be_a_principal_is_refused() {
        let mut cluster = Cluster::new(0);
        for (name, role) in [
            ("1", Role::Coordinator),
            ("h1", Role::Agent),
            ("local.root", Role::Admin),
        ] {
            let refused = grant(&mut cluster, name, role, &[]);
            assert!(matches!(
                refused,
                Outcome::Refused(Reason::NoPrincipal { .. })
            ));
        }
        assert_eq!(
            judged(&cluster, "admin/local.root"),
            Err(Unentitled::Reserved)
        );
        for at in 0..PRINCIPALS_MAX {
            assert_eq!(
                grant(&mut cluster, &format!("p{at}"), Role::Admin, &[]),
                Outcome::Applied
            );
        }
        let full = Outcome::Refused(Reason::TooManyPrincipals);
        assert_eq!(grant(&mut cluster, "one-more", Role::Admin, &[]), full);
        assert_eq!(
            grant(&mut cluster, "p0", Role::Reader, &[]),
            Outcome::Applied
        );
    }
}
