//! Whether an instance has enough replicas, in all and in each location where clients look for it:
//! PaaSTA's replication check. A look at one moment; when it becomes an alarm is [`super::alarm`].
//!
//! Differs from PaaSTA on purpose: an instance that is stopped wants nothing and lacks nothing;
//! replicas are counted by exact id; and no rounding hides a lack. A location is held to what every
//! location has when the instance is spread evenly (`instances / locations`, rounded down, as not
//! all can have more), and the whole to `instances`, so that an instance with fewer replicas than
//! there are locations is judged, too.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
    sync::Arc,
};

use paasta_common::{
    app::AppSpec,
    id::{HostId, InstanceId},
};

use super::{
    class::Class,
    report::{Awaited, InstanceReport, Report},
};
use crate::{
    fit::rules::{Rules, rules_key},
    state::{ClusterState, instance::Instance},
};

/// How an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has enough.
    Ok,
    /// It has too few.
    Critical,
    /// A new leader has not heard from everybody yet.
    Unknown,
}

/// The replicas of an instance, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replication {
    /// The instance.
    pub instance: InstanceId,
    /// What it comes to.
    pub verdict: Verdict,
    /// In all.
    pub whole: Share,
    /// Percent of what is expected; critical is strictly below.
    pub threshold: u32,
    /// The host attribute whose values the locations are, when replicas are counted by it.
    pub attribute: Option<String>,
    /// By location.
    pub locations: BTreeMap<String, Share>,
    /// Whether no host at all may run it.
    pub nowhere: bool,
}

/// How many serve of how many that should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Happy replicas of any of the instance's apps, those at risk included.
    pub available: u32,
    /// As many as should be.
    pub expected: u32,
}

/// Checks instances of one state; remembers which hosts suit which rules.
pub struct Checker<'a> {
    state: &'a ClusterState,
    report: &'a Report,
    places: BTreeMap<String, Rc<Places>>,
}

/// Where replicas with the same rules may be.
#[derive(Default)]
struct Places {
    /// Whether any host suits.
    any: bool,
    /// The locations with a host that is not in maintenance. One whose hosts are all lost still
    /// counts while they are on record: that it has nothing left is what clients there notice.
    locations: BTreeSet<String>,
}

impl Share {
    /// Strictly below the threshold; nothing is below of what nothing is expected.
    fn is_below(self, threshold: u32) -> bool {
        u64::from(self.available) * 100 < u64::from(threshold) * u64::from(self.expected)
    }

    /// Whole percents, rounded down; 100 when nothing is expected.
    pub fn percent(self) -> u64 {
        (u64::from(self.available) * 100)
            .checked_div(u64::from(self.expected))
            .unwrap_or(100)
    }
}

impl<'a> Checker<'a> {
    /// A checker of the state as the last plan saw it.
    pub fn new(state: &'a ClusterState, report: &'a Report) -> Self {
        Self {
            state,
            report,
            places: BTreeMap::new(),
        }
    }

    /// Counts one instance; none when it is not declared or was never deployed.
    pub fn check(&mut self, id: &InstanceId) -> Option<Replication> {
        let instance = self.state.instance(id).filter(|found| found.declared)?;
        let spec = &instance.spec;
        let attribute = spec.monitoring.location.clone();
        let wanted = instance.wanted();
        let places = self.places(instance, attribute.as_deref());
        let seen = self.report.instances.get(id).map(Arc::as_ref);
        let by_location = self.available(seen, attribute.as_deref());
        let available: u32 = by_location.values().sum();
        let mut found = Replication {
            instance: id.clone(),
            verdict: Verdict::Ok,
            whole: Share {
                available,
                expected: wanted,
            },
            threshold: spec.replication_threshold,
            attribute,
            locations: BTreeMap::new(),
            nowhere: wanted > 0 && !places.any,
        };
        if !places.locations.is_empty() {
            found.locations = locations(&places.locations, &by_location, wanted);
        }
        found.verdict = match (found.is_short(), seen) {
            (false, _) => Verdict::Ok,
            (true, Some(seen)) if !is_awaited(seen) => Verdict::Critical,
            (true, _) => Verdict::Unknown,
        };
        Some(found)
    }

