//! One node of the cluster, as the rest of the coordinator uses it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use openraft::{
    async_runtime::watch::WatchReceiver,
    errors::{InitializeError, RaftError as Failure},
};
use paasta_proto::v1::raft_service_server::RaftServiceServer;
use tokio::{
    sync::{Mutex, watch},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    builds::Builds,
    clock::ClusterClock,
    dial::{Dial, Keepalive},
    ended::Ended,
    enrol::enrol,
    error::{InitOutcome, RaftError},
    handover::Handover,
    identity::Identity,
    lease::{Hush, Lease},
    log_store::LogStore,
    machine::Machine,
    measure::measure,
    network::Network,
    options::RaftOptions,
    pace::Pace,
    receive::Receiver,
    roster::Membership,
    runtime::random_store_id,
    service::{MAX_MESSAGE_BYTES, RaftRpc},
    state_machine::StateMachine,
    status::{RaftStatus, Role},
    terms::{TERM_MAX, Terms},
    types::Raft,
};
use crate::{
    refusals::Refusals,
    store::{IoMode, Log, LogHandle, Store, StoreOptions},
};

/// The consensus service for a tonic router; it has raised the message limits it needs.
pub type RaftServer = RaftServiceServer<RaftRpc>;

/// How long forming a cluster may take on this node: it writes one record.
const INIT_WAIT: Duration = Duration::from_secs(10);

/// How long [`Consensus::shutdown`] waits for the files to close.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// How often it looks.
const CLOSE_POLL: Duration = Duration::from_millis(2);

/// One node's part in the consensus. Clones are the same node.
#[derive(Clone)]
pub struct Consensus {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    raft: Raft,
    identity: Arc<Identity>,
    handover: Arc<Handover>,
    dial: Arc<dyn Dial>,
    keepalive: Keepalive,
    receiver: Receiver,
    lease: Arc<Lease>,
    refusals: Option<Refusals>,
    pace: Pace,
    status: watch::Receiver<RaftStatus>,
    /// Tasks that run as long as the node lives.
    watchers: [AbortHandle; 3],
    builds: Builds,
    ended: Ended,
    change_turn: Mutex<()>,
    log: LogHandle,
    closing: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for watcher in &self.watchers {
            watcher.abort();
        }
    }
}

