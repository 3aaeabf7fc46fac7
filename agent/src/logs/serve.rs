//! Answers to a coordinator's log queries within one session: so many at a time, each sending only
//! what the coordinator has room for. A reader that is slow costs a place and a little memory; the
//! files are what waits.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use paasta_process::simulated;
use paasta_proto::v1;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::sleep,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    capture::Captures,
    read::{Query, RUNS_MAX, Reader, Record},
    store::LogStore,
};
use crate::engine::Stream;

/// Queries answered at a time, of all sessions.
pub const QUERIES_MAX: usize = 16;
/// Instances that one query may name.
const INSTANCES_MAX: usize = 1_000;
/// Bytes of output in one answer, about.
const ANSWER_BYTES: usize = 32 << 10;
/// Answers that wait for the session, at most.
const OUTBOX_MAX: usize = 4;
/// Between two looks for what is new: of a host that writes a lot, much is taken at once.
const COALESCE: Duration = Duration::from_millis(100);
/// Room for answers that a coordinator may give in all.
const ROOM_MAX: usize = 1_024;

/// Answers queries.
#[derive(Clone)]
pub struct LogServer {
    store: LogStore,
    appended: watch::Receiver<u64>,
    places: Arc<Semaphore>,
}

/// The queries of one session. Dropped, they end.
pub struct Answers {
    server: LogServer,
    out: mpsc::Sender<v1::LogAnswer>,
    answers: mpsc::Receiver<v1::LogAnswer>,
    queries: BTreeMap<u64, Asked>,
}

struct Asked {
    room: Arc<Semaphore>,
    _stop: DropGuard,
}

/// What works on one query.
struct Work {
    id: u64,
    out: mpsc::Sender<v1::LogAnswer>,
    room: Arc<Semaphore>,
    appended: watch::Receiver<u64>,
    follow: bool,
    _place: OwnedSemaphorePermit,
}

impl LogServer {
    /// Answers from what is captured.
    pub fn new(captures: &Captures) -> Self {
        Self {
            store: captures.store().clone(),
            appended: captures.appended(),
            places: Arc::new(Semaphore::new(QUERIES_MAX)),
        }
    }

    /// For a new session.
    pub fn session(&self) -> Answers {
        let (out, answers) = mpsc::channel(OUTBOX_MAX);
        Answers {
            server: self.clone(),
            out,
            answers,
            queries: BTreeMap::new(),
        }
    }
}

impl Answers {
    /// The next answer to send. Dropping the future loses nothing.
    pub async fn next(&mut self) -> v1::LogAnswer {
        loop {
            match self.answers.recv().await {
                Some(answer) => {
                    if answer.ended {
                        self.queries.remove(&answer.id);
                    }
                    return answer;
                }
                // Cannot be: a sender is held here.
                None => std::future::pending::<()>().await,
            }
        }
    }

    /// Begins to answer.
    pub fn begin(&mut self, asked: v1::LogQuery) {
        let id = asked.id;
        let room = usize::try_from(asked.answers).unwrap_or(ROOM_MAX);
        let room = Arc::new(Semaphore::new(room.clamp(1, ROOM_MAX)));
        let stop = CancellationToken::new();
        let held = Asked {
            room: Arc::clone(&room),
            _stop: stop.clone().drop_guard(),
        };
        self.queries.insert(id, held);
        let out = self.out.clone();
        let place = Arc::clone(&self.server.places).try_acquire_owned();
        let (store, appended) = (self.server.store.clone(), self.server.appended.clone());
        tokio::spawn(async move {
            let work = async {
                let problem = match (place, query(&asked)) {
                    (Err(_), _) => format!("it answers {QUERIES_MAX} log queries already"),
                    (_, Err(problem)) => problem,
                    (Ok(_place), Ok(query)) => {
                        let follow = asked.follow;
                        let work = Work {
                            id,
                            out: out.clone(),
                            room,
                            appended,
                            follow,
                            _place,
                        };
                        match work.answer(store, query).await {
                            Ok(()) => String::new(),
                            Err(error) => format!("its logs cannot be read: {error}"),
                        }
                    }
                };
                let last = v1::LogAnswer {
                    id,
                    ended: true,
                    problem,
                    ..v1::LogAnswer::default()
                };
                // When the session is gone nobody waits.
                let _ = out.send(last).await;
            };
            tokio::select! { biased; () = stop.cancelled() => {}, () = work => {} }
        });
    }