    /// How many replicas serve, by location; under the empty name on hosts that say none.
    fn available(
        &self,
        seen: Option<&InstanceReport>,
        attribute: Option<&str>,
    ) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        let serving = seen.iter().flat_map(|seen| &seen.replicas);
        for replica in serving.filter(|r| matches!(r.class, Class::Happy | Class::AtRisk)) {
            let location = attribute.and_then(|name| self.location(&replica.host, name));
            *counts
                .entry(location.unwrap_or_default().to_owned())
                .or_default() += 1;
        }
        counts
    }

    fn location(&self, host: &HostId, attribute: &str) -> Option<&'a str> {
        self.state.host(host)?.info.attribute(attribute)
    }

    fn places(&mut self, instance: &Instance, attribute: Option<&str>) -> Rc<Places> {
        let Some(app) = self.state.app(instance.desired_app()) else {
            return Rc::default();
        };
        let key = format!(
            "{}\n{}",
            attribute.unwrap_or_default(),
            rules_key(&app.spec)
        );
        if let Some(known) = self.places.get(&key) {
            return Rc::clone(known);
        }
        let found = Rc::new(Places::find(self.state, &app.spec, attribute));
        self.places.insert(key, Rc::clone(&found));
        found
    }
}

impl Places {
    fn find(state: &ClusterState, app: &AppSpec, attribute: Option<&str>) -> Self {
        let rules = Rules::new(app);
        let mut places = Self::default();
        for (_, host) in state.hosts() {
            if rules.allow(&host.info).is_err() {
                continue;
            }
            places.any = true;
            let location = attribute.and_then(|name| host.info.attribute(name));
            if host.maintenance.is_none()
                && let Some(location) = location
            {
                places.locations.insert(location.to_owned());
            }
        }
        places
    }
}

/// What each location is held to: an even part of what is not served from elsewhere, such as from
/// a location that is being emptied.
fn locations(
    names: &BTreeSet<String>,
    available: &BTreeMap<String, u32>,
    wanted: u32,
) -> BTreeMap<String, Share> {
    let elsewhere = available.iter().filter(|(name, _)| !names.contains(*name));
    let elsewhere: u32 = elsewhere.map(|(_, count)| count).sum();
    let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
    let expected = wanted.saturating_sub(elsewhere) / count;
    let share = |name: &String| Share {
        available: available.get(name).copied().unwrap_or(0),
        expected,
    };
    names
        .iter()
        .map(|name| (name.clone(), share(name)))
        .collect()
}

/// Whether a host with replicas of it has not reported to this leader: not reported yet is never
/// unhealthy (I6).
fn is_awaited(seen: &InstanceReport) -> bool {
    let mut waiting = seen.waiting.iter();
    waiting.any(|waiting| matches!(waiting.what, Awaited::HostsToReport { .. }))
}

impl Replication {
    fn is_short(&self) -> bool {
        let mut shares = self.locations.values();
        self.nowhere
            || self.whole.is_below(self.threshold)
            || shares.any(|share| share.is_below(self.threshold))
    }

    /// Whether the location has too few.
    pub fn is_short_in(&self, location: &str) -> bool {
        let share = self.locations.get(location);
        share.is_some_and(|share| share.is_below(self.threshold))
    }

    /// In one line: the whole, and the locations that lack replicas.
    pub fn summary(&self) -> String {
        let mut text = format!(
            "{}: {} of {} replicas available",
            self.verdict, self.whole.available, self.whole.expected
        );
        for (name, share) in &self.locations {
            if share.is_below(self.threshold) {
                let Share {
                    available,
                    expected,
                } = share;
                text.push_str(&format!(", {available} of {expected} in {name}"));
            }
        }
        if self.nowhere {
            text.push_str(", no host may run it");
        }
        match self.verdict {
            Verdict::Critical => text + &format!(" (threshold {}%)", self.threshold),
            Verdict::Ok | Verdict::Unknown => text,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "OK",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        })
    }
}

impl fmt::Display for Replication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = &self.instance;
        let line = |f: &mut fmt::Formatter<'_>, share: Share, place: &str| {
            let word = match share.is_below(self.threshold) {
                true => Verdict::Critical,
                false => Verdict::Ok,
            };
            let Share {
                available,
                expected,
            } = share;
            let percent = share.percent();
            writeln!(
                f,
                "- Service {id} has {available} out of {expected} expected instances in {place} ({word}: {percent}%)"
            )
        };
        line(f, self.whole, "the whole cluster")?;
        for (name, share) in &self.locations {
            line(f, *share, name)?;
        }
        if self.nowhere {
            writeln!(
                f,
                "- No host of its pool and constraints is registered (CRITICAL)"
            )?;
        }
        match self.verdict {
            Verdict::Ok => Ok(()),
            Verdict::Unknown => writeln!(
                f,
                "The leader is new and has not heard from every host: ask again in a few seconds."
            ),
            Verdict::Critical => writeln!(
                f,
                "Fewer than {}% of the replicas that should serve do. What to do:\n\
                 * `paasta why {id}` says what is waited for\n\
                 * `paasta status -s {} -i {} -v` shows every replica and its failures\n\
                 * `paasta events -i {id}` shows what happened last",
                self.threshold, id.service, id.instance
            ),
        }
    }
}
