//! The agent's side of the stream of endpoints: parts become a set, changes are applied, and the
//! last good set stays until another one is whole.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    ENDPOINTS_MAX, Endpoint, EndpointSet, EndpointState, EndpointUpdate, EndpointVersion, Extent,
    NAMESPACES_MAX, NamespaceSet, NamespaceUpdate, OptionsUpdate,
};
use crate::smartstack::Namespace;

/// Why an update is refused. The set stays as it is, and the session must begin anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// A part is missing.
    #[error("part {found} of a set of endpoints came, and part {expected} was expected")]
    Gap {
        /// The part that is next.
        expected: u32,
        /// The part that came.
        found: u32,
    },
    /// Changes came before a whole set.
    #[error("changes to endpoints came before a complete set")]
    NoBase,
    /// It is of an earlier leader than the set is.
    #[error("endpoints of epoch {}, term {} are older than those of epoch {}, term {}", theirs.epoch, theirs.term, ours.epoch, ours.term)]
    Older {
        /// That of the set.
        ours: EndpointVersion,
        /// That of the update.
        theirs: EndpointVersion,
    },
    /// The set would be too large.
    #[error(
        "the set has {endpoints} endpoints in {namespaces} namespaces, and there may be \
         {ENDPOINTS_MAX} in {NAMESPACES_MAX}: announce fewer namespaces in this location"
    )]
    TooLarge {
        /// Endpoints.
        endpoints: usize,
        /// Namespaces.
        namespaces: usize,
    },
}

/// A set that is received: the last good one, and what came of the next.
#[derive(Debug, Clone, Default)]
pub struct Received {
    set: Option<EndpointSet>,
    /// Parts of the next set, and the number of the part that is next.
    parts: Option<(EndpointSet, u32)>,
    /// Whether a complete set came in this session.
    based: bool,
    /// Namespaces whose options could not be used, and why.
    refused: BTreeMap<Namespace, String>,
}

impl Received {
    /// Begins with the last good set of before, as after a restart of the agent.
    pub fn resume(set: Option<EndpointSet>) -> Self {
        Self {
            set,
            ..Self::default()
        }
    }

    /// The last good set; none before the first.
    pub fn set(&self) -> Option<&EndpointSet> {
        self.set.as_ref()
    }

    /// Namespaces whose last options could not be used, and why; those of before are in the set.
    pub fn refused(&self) -> &BTreeMap<Namespace, String> {
        &self.refused
    }

    /// A session begins: it must begin with a complete set. Parts of another session are dropped.
    pub fn begin_session(&mut self) {
        self.parts = None;
        self.based = false;
    }

    /// Takes an update. True when the set is another one now, or has another version.
    ///
    /// # Errors
    /// [`UpdateError`] when it does not fit what came before; the set stays.
    pub fn take(&mut self, update: EndpointUpdate) -> Result<bool, UpdateError> {
        self.check_leader(update.version)?;
        match update.extent {
            Extent::Part { number, more } => {
                self.take_part((number, more), update.version, update.namespaces)
            }
            Extent::Changes { ref removed } => {
                self.apply(update.version, &update.namespaces, removed)?;
                Ok(true)
            }
        }
    }

    fn check_leader(&self, theirs: EndpointVersion) -> Result<(), UpdateError> {
        let leader = |version: EndpointVersion| (version.epoch, version.term);
        match &self.set {
            Some(set) if leader(theirs) < leader(set.version) => Err(UpdateError::Older {
                ours: set.version,
                theirs,
            }),
            _ => Ok(()),
        }
    }