    /// There is room for more answers.
    pub fn more(&self, more: &v1::LogMore) {
        if let Some(asked) = self.queries.get(&more.id) {
            let room = usize::try_from(more.answers).unwrap_or(ROOM_MAX);
            let left = ROOM_MAX.saturating_sub(asked.room.available_permits());
            asked.room.add_permits(room.min(left));
        }
    }

    /// Nobody waits for the answer any more.
    pub fn cancel(&mut self, id: u64) {
        self.queries.remove(&id);
    }
}

impl Work {
    async fn answer(mut self, store: LogStore, query: Query) -> io::Result<()> {
        // Before reading: what is appended from now on is looked for.
        self.appended.mark_unchanged();
        let mut reader = on_disk(move || Reader::open(store, query)).await?;
        let mut caught_up = false;
        loop {
            let (again, records) = on_disk(move || {
                let records = reader.next(ANSWER_BYTES)?;
                Ok((reader, records))
            })
            .await?;
            reader = again;
            let over = records.is_empty();
            if over && !caught_up {
                caught_up = true;
                let left_out = reader.left_out();
                let problem = match left_out {
                    0 => String::new(),
                    left_out => format!(
                        "only the last {RUNS_MAX} runs are read, {left_out} older ones are not; name an instance or a replica"
                    ),
                };
                if self.follow || !problem.is_empty() {
                    self.send(Vec::new(), true, problem).await?;
                }
            }
            match (over, self.follow) {
                (true, false) => return Ok(()),
                (true, true) => {
                    // The agent is stopping: so is the session.
                    self.appended.changed().await.map_err(io::Error::other)?;
                    sleep(COALESCE).await;
                    reader = on_disk(move || reader.look_for_runs().map(|()| reader)).await?;
                }
                (false, _) => self.send(records, false, String::new()).await?,
            }
        }
    }

    async fn send(&self, records: Vec<Record>, caught_up: bool, problem: String) -> io::Result<()> {
        let room = self.room.acquire().await.map_err(io::Error::other)?;
        room.forget();
        let answer = v1::LogAnswer {
            id: self.id,
            records: records.into_iter().map(wire).collect(),
            caught_up,
            ended: false,
            problem,
        };
        self.out.send(answer).await.map_err(io::Error::other)
    }
}

fn wire(record: Record) -> v1::LogRecord {
    v1::LogRecord {
        at_ns: record.at_ns,
        stream: match record.stream {
            Stream::Stdout => v1::LogStream::Stdout,
            Stream::Stderr => v1::LogStream::Stderr,
        }
        .into(),
        stream_word: String::new(),
        instance: record.run.instance.to_string(),
        replica: record.run.replica.to_string(),
        run: record.run.run,
        line: record.line,
        partial: record.partial,
    }
}

fn query(asked: &v1::LogQuery) -> Result<Query, String> {
    if asked.instances.len() > INSTANCES_MAX {
        return Err(format!("more than {INSTANCES_MAX} instances are requested"));
    }
    let instances = asked.instances.iter().map(|name| {
        name.parse()
            .map_err(|error| format!("instances: {name:?}: {error}"))
    });
    let unknown = |name: &str| format!("streams: {name:?} is neither stdout nor stderr");
    if let Some(name) = asked.streams_word.first() {
        return Err(unknown(name));
    }
    let streams = match asked.streams.is_empty() {
        true => Stream::ALL.to_vec(),
        false => {
            let named = asked
                .streams
                .iter()
                .map(|number| match (*number).try_into() {
                    Ok(v1::LogStream::Stdout) => Ok(Stream::Stdout),
                    Ok(v1::LogStream::Stderr) => Ok(Stream::Stderr),
                    Ok(v1::LogStream::Unspecified) | Err(_) => Err(unknown(&number.to_string())),
                });
            named.collect::<Result<_, _>>()?
        }
    };
    let replica = match asked.replica.as_str() {
        "" => None,
        name => Some(
            name.parse()
                .map_err(|error| format!("replica: {name:?}: {error}"))?,
        ),
    };
    Ok(Query {
        instances: instances.collect::<Result<_, _>>()?,
        streams,
        since_ns: asked.since_ns,
        until_ns: asked.until_ns,
        lines: usize::try_from(asked.lines).unwrap_or(usize::MAX),
        replica,
    })
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    simulated::blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests;