impl Consensus {
    /// Opens the store, restores `machine` (which must be in its initial state) from the newest
    /// snapshot and the log, and takes part in whatever cluster the store belongs to. A node
    /// without a cluster waits to be given one by [`Self::init`] or by a leader that adds it.
    ///
    /// # Errors
    /// [`RaftError::Damaged`] if this node lost something it had promised to remember; others if
    /// the options or the directory are wrong.
    pub async fn start(options: RaftOptions, machine: Arc<dyn Machine>) -> Result<Self, RaftError> {
        let config = Arc::new(options.openraft()?);
        let Store { log, snapshots } = open_store(&options).await?;
        let handle = log.downgrade();
        let identity = Arc::new(identity(&options, &log)?);
        let handover = Arc::new(Handover::new(options.patience() / 6));
        let network = Network::new(&options, Arc::clone(&identity), Arc::clone(&handover));
        let builds = Builds::default();
        let state_machine = StateMachine::new(machine, snapshots.clone(), options.io);
        let state_machine = state_machine.telling(builds.clone());
        let log_store = LogStore::new(log);
        let raft = Raft::new(options.node_id, config, network, log_store, state_machine);
        let pace = Pace::up_to(options.pace_max_permille);
        let raft = Box::pin(pace.scope(raft))
            .await
            .map_err(|fatal| RaftError::Restore(fatal.to_string()))?;
        started(&raft).await?;
        identity.follow(&raft.metrics().borrow_watched().membership_config);
        let lease = Arc::new(options.lease(pace.clone()));
        let ended = Ended::default();
        let (status, watcher) = watch_status(&raft, &identity, &lease, &ended);
        let network = Network::new(&options, Arc::clone(&identity), Arc::clone(&handover));
        let measuring = measure(raft.clone(), network, Arc::clone(&lease));
        let measuring = tokio::spawn(measuring).abort_handle();
        let builder = tokio::spawn(builds.clone().retry(raft.clone())).abort_handle();
        let inner = Inner {
            raft,
            identity,
            handover,
            dial: Arc::clone(&options.dial),
            keepalive: options.keepalive,
            receiver: Receiver::new(snapshots, options.io),
            lease,
            refusals: options.refusals.clone(),
            pace,
            status,
            watchers: [watcher, measuring, builder],
            builds,
            ended,
            change_turn: Mutex::new(()),
            log: handle,
            closing: CancellationToken::new(),
        };
        let inner = Arc::new(inner);
        tokio::spawn(enrol(Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    /// This node again, for a task that must not keep it.
    pub(super) fn again(inner: &Weak<Inner>) -> Option<Self> {
        inner.upgrade().map(|inner| Self { inner })
    }

    /// The service through which the other coordinators reach this one.
    pub fn service(&self) -> RaftServer {
        let inner = &*self.inner;
        let rpc = RaftRpc {
            raft: inner.raft.clone(),
            identity: Arc::clone(&inner.identity),
            handover: Arc::clone(&inner.handover),
            receiver: inner.receiver.clone(),
            lease: Arc::clone(&inner.lease),
            refusals: inner.refusals.clone(),
            closing: inner.closing.clone(),
        };
        RaftServiceServer::new(rpc)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Makes the cluster `cluster_id` of these voters (node id to address), this node among them.
    /// Once in a cluster's life; harmless when this node is in that cluster already, and when
    /// several of the voters are told the same at once.
    ///
    /// # Errors
    /// If this node belongs to another cluster or one of other members, is not among `members`, or
    /// cannot write; if any other of them does not answer, has another id or is in a cluster.
    /// Nothing was made then.
    pub async fn init(
        &self,
        cluster_id: &str,
        members: BTreeMap<u64, String>,
    ) -> Result<InitOutcome, RaftError> {
        let _turn = timeout(INIT_WAIT, self.inner.change_turn.lock())
            .await
            .map_err(|_| RaftError::TimedOut(INIT_WAIT))?;
        if cluster_id.is_empty() {
            return Err(RaftError::Members("the cluster id is empty".to_owned()));
        }
        let node_id = self.inner.identity.node();
        if !members.contains_key(&node_id) {
            return Err(RaftError::Members(format!(
                "this node, {node_id}, is not one of them"
            )));
        }
        let raft = &self.inner.raft;
        let made = raft.is_initialized().await;
        if made.map_err(|_| RaftError::Stopped)? {
            self.inner.identity.learn(cluster_id, None).await?;
            return self.made_before(&members).await;
        }
        let nodes = self.ask_members(&members).await?;
        self.inner.identity.learn(cluster_id, None).await?;
        match timeout(INIT_WAIT, raft.initialize(nodes)).await {
            Err(_) => Err(RaftError::TimedOut(INIT_WAIT)),
            Ok(Ok(())) => Ok(InitOutcome::Initialized),
            Ok(Err(Failure::APIError(InitializeError::NotAllowed(_)))) => {
                self.made_before(&members).await
            }
            Ok(Err(Failure::APIError(other))) => Err(RaftError::Members(other.to_string())),
            Ok(Err(Failure::Fatal(_))) => Err(RaftError::Stopped),
        }
    }

    /// The cluster exists already: it must be the one that was asked for.
    async fn made_before(&self, members: &BTreeMap<u64, String>) -> Result<InitOutcome, RaftError> {
        // What was written a moment ago shows a moment later.
        let until = Instant::now() + INIT_WAIT;
        let mut status = self.status();
        while status.is_uninitialized() && Instant::now() < until {
            sleep(CLOSE_POLL).await;
            status = self.status();
        }
        let voters = status.voters;
        if voters == *members {
            return Ok(InitOutcome::AlreadyInitialized);
        }
        let list = |members: &BTreeMap<u64, String>| {
            let each = members
                .iter()
                .map(|(id, address)| format!("{id}={address}"));
            each.collect::<Vec<_>>().join(", ")
        };
        Err(RaftError::Members(format!(
            "coordinator {} is in a cluster of {} already, not of {}; nothing was changed. Members \
             are changed by `paasta coordinator add` and `remove`",
            self.inner.identity.node(),
            list(&voters),
            list(members)
        )))
    }

    /// What this node knows right now.
    pub fn status(&self) -> RaftStatus {
        let metrics = self.inner.raft.metrics().borrow_watched().clone();
        let mut status =
            RaftStatus::from_metrics(&metrics, &self.inner.identity, &self.inner.lease);
        status.snapshot_trouble = self.inner.builds.trouble();
        if self.inner.ended.why().is_some() {
            status.role = Role::Stopped;
        }
        status
    }

    /// Waits until consensus ends here by itself, and says why: the disk refused, or a bug. It
    /// never begins again in this process.
    pub async fn failed(&self) -> String {
        self.inner.ended.wait().await
    }

    /// Tells of every change of role, term, leader, members or cluster, also when a lease runs out
    /// and nothing else happens. The other fields are as of
    /// that moment: [`Self::status`] has them fresh.
    pub fn watch(&self) -> watch::Receiver<RaftStatus> {
        self.inner.status.clone()
    }

    /// Ends the calls of peers that would go on for as long as both live: to be called before
    /// waiting for calls to end.
    pub fn hang_up(&self) {
        self.inner.closing.cancel();
    }

    /// Ends this node's part and waits until its files are closed, so that it can be started
    /// again in the same process. Nothing acknowledged is lost by not calling this.
    pub async fn shutdown(&self) {
        self.hang_up();
        if timeout(CLOSE_WAIT, self.inner.raft.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("consensus does not end; a write to the disk may hang");
            return;
        }
        let until = Instant::now() + CLOSE_WAIT;
        while !self.inner.log.is_closed() && Instant::now() < until {
            sleep(CLOSE_POLL).await;
        }
    }

    /// What a coordinator is by the members' configuration here.
    pub fn membership(&self, id: u64) -> Membership {
        self.inner.identity.roster.membership(id)
    }

    pub(super) fn raft(&self) -> &Raft {
        &self.inner.raft
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// How the others are reached.
    pub(super) fn dial(&self) -> (&dyn Dial, &Keepalive) {
        (&*self.inner.dial, &self.inner.keepalive)
    }

    /// How long a leader may go without an answer from a majority.
    pub(super) fn patience(&self) -> Duration {
        self.inner.lease.length()
    }

    /// The time of the cluster here.
    pub fn clock(&self) -> &ClusterClock {
        &self.inner.lease.clock
    }

    /// How many times longer than configured its timeouts are.
    pub fn pace(&self) -> Pace {
        self.inner.pace.clone()
    }

    pub(super) fn change_turn(&self) -> &Mutex<()> {
        &self.inner.change_turn
    }
}

/// Waits until its core runs: before that its metrics are those of a node without a cluster, and a
/// leader that asks who it is would take it for a new one.
async fn started(raft: &Raft) -> Result<(), RaftError> {
    let answer = timeout(INIT_WAIT, raft.is_initialized()).await;
    let answer = answer.map_err(|_| RaftError::TimedOut(INIT_WAIT))?;
    answer
        .map(drop)
        .map_err(|fatal| RaftError::Restore(fatal.to_string()))
}

/// Who this node is, by its store.
fn identity(options: &RaftOptions, log: &Log) -> Result<Identity, RaftError> {
    let term = log.vote().map_or(0, |vote| vote.term);
    let last = log.last().map_or(0, |last| last.term);
    let term = term.max(last);
    if term > TERM_MAX && options.unseen_elections != u64::MAX {
        let dir = options.data_dir.clone();
        return Err(RaftError::ImpossibleTerm { dir, term });
    }
    let pace = Duration::from_millis(options.election_timeout_min_ms);
    let terms = Terms::new(term, options.unseen_elections, pace);
    let (hard, cluster) = (log.hard_state(), options.cluster_id.clone());
    let name = options.cluster_name.clone();
    Ok(Identity::new(&hard, cluster, name, log.downgrade(), terms))
}

async fn open_store(options: &RaftOptions) -> Result<Store, RaftError> {
    let store = StoreOptions {
        dir: options.data_dir.clone(),
        node: options.node_id,
        cluster: options.cluster_id.clone(),
        fresh: options.fresh_store.unwrap_or_else(random_store_id),
        io: options.io,
        timer: options.flush_timer.clone(),
        volume: options.volume.clone(),
    };
    let opened = match options.io {
        IoMode::Inline => Store::open(&store),
        IoMode::Threaded => tokio::task::spawn_blocking(move || Store::open(&store))
            .await
            .map_err(|error| RaftError::Disk(std::io::Error::other(error)))?,
    };
    Ok(opened?)
}

/// Turns openraft's metrics, which change with every record, into a watch that changes seldom.
fn watch_status(
    raft: &Raft,
    identity: &Arc<Identity>,
    lease: &Arc<Lease>,
    ended: &Ended,
) -> (watch::Receiver<RaftStatus>, AbortHandle) {
    let (raft, mut metrics) = (raft.clone(), raft.metrics());
    let (identity, lease, end) = (Arc::clone(identity), Arc::clone(lease), ended.clone());
    let now = RaftStatus::from_metrics(&metrics.borrow_watched().clone(), &identity, &lease);
    let (sender, receiver) = watch::channel(now);
    let task = tokio::spawn(async move {
        let mut heard = lease.heard.watch();
        let mut hush = Hush::new();
        let mut ended = false;
        loop {
            // Cloned at once: a guard that is held stops the core of the consensus.
            let known = metrics.borrow_watched().clone();
            end.hear(&known.running_state, ended);
            identity.follow(&known.membership_config);
            heard.mark_unchanged();
            let mut latest = RaftStatus::from_metrics(&known, &identity, &lease);
            if ended {
                latest.role = Role::Stopped;
            }
            hush.look(&raft, &lease, &known);
            sender.send_if_modified(|known| {
                let new = known.differs_in_kind(&latest);
                if new {
                    *known = latest.clone();
                }
                new
            });
            if ended {
                return;
            }
            let again = lease.look_again(&known);
            let runs_out = async {
                match again {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = metrics.changed() => ended = changed.is_err(),
                () = runs_out => {}
                // Only one that waits for a leader is told of each word of it.
                _ = heard.changed(), if again.is_none() => {}
            }
        }
    });
    (receiver, task.abort_handle())
}