    fn take_part(
        &mut self,
        (number, more): (u32, bool),
        version: EndpointVersion,
        namespaces: BTreeMap<Namespace, NamespaceUpdate>,
    ) -> Result<bool, UpdateError> {
        if number == 0 {
            self.parts = Some((EndpointSet::default(), 0));
            self.refused.clear();
        }
        let expected = self.parts.as_ref().map_or(0, |(_, next)| *next);
        let Some((mut next, _)) = self.parts.take().filter(|_| number == expected) else {
            return Err(UpdateError::Gap {
                expected,
                found: number,
            });
        };
        next.version = version;
        let nothing = EndpointSet::default();
        let before = self.set.as_ref().unwrap_or(&nothing);
        for (name, update) in namespaces {
            let known = before.namespaces.get(&name).map(Arc::as_ref);
            add(&mut next, &mut self.refused, (name, update), known);
        }
        bounded(&next)?;
        if more {
            self.parts = Some((next, number + 1));
            return Ok(false);
        }
        self.set = Some(next);
        self.based = true;
        Ok(true)
    }

    fn apply(
        &mut self,
        version: EndpointVersion,
        namespaces: &BTreeMap<Namespace, NamespaceUpdate>,
        removed: &[Namespace],
    ) -> Result<(), UpdateError> {
        let Some(before) = self.set.as_ref().filter(|_| self.based) else {
            return Err(UpdateError::NoBase);
        };
        let mut next = before.clone();
        next.version = version;
        for name in removed {
            next.namespaces.remove(name);
            self.refused.remove(name);
        }
        for (name, update) in namespaces {
            let known = before.namespaces.get(name).map(Arc::as_ref);
            if let OptionsUpdate::Given(_) = update.options {
                self.refused.remove(name);
            }
            add(
                &mut next,
                &mut self.refused,
                (name.clone(), update.clone()),
                known,
            );
        }
        bounded(&next)?;
        self.set = Some(next);
        Ok(())
    }
}

/// Brings what an update has of a namespace into a set; `known` is the namespace in the set before.
fn add(
    set: &mut EndpointSet,
    refused: &mut BTreeMap<Namespace, String>,
    (name, update): (Namespace, NamespaceUpdate),
    known: Option<&NamespaceSet>,
) {
    let options = match update.options {
        OptionsUpdate::Given(options) => Some(options),
        OptionsUpdate::Unchanged => None,
        OptionsUpdate::Refused(why) => {
            refused.insert(name.clone(), why);
            None
        }
    };
    let held = set.namespaces.get(&name).map(|one| &one.options);
    let options = options
        .or_else(|| held.cloned())
        .or_else(|| known.map(|known| known.options.clone()));
    // Without options that can be used there is nothing to serve.
    let Some(options) = options else { return };
    let namespace = Arc::make_mut(set.namespaces.entry(name).or_default());
    namespace.options = options;
    for id in &update.removed {
        namespace.endpoints.remove(id);
    }
    for (id, endpoint) in update.endpoints {
        let before = known.and_then(|known| known.endpoints.get(&id));
        match resolved(endpoint, before) {
            Some(endpoint) => namespace.endpoints.insert(id, endpoint),
            None => namespace.endpoints.remove(&id),
        };
    }
}

/// The endpoint with what the leader does not know taken from the one before; none where that does
/// not exist.
fn resolved(mut endpoint: Endpoint, before: Option<&Endpoint>) -> Option<Endpoint> {
    if endpoint.port == 0 {
        let before = before?;
        endpoint.address = before.address.clone();
        endpoint.port = before.port;
    }
    if endpoint.state == EndpointState::Keep {
        endpoint.state = before?.state;
    }
    Some(endpoint)
}

