//! One operator's reading: asks the hosts, merges what they had, then passes on what comes. A host
//! that is silent or goes away is named and left behind; when it is back it is asked again from
//! where it ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use paasta_common::id::HostId;
use paasta_proto::{
    v1::{LogAnswer, LogComponent, LogLevel, LogLine, LogQuery, LogStream, LogsPart},
    worker::off_worker,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tonic::Status;

use super::{
    broker::{LogBroker, Question},
    events::{self, Wanted},
    merge::{Last, Merge},
};
use crate::{machine::ClusterMachine, rpc::status::RpcError};

/// How long a host may take for each answer about what is past.
const SILENCE: Duration = Duration::from_secs(5);
/// How long lines that come are held back to be put in order with those of other hosts.
const REORDER: Duration = Duration::from_millis(200);
/// Lines that are held back so, at most.
const HELD_MAX: usize = 1_000;
/// How often hosts that are away are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a reader may take nothing.
const READER_WAIT: Duration = Duration::from_secs(600);
/// Hosts asked for one reader, at most.
pub const HOSTS_MAX: usize = 250;
/// Lines and bytes of one message, about.
const PART_LINES: usize = 500;
const PART_BYTES: usize = 64 << 10;

/// What is asked of the hosts, and by whom.
pub struct Reading {
    /// The hosts' sessions.
    pub broker: LogBroker,
    /// The replicated state, for the events.
    pub machine: ClusterMachine,
    /// The lines that are wanted of hosts; none when only events are.
    pub query: Option<LogQuery>,
    /// The events that are wanted.
    pub events: Wanted,
    /// The last so many lines in all; 0 for all.
    pub lines: usize,
    /// Go on with what comes.
    pub follow: bool,
    /// Only this host.
    pub host: Option<HostId>,
    /// Now, nanoseconds since the Unix epoch: where a host begins that comes later.
    pub began_ns: u64,
    /// The cluster's name.
    pub cluster: String,
    /// Where the parts go.
    pub out: mpsc::Sender<Result<LogsPart, Status>>,
}

/// What came of waiting for a host.
enum Came {
    Answer(LogAnswer),
    /// Nothing in time.
    Silent,
    /// Its session has ended.
    Gone,
}

type Turn = BoxFuture<'static, (usize, Question, Came)>;

struct Asked {
    host: HostId,
    /// The time of the last line it sent.
    last_ns: u64,
    /// A question is under way.
    open: bool,
}

/// The reader has gone, or takes nothing.
struct Over;

impl Reading {
    /// Reads until the end, or until the reader goes.
    pub async fn run(self) {
        let out = self.out.clone();
        let mut under_way = UnderWay::new(self);
        tokio::select! {
            biased;
            () = out.closed() => {}
            // A reader that went away needs no reason.
            _ = under_way.run() => {}
        }
    }

    fn ask(&self, host: &HostId, since_ns: u64, lines: u32) -> Option<Question> {
        let query = self.query.clone()?;
        let query = LogQuery {
            since_ns,
            lines,
            follow: self.follow,
            ..query
        };
        self.broker.ask(host, query)
    }

    /// The hosts to ask, those with replicas of the instances first, and the ones of them that
    /// are away.
    fn hosts(&self) -> (Vec<HostId>, Vec<HostId>) {
        let here: BTreeSet<HostId> = self.broker.hosts().into_iter().collect();
        let mut wanted: Vec<HostId> = match &self.host {
            Some(host) => vec![host.clone()],
            None => {
                let state = self.machine.read();
                let instances = self.events.instances.iter();
                let replicas = instances.flat_map(|id| state.replicas_of(id));
                let hosts: BTreeSet<HostId> =
                    replicas.map(|(_, replica)| replica.host.clone()).collect();
                hosts.into_iter().collect()
            }
        };
        let away = wanted.iter().filter(|host| !here.contains(*host));
        let away = away.cloned().collect();
        wanted.retain(|host| here.contains(host));
        if self.host.is_none() {
            let first: BTreeSet<HostId> = wanted.iter().cloned().collect();
            wanted.extend(here.into_iter().filter(|host| !first.contains(host)));
        }
        (wanted, away)
    }

    fn line(&self, host: &HostId, record: paasta_proto::v1::LogRecord) -> LogLine {
        let (service, instance) = record.instance.split_once('.').unwrap_or_default();
        let component = match record.stream() {
            LogStream::Stdout => LogComponent::Stdout,
            LogStream::Stderr => LogComponent::Stderr,
            // One that only a newer agent knows: shown without a name.
            LogStream::Unspecified => LogComponent::Unspecified,
        };
        LogLine {
            at_ns: record.at_ns,
            component: component.into(),
            component_word: String::new(),
            level: LogLevel::Event.into(),
            level_word: String::new(),
            cluster: self.cluster.clone(),
            service: service.to_owned(),
            instance: instance.to_owned(),
            host: host.to_string(),
            replica: record.replica,
            run: record.run,
            message: record.line,
            partial: record.partial,
        }
    }

    async fn send(&self, part: LogsPart) -> Result<(), Over> {
        if part.lines.is_empty() && part.notices.is_empty() {
            return Ok(());
        }
        match timeout(READER_WAIT, self.out.send(Ok(part))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Over),
        }
    }

    async fn note(&self, notice: String) -> Result<(), Over> {
        self.send(LogsPart {
            lines: Vec::new(),
            notices: vec![notice],
        })
        .await
    }

    /// Sends lines in parts.
    async fn tell(&self, lines: impl IntoIterator<Item = LogLine>) -> Result<(), Over> {
        let (mut part, mut bytes) = (LogsPart::default(), 0);
        for line in lines {
            bytes += line.message.len();
            part.lines.push(line);
            if part.lines.len() >= PART_LINES || bytes >= PART_BYTES {
                self.send(std::mem::take(&mut part)).await?;
                bytes = 0;
            }
        }
        self.send(part).await
    }
}

