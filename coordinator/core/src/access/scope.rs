//! Scopes: which services and instances a person may see and change.

use std::fmt;

use paasta_common::id::{InstanceId, ServiceName};
use serde::{Deserialize, Serialize};

/// Scopes of one principal, at most.
pub const SCOPES_MAX: usize = 64;
/// The longest scope, in bytes: a service and an instance with a dot between them.
pub const SCOPE_BYTES_MAX: usize = 127;

/// `SERVICE` or `SERVICE.INSTANCE`. A `*` stands for any characters of its segment, none included,
/// and never for the dot; `SERVICE` covers all instances of the service, and `*` alone covers all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(String);

/// The scopes of a principal: what any of them covers. None covers nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(Vec<Scope>);

/// Text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// A scope is wrong.
    #[error(
        "{text:?} is not a scope: {rule}; expected SERVICE or SERVICE.INSTANCE, with * for any characters of one of the two"
    )]
    Scope {
        /// Its beginning.
        text: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// There are too many.
    #[error("{0} scopes are more than {SCOPES_MAX}; use a * in some")]
    TooMany(usize),
}

impl Scope {
    /// Reads a scope.
    ///
    /// # Errors
    /// [`ScopeError::Scope`] names the rule that it breaks.
    pub fn new(text: &str) -> Result<Self, ScopeError> {
        let refused = |rule| ScopeError::Scope {
            text: paasta_common::id::cut(text).to_owned(),
            rule,
        };
        if text.len() > SCOPE_BYTES_MAX {
            return Err(refused("it is longer than 127 bytes"));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '*' | '.');
        if !text.chars().all(allowed) {
            return Err(refused("use letters, digits, '_', '-', '*' and one '.'"));
        }
        let segments: Vec<&str> = text.split('.').collect();
        if segments.len() > 2 {
            return Err(refused("it has more than one '.'"));
        }
        if segments.iter().any(|segment| segment.is_empty()) {
            return Err(refused("a part of it is empty"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> (&str, Option<&str>) {
        match self.0.split_once('.') {
            Some((service, instance)) => (service, Some(instance)),
            None => (&self.0, None),
        }
    }

    fn covers_instance(&self, id: &InstanceId) -> bool {
        let (service, instance) = self.parts();
        matches(service, id.service.as_str())
            && instance.is_none_or(|instance| matches(instance, id.instance.as_str()))
    }

    /// Whether all of the service is covered.
    fn covers_service(&self, name: &ServiceName) -> bool {
        let (service, instance) = self.parts();
        matches(service, name.as_str()) && instance.is_none_or(|instance| instance == "*")
    }

    fn touches_service(&self, name: &ServiceName) -> bool {
        matches(self.parts().0, name.as_str())
    }
}

impl Scopes {
    /// Reads the scopes; the same one twice counts once.
    ///
    /// # Errors
    /// [`ScopeError`].
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, ScopeError> {
        let scopes = texts.into_iter().map(Scope::new);
        let mut scopes: Vec<Scope> = scopes.collect::<Result<_, _>>()?;
        scopes.sort();
        scopes.dedup();
        match scopes.len() > SCOPES_MAX {
            true => Err(ScopeError::TooMany(scopes.len())),
            false => Ok(Self(scopes)),
        }
    }

    /// The scopes, sorted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Scope> {
        self.0.iter()
    }

    /// Whether there are none: nothing is covered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether everything is covered.
    pub fn is_everything(&self) -> bool {
        self.0
            .iter()
            .any(|scope| matches!(scope.as_str(), "*" | "*.*"))
    }

    /// Whether the instance is covered.
    pub fn covers_instance(&self, id: &InstanceId) -> bool {
        self.0.iter().any(|scope| scope.covers_instance(id))
    }

    /// Whether all instances of the service are covered, also those to come.
    pub fn covers_service(&self, name: &ServiceName) -> bool {
        self.0.iter().any(|scope| scope.covers_service(name))
    }

    /// Whether an instance of the service can be covered.
    pub fn touches_service(&self, name: &ServiceName) -> bool {
        self.0.iter().any(|scope| scope.touches_service(name))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.0.iter().map(Scope::as_str).collect();
        f.write_str(&texts.join(","))
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;
    fn try_from(text: String) -> Result<Self, ScopeError> {
        Self::new(&text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0
    }
}

/// Whether a text fits a pattern in which `*` stands for any characters. Without stepping back more
/// than to the last `*`: the time is bounded by the product of both lengths.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == text.get(t) {
            p += 1;
            t += 1;
        } else if let Some((at, begun)) = star {
            star = Some((at, begun + 1));
            p = at + 1;
            t = begun + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(scopes: &[&str], id: &str) -> bool {
        let scopes = Scopes::new(scopes.iter().copied()).unwrap();
        scopes.covers_instance(&id.parse().unwrap())
    }

    #[test]
    fn a_scope_covers_whole_names_or_what_its_stars_stand_for() {
        for (scope, covered, not) in [
            (
                "web",
                &["web.main", "web.canary"][..],
                &["web-2.main", "we.main"][..],
            ),
            (
                "web.main",
                &["web.main"],
                &["web.main2", "web.mai", "web-2.main"],
            ),
            (
                "web-*",
                &["web-2.main", "web-.x"],
                &["web.main", "my-web-2.main"],
            ),
            ("*.main", &["web.main", "api.main"], &["web.canary"]),
            ("web.*-eu", &["web.main-eu"], &["web.main-us", "web.main"]),
            ("w*b.m*n", &["web.main", "wb.mn"], &["web.mains", "wab.m"]),
            ("*", &["web.main", "a.b"], &[]),
            ("*.*", &["web.main", "a.b"], &[]),
        ] {
            for id in covered {
                assert!(covers(&[scope], id), "{scope} covers {id}");
            }
            for id in not {
                assert!(!covers(&[scope], id), "{scope} does not cover {id}");
            }
        }
        assert!(!covers(&[], "web.main"), "no scope covers nothing");
        assert!(covers(&["api", "web.main"], "web.main"), "any of them");
    }

    #[test]
    fn a_whole_service_needs_a_scope_of_all_its_instances() {
        let web: ServiceName = "web".parse().unwrap();
        for (scope, covers, touches) in [
            ("web", true, true),
            ("web.*", true, true),
            ("*", true, true),
            ("web.main", false, true),
            ("web.m*", false, true),
            ("api", false, false),
            ("web-*", false, false),
        ] {
            let scopes = Scopes::new([scope]).unwrap();
            assert_eq!(scopes.covers_service(&web), covers, "{scope}");
            assert_eq!(scopes.touches_service(&web), touches, "{scope}");
        }
    }

    #[test]
    fn what_is_no_scope_is_refused_with_the_rule() {
        for bad in [
            "", ".", "web.", ".main", "a.b.c", "we b", "web/x", "[a-z]", "wéb", "a?",
        ] {
            let error = Scope::new(bad).unwrap_err().to_string();
            assert!(
                error.contains("expected SERVICE or SERVICE.INSTANCE"),
                "{error}"
            );
        }
        assert!(Scope::new(&"a".repeat(SCOPE_BYTES_MAX + 1)).is_err());
        let many: Vec<String> = (0..=SCOPES_MAX).map(|at| format!("s{at}")).collect();
        let error = Scopes::new(many.iter().map(String::as_str)).unwrap_err();
        assert_eq!(error, ScopeError::TooMany(SCOPES_MAX + 1));
        let scopes: Result<Scopes, _> = serde_json::from_str("[\"a.b.c\"]");
        assert!(scopes.is_err(), "also in the state");
    }

    #[test]
    fn a_hostile_pattern_is_matched_in_bounded_time() {
        let pattern = "*a".repeat(60);
        assert!(!matches(&pattern, &"b".repeat(63)));
        assert!(matches("*a*b*", "xxaxxbxx"));
        assert!(!matches("a*", ""));
        assert!(matches("*", ""));
    }
}