fn bounded(set: &EndpointSet) -> Result<(), UpdateError> {
    let (endpoints, namespaces) = (set.len(), set.namespaces.len());
    match endpoints > ENDPOINTS_MAX || namespaces > NAMESPACES_MAX {
        true => Err(UpdateError::TooLarge {
            endpoints,
            namespaces,
        }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ReplicaId;

    fn name() -> Namespace {
        "web.main".parse().unwrap()
    }

    fn endpoint(port: u16, state: EndpointState) -> Endpoint {
        Endpoint {
            instance: "web.main".parse().unwrap(),
            host: "h1".parse().unwrap(),
            address: "10.0.0.1".into(),
            port,
            state,
            weight: super::super::WEIGHT,
            backup: false,
        }
    }

    fn update(
        term: u64,
        number: u64,
        extent: Extent,
        endpoints: &[(u64, Endpoint)],
    ) -> EndpointUpdate {
        let endpoints = endpoints.iter().cloned();
        let namespace = NamespaceUpdate {
            options: OptionsUpdate::Given(Default::default()),
            endpoints: endpoints.map(|(id, one)| (ReplicaId(id), one)).collect(),
            removed: Vec::new(),
        };
        EndpointUpdate {
            version: EndpointVersion {
                epoch: 1,
                term,
                number,
            },
            extent,
            namespaces: BTreeMap::from([(name(), namespace)]),
        }
    }

    const WHOLE: Extent = Extent::Part {
        number: 0,
        more: false,
    };

    fn ids(received: &Received) -> Vec<u64> {
        let set = received.set().unwrap();
        let endpoints = set.namespaces.values().flat_map(|one| one.endpoints.keys());
        endpoints.map(|id| id.0).collect()
    }

    #[test]
    fn a_set_counts_when_its_last_part_is_there_and_a_gap_changes_nothing() {
        let mut received = Received::default();
        let up = endpoint(31_000, EndpointState::Up);
        let changes = Extent::Changes {
            removed: Vec::new(),
        };
        let early = received.take(update(1, 2, changes, &[(1, up.clone())]));
        assert_eq!(early, Err(UpdateError::NoBase));
        assert_eq!(
            received.take(update(1, 3, WHOLE, &[(1, up.clone())])),
            Ok(true)
        );
        let part = |number, more| Extent::Part { number, more };
        assert_eq!(
            received.take(update(1, 4, part(0, true), &[(2, up.clone())])),
            Ok(false)
        );
        assert_eq!(ids(&received), [1]);
        let gap = received.take(update(1, 4, part(2, false), &[(3, up.clone())]));
        assert_eq!(
            gap,
            Err(UpdateError::Gap {
                expected: 1,
                found: 2
            })
        );
        assert_eq!(ids(&received), [1]);
        received
            .take(update(1, 5, part(0, true), &[(2, up.clone())]))
            .unwrap();
        received
            .take(update(1, 5, part(1, false), &[(3, up)]))
            .unwrap();
        assert_eq!(ids(&received), [2, 3]);
    }

    #[test]
    fn what_the_leader_does_not_know_yet_stays_and_an_older_leader_changes_nothing() {
        let mut received = Received::default();
        let up = endpoint(31_000, EndpointState::Up);
        received
            .take(update(2, 1, WHOLE, &[(1, up.clone()), (2, up.clone())]))
            .unwrap();
        received.begin_session();
        let kept = endpoint(0, EndpointState::Keep);
        let drains = endpoint(0, EndpointState::Drain);
        let sent = [(1, kept.clone()), (2, drains), (3, kept)];
        received.take(update(3, 1, WHOLE, &sent)).unwrap();
        let held = &received.set().unwrap().namespaces[&name()].endpoints;
        assert_eq!(held[&ReplicaId(1)], up);
        assert_eq!(held[&ReplicaId(2)].port, 31_000);
        assert_eq!(held[&ReplicaId(2)].state, EndpointState::Drain);
        assert_eq!(held.len(), 2, "nothing is known of the third");
        let older = received.take(update(2, 9, WHOLE, &[]));
        assert!(matches!(older, Err(UpdateError::Older { .. })), "{older:?}");
    }

    #[test]
    fn options_that_cannot_be_used_leave_those_of_before() {
        let mut received = Received::default();
        let up = endpoint(31_000, EndpointState::Up);
        received
            .take(update(1, 1, WHOLE, &[(1, up.clone())]))
            .unwrap();
        let changes = Extent::Changes {
            removed: Vec::new(),
        };
        let mut newer = update(1, 2, changes, &[(2, up)]);
        let refused = OptionsUpdate::Refused("mode: unknown variant".to_owned());
        newer.namespaces.get_mut(&name()).unwrap().options = refused;
        received.take(newer).unwrap();
        assert_eq!(ids(&received), [1, 2]);
        assert!(received.refused().contains_key(&name()));
    }
}
