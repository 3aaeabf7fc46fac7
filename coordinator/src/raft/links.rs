//! How long a message takes to each other member and back, measured all the time by every node: the
//! pace of consensus follows from it, and operators are shown which links are slow.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::pace::Pace;

/// Measurements of a link that count, the newest: it takes three of them to say that it became
/// slower or faster.
const KEPT: usize = 5;
/// A link that was not measured for so long says nothing of how fast it is.
const CURRENT: Duration = Duration::from_secs(10);

/// A link to one other member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The usual round trip of late: the median of the last measurements.
    pub round_trip: Duration,
    /// How long ago it was measured.
    pub measured: Duration,
    /// How far the clock there is ahead of the cluster's time, milliseconds, negative when it is
    /// behind; none where it is not told.
    pub clock_ahead_ms: Option<i64>,
    /// How fast it is for the heartbeats of this cluster.
    pub speed: Speed,
}

/// How fast a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Speed {
    /// Timeouts are as configured.
    Fast,
    /// Timeouts are stretched for it.
    Slow,
    /// Slower than timeouts can be stretched: consensus may not work over it.
    TooSlow,
}

impl Speed {
    /// The word used in status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Slow => "slow",
            Self::TooSlow => "too-slow",
        }
    }
}

/// The last measurements of one link.
#[derive(Debug, Default)]
struct Measured {
    round_trips: VecDeque<Duration>,
    clock_ahead_ms: Option<i64>,
    last: Option<Instant>,
    /// What was last logged of it.
    said: Option<Speed>,
}

/// The links of one node, bounded by the members.
#[derive(Clone, Debug)]
pub(super) struct Links {
    heartbeat: Duration,
    pace: Pace,
    all: Arc<Mutex<BTreeMap<u64, Measured>>>,
}

impl Links {
    pub(super) fn new(heartbeat: Duration, pace: Pace) -> Self {
        Self {
            heartbeat,
            pace,
            all: Arc::default(),
        }
    }

    /// A message to the member and back took so long, and the clock there was so far ahead.
    pub(super) fn measured(&self, peer: u64, round_trip: Duration, clock_ahead_ms: Option<i64>) {
        let mut all = self.all.lock();
        let link = all.entry(peer).or_default();
        if link.round_trips.len() == KEPT {
            link.round_trips.pop_front();
        }
        link.round_trips.push_back(round_trip);
        link.clock_ahead_ms = clock_ahead_ms;
        link.last = Some(Instant::now());
    }

    /// The usual round trip to the member, once it was measured.
    pub(super) fn usual(&self, peer: u64) -> Option<Duration> {
        median(&self.all.lock().get(&peer)?.round_trips)
    }

    /// Forgets members that are none any more, sets the pace by the slowest link to a voter, and
    /// says in the log what has changed.
    pub(super) fn settle(&self, members: &BTreeSet<u64>, voters: &BTreeSet<u64>) {
        self.all.lock().retain(|peer, _| members.contains(peer));
        let links = self.all();
        let slowest = links
            .iter()
            .filter(|(peer, link)| voters.contains(peer) && link.measured < CURRENT)
            .map(|(_, link)| link.round_trip)
            .max();
        if let Some(slowest) = slowest {
            let before = self.pace.permille();
            let permille = self.pace.suit(slowest, self.heartbeat);
            if permille != before {
                tracing::info!(
                    round_trip_ms = millis(slowest),
                    times = f64::from(permille) / 1_000.0,
                    "timeouts of consensus follow the slowest link between voters"
                );
            }
        }
        for (peer, link) in &links {
            self.say(*peer, link);
        }
    }

    fn say(&self, peer: u64, link: &Link) {
        let mut all = self.all.lock();
        let Some(known) = all.get_mut(&peer) else {
            return;
        };
        let before = known.said.replace(link.speed);
        if before == Some(link.speed) || (before.is_none() && link.speed == Speed::Fast) {
            return;
        }
        let round_trip_ms = millis(link.round_trip);
        let limit_ms = millis(Pace::longest_round_trip(self.heartbeat));
        match link.speed {
            Speed::Fast => tracing::info!(peer, round_trip_ms, "the link is fast again"),
            Speed::Slow => tracing::warn!(
                peer,
                round_trip_ms,
                "the link is slow: elections take longer; heartbeat_ms is made for faster ones"
            ),
            Speed::TooSlow => tracing::error!(
                peer,
                round_trip_ms,
                limit_ms,
                "the link is too slow for heartbeat_ms: raise heartbeat_ms and both \
                 election_timeout settings on every coordinator, or move the coordinator"
            ),
        }
    }

    /// Every link that was measured, by member.
    pub(super) fn all(&self) -> BTreeMap<u64, Link> {
        let all = self.all.lock();
        all.iter()
            .filter_map(|(peer, measured)| {
                let round_trip = median(&measured.round_trips)?;
                let link = Link {
                    round_trip,
                    measured: measured.last?.elapsed(),
                    clock_ahead_ms: measured.clock_ahead_ms,
                    speed: self.speed(round_trip),
                };
                Some((*peer, link))
            })
            .collect()
    }

    fn speed(&self, round_trip: Duration) -> Speed {
        if round_trip > Pace::longest_round_trip(self.heartbeat) {
            return Speed::TooSlow;
        }
        match round_trip > self.heartbeat.mul_f64(0.8) {
            true => Speed::Slow,
            false => Speed::Fast,
        }
    }
}

fn median(round_trips: &VecDeque<Duration>) -> Option<Duration> {
    let mut sorted: Vec<Duration> = round_trips.iter().copied().collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_millis(100);

    fn settled(links: &Links, peers: &[u64]) {
        let peers = peers.iter().copied().collect();
        links.settle(&peers, &peers);
    }

    #[tokio::test(start_paused = true)]
    async fn the_median_decides_and_the_slowest_voter_sets_the_pace() {
        let pace = Pace::default();
        let links = Links::new(HEARTBEAT, pace.clone());
        for round_trip in [1, 900, 1, 1, 900] {
            links.measured(2, Duration::from_millis(round_trip), None);
        }
        settled(&links, &[2, 3]);
        assert_eq!(
            links.all()[&2].speed,
            Speed::Fast,
            "two of five are outliers"
        );
        assert_eq!(pace.permille(), 1_000);
        for _ in 0..3 {
            links.measured(3, Duration::from_millis(250), None);
        }
        settled(&links, &[2, 3]);
        assert_eq!(links.all()[&3].speed, Speed::Slow);
        assert_eq!(pace.permille(), 3_125);
        tokio::time::advance(CURRENT).await;
        links.measured(2, Duration::from_millis(1), None);
        links.measured(2, Duration::from_millis(1), None);
        settled(&links, &[2, 3]);
        assert_eq!(pace.permille(), 1_000, "3 is not there any more");
        settled(&links, &[2]);
        assert!(!links.all().contains_key(&3));
        for _ in 0..KEPT {
            links.measured(2, Duration::from_millis(800), None);
        }
        assert_eq!(links.all()[&2].speed, Speed::TooSlow);
    }
}