struct UnderWay {
    reading: Reading,
    asked: BTreeMap<usize, Asked>,
    turns: FuturesUnordered<Turn>,
    /// Questions whose next answer is not needed yet, and how long it may take.
    parked: Vec<(usize, Question, Option<Duration>)>,
    merge: Merge,
    /// The log index of the last event told.
    events_to: u64,
}

impl UnderWay {
    fn new(reading: Reading) -> Self {
        Self {
            reading,
            asked: BTreeMap::new(),
            turns: FuturesUnordered::new(),
            parked: Vec::new(),
            merge: Merge::default(),
            events_to: 0,
        }
    }

    async fn run(&mut self) -> Result<(), Over> {
        let mut applied = self.reading.machine.watch();
        applied.mark_unchanged();
        self.begin().await?;
        self.past().await?;
        if self.reading.follow {
            self.present(applied).await?;
        }
        Ok(())
    }

    /// Asks every host.
    async fn begin(&mut self) -> Result<(), Over> {
        let own = self.merge.add();
        let events = self.new_events();
        self.merge.push(own, events);
        self.merge.end(own);
        if self.reading.query.is_none() {
            return Ok(());
        }
        let (mut here, away) = self.reading.hosts();
        for host in away {
            let notice = format!("host {host} is away: what was written there is missing");
            self.reading.note(notice).await?;
        }
        if here.len() > HOSTS_MAX {
            let left_out = here.len() - HOSTS_MAX;
            here.truncate(HOSTS_MAX);
            let notice = format!(
                "{left_out} hosts without replicas of this are not asked; name one with --host"
            );
            self.reading.note(notice).await?;
        }
        let since_ns = self.reading.events.since_ns;
        let lines = u32::try_from(self.reading.lines).unwrap_or(u32::MAX);
        for host in here {
            let at = self.merge.add();
            match self.reading.ask(&host, since_ns, lines) {
                Some(question) => self.open(at, host, since_ns, turn(at, question, Some(SILENCE))),
                None => self.merge.end(at),
            }
        }
        Ok(())
    }

    fn open(&mut self, at: usize, host: HostId, since_ns: u64, turn: Turn) {
        let asked = Asked {
            host,
            last_ns: since_ns,
            open: true,
        };
        self.asked.insert(at, asked);
        self.turns.push(turn);
    }

    /// What was written before now.
    async fn past(&mut self) -> Result<(), Over> {
        let mut last = (self.reading.lines > 0).then(|| Last::new(self.reading.lines));
        let mut ready = Vec::new();
        loop {
            while let Some(line) = self.merge.earliest() {
                match &mut last {
                    Some(last) => last.push(line),
                    None => ready.push(line),
                }
                if ready.len() >= PART_LINES {
                    self.reading.tell(std::mem::take(&mut ready)).await?;
                }
            }
            if self.merge.is_done() {
                break;
            }
            self.unpark(|merge, at| merge.needs(at));
            self.turn().await?;
        }
        let Some(last) = last else {
            return self.reading.tell(ready).await;
        };
        if last.is_cut() {
            let notice = "the lines are too large: there are fewer than requested";
            self.reading.note(notice.to_owned()).await?;
        }
        self.reading.tell(last.into_lines()).await
    }

    /// Waits for one answer about the past.
    async fn turn(&mut self) -> Result<(), Over> {
        let Some((at, question, came)) = self.turns.next().await else {
            // The hosts that are left have nothing under way: there is no more to come.
            self.asked.keys().for_each(|at| self.merge.end(*at));
            return Ok(());
        };
        let Some((lines, answer)) = self.take(at, came).await? else {
            self.merge.end(at);
            return Ok(());
        };
        self.merge.push(at, lines);
        if answer.caught_up || answer.ended {
            self.merge.end(at);
        }
        if answer.ended {
            return Ok(());
        }
        // After what is past comes the present, which has no hurry.
        let patience = (!answer.caught_up).then_some(SILENCE);
        self.parked.push((at, question, patience));
        Ok(())
    }

    /// Goes on with the questions whose next answer is needed.
    fn unpark(&mut self, needed: impl Fn(&Merge, usize) -> bool) {
        for (at, question, patience) in std::mem::take(&mut self.parked) {
            match needed(&self.merge, at) {
                true => self.turns.push(turn(at, question, patience)),
                false => self.parked.push((at, question, patience)),
            }
        }
    }

