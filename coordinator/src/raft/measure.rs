//! Asks every other member for an echo, again and again, on a connection of its own: what is
//! measured there waits behind no records.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use openraft::{RPCTypes, RaftNetworkFactory, ServerState, async_runtime::watch::WatchReceiver};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    clock::Times,
    lease::Lease,
    network::Network,
    peer::{Client, PeerClient},
    terms::Claims,
    types::Raft,
};

/// Between two echoes of one member.
const EVERY: Duration = Duration::from_millis(500);
/// What an echo may take longer than twice the usual time and still tell the time.
const JITTER: Duration = Duration::from_millis(20);
/// How long an echo may take; then the link is not slow but down.
const ECHO_WAIT: Duration = Duration::from_secs(2);

/// Measures the links to all members until it is dropped.
pub(super) async fn measure(raft: Raft, mut network: Network, lease: Arc<Lease>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // One for each member at most.
    let mut asked: JoinSet<(u64, Option<Echo>)> = JoinSet::new();
    let mut waiting: BTreeSet<u64> = BTreeSet::new();
    loop {
        tokio::select! {
            biased;
            Some(answered) = asked.join_next() => {
                if let Ok((peer, echo)) = answered {
                    waiting.remove(&peer);
                    if let Some(echo) = echo {
                        let leader = raft.metrics().borrow_watched().current_leader;
                        take_in(&lease, peer, leader == Some(peer), &echo);
                    }
                }
                continue;
            }
            _ = ticks.tick() => {}
        }
        let metrics = raft.metrics().borrow_watched().clone();
        let config = metrics.membership_config.membership();
        let members: BTreeSet<u64> = config.nodes().map(|(id, _)| *id).collect();
        let voters: BTreeSet<u64> = config.voter_ids().collect();
        for (peer, node) in config.nodes().filter(|(id, _)| **id != metrics.id) {
            if waiting.insert(*peer) {
                let client = network.new_client(*peer, node).await;
                asked.spawn(echo(*peer, client));
            }
        }
        if metrics.state == ServerState::Leader {
            lease.clock.lead(EVERY);
        }
        lease.links.settle(&members, &voters);
    }
}

/// What came back of an echo.
struct Echo {
    round_trip: Duration,
    /// What time it was there, of one that says so.
    times: Option<Times>,
    /// When it came back.
    at: Instant,
}

impl Claims for Option<Times> {
    fn term(&self) -> Option<u64> {
        None
    }

    fn flaw(&self, _from: u64) -> Option<String> {
        None
    }
}

/// One echo; none when it did not come back: a member that does not answer is seen by its silence.
async fn echo(peer: u64, client: PeerClient) -> (u64, Option<Echo>) {
    let began = Instant::now();
    let send = |mut client: Client, request| async move { client.echo(request).await };
    let answer = client.call(RPCTypes::Vote, ECHO_WAIT, &(), send).await;
    let echo = answer.ok().map(|times| Echo {
        round_trip: began.elapsed(),
        times,
        at: Instant::now(),
    });
    (peer, echo)
}

/// Notes how fast the link is, how right the clock there is, and what time it is by the leader.
fn take_in(lease: &Lease, peer: u64, leads: bool, echo: &Echo) {
    // It was said half a round trip before it came back.
    let since = echo.at.elapsed() + echo.round_trip / 2;
    // For one that took much longer than usual, the direction of the delay is unknown.
    let usual = lease.links.usual(peer);
    let typical = usual.is_none_or(|usual| echo.round_trip <= usual * 2 + JITTER);
    // One that has just started learns it from anybody that knows.
    let learns = |times: &Times| times.known && typical && (leads || !lease.clock.is_known());
    if let Some(times) = echo.times.filter(learns) {
        lease.clock.follow(times.cluster.after(since));
    }
    let own = echo.times.map(|times| times.own.after(since));
    let ahead_ms = own.map(|own| lease.clock.ahead_of_cluster(own));
    lease.links.measured(peer, echo.round_trip, ahead_ms);
}