    /// What a host answered; none when it is left behind.
    async fn take(
        &mut self,
        at: usize,
        came: Came,
    ) -> Result<Option<(Vec<LogLine>, LogAnswer)>, Over> {
        let Some(asked) = self.asked.get_mut(&at) else {
            return Ok(None);
        };
        let host = asked.host.clone();
        let notice = match came {
            Came::Answer(mut answer) => {
                asked.open = !answer.ended;
                let records = std::mem::take(&mut answer.records);
                asked.last_ns = records
                    .last()
                    .map_or(asked.last_ns, |record| record.at_ns.max(asked.last_ns));
                if !answer.problem.is_empty() {
                    let notice = format!("host {host}: {}", answer.problem);
                    self.reading.note(notice).await?;
                }
                let lines = records.into_iter();
                let lines = lines.map(|record| self.reading.line(&host, record));
                return Ok(Some((lines.collect(), answer)));
            }
            Came::Silent => format!("host {host}: no answer within {SILENCE:?}"),
            Came::Gone => format!("host {host} went away"),
        };
        asked.open = false;
        let notice = match self.reading.follow {
            true => format!("{notice}; its lines follow when it is back"),
            false => format!("{notice}: what was written there is missing"),
        };
        self.reading.note(notice).await?;
        Ok(None)
    }

    /// What is written from now on, until the reader goes.
    async fn present(
        &mut self,
        mut applied: tokio::sync::watch::Receiver<u64>,
    ) -> Result<(), Over> {
        self.unpark(|_, _| true);
        let mut held: Vec<LogLine> = Vec::new();
        let mut tell_at: Option<Instant> = None;
        let mut look_at = Instant::now() + LOOK_EVERY;
        loop {
            let told = async {
                match tell_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let mut told_now = false;
            tokio::select! {
                Some((at, question, came)) = self.turns.next() => {
                    if let Some((lines, answer)) = self.take(at, came).await? {
                        held.extend(lines);
                        if !answer.ended {
                            self.turns.push(turn(at, question, None));
                        }
                    }
                }
                changed = applied.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    held.extend(self.new_events());
                }
                () = sleep_until(look_at) => {
                    look_at = Instant::now() + LOOK_EVERY;
                    self.look_for_hosts();
                }
                () = told => told_now = true,
            }
            if held.len() >= HELD_MAX || told_now {
                held.sort_by_key(|line| line.at_ns);
                self.reading.tell(std::mem::take(&mut held)).await?;
                tell_at = None;
            } else if !held.is_empty() && tell_at.is_none() {
                tell_at = Some(Instant::now() + REORDER);
            }
        }
    }

    /// Asks hosts that came, or came back.
    fn look_for_hosts(&mut self) {
        if self.reading.query.is_none() {
            return;
        }
        let (here, _) = self.reading.hosts();
        let open: BTreeSet<&HostId> = self
            .asked
            .values()
            .filter(|asked| asked.open)
            .map(|asked| &asked.host)
            .collect();
        let missing: Vec<HostId> = here
            .into_iter()
            .filter(|host| !open.contains(host))
            .take(HOSTS_MAX.saturating_sub(open.len()))
            .collect();
        for host in missing {
            let before = self.asked.iter().find(|(_, asked)| asked.host == host);
            let (at, last_ns) = match before {
                Some((at, asked)) => (Some(*at), asked.last_ns),
                None => (None, 0),
            };
            // Its last line was told; a host that never told one begins with the reading.
            let since_ns = match last_ns {
                0 => self.reading.began_ns,
                last_ns => last_ns + 1,
            };
            let Some(question) = self.reading.ask(&host, since_ns, 0) else {
                continue;
            };
            let at = at.unwrap_or_else(|| {
                let last = self.asked.keys().next_back();
                // Not among the numbers of the merge, whose time is over.
                last.map_or(HOSTS_MAX, |last| last + 1).max(HOSTS_MAX)
            });
            self.open(at, host, since_ns, turn(at, question, None));
        }
    }

    fn new_events(&mut self) -> Vec<LogLine> {
        // Each event may be compared with each instance.
        off_worker(|| {
            let state = self.reading.machine.read();
            let lines = events::lines(&state, &self.reading.events, self.events_to);
            self.events_to = state.last_index();
            lines
        })
    }
}

/// Waits for the next answer, for so long.
fn turn(at: usize, mut question: Question, patience: Option<Duration>) -> Turn {
    async move {
        let came = match patience {
            Some(patience) => timeout(patience, question.next()).await,
            None => Ok(question.next().await),
        };
        let came = match came {
            Ok(Some(answer)) => Came::Answer(answer),
            Ok(None) => Came::Gone,
            Err(_) => Came::Silent,
        };
        (at, question, came)
    }
    .boxed()
}

/// Ends a reading whose leader goes: the reader asks the next one.
pub fn moved(out: &mpsc::Sender<Result<LogsPart, Status>>) {
    // A reader that takes nothing finds out when it does.
    let _ = out.try_send(Err(RpcError::LeaderMoved.into()));
}

#[cfg(test)]
mod tests;
