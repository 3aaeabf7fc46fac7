//! What changes on a page that is open, as server-sent events. A stream sends the blocks and rows
//! that are others than those that were sent before; it begins with all of them, unless the mark of
//! the page that the browser has is that of now. A stream ends after a while: the browser opens the
//! next one by itself, with the mark of the last event, and its rights are checked again.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    body::{Body, Bytes},
    extract::{Query, Request, State},
    http::{
        HeaderMap, Uri,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use paasta_identity::Peer;
use paasta_process::http::Problem;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep, timeout},
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;

use super::{page::Block, place::Place};
use crate::{
    caller::{OnBehalf, current, on_behalf_of},
    http::Api,
};

/// Open pages that follow at this coordinator, at most.
const FOLLOWERS_MAX: usize = 64;
/// Messages that wait for a slow browser.
const OUTBOX_MAX: usize = 2;
/// How long a browser may take no message before its stream is cut.
const SLOW_MAX: Duration = Duration::from_secs(10);
/// How long a stream lasts: shorter than a connection may rest without a request.
const STREAM_MAX: Duration = Duration::from_secs(45);
/// Between two looks, at least: a busy log is followed in steps.
const PACE: Duration = Duration::from_secs(2);
/// Between two looks where nothing was applied: what hosts report is no record of the log.
const REST: Duration = Duration::from_secs(4);
/// How often a stream that has nothing to say says that it is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// When a browser opens a new stream after the end of one, milliseconds.
const RETRY_MS: u64 = 1_000;

/// The places of the pages that follow. Clones are the same.
#[derive(Debug, Clone)]
pub struct Live {
    seats: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Live {
    /// Nothing follows yet; all streams end at `shutdown`.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self {
            seats: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
            shutdown,
        }
    }
}

/// What a browser asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// Path and query of the page.
    page: String,
    /// The mark of what the browser shows.
    mark: String,
}

/// An element that takes the place of the one with its id.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Change<'a> {
    id: &'a str,
    html: String,
}

/// What a browser shows, as far as it was sent: numbers that stand for it.
#[derive(Debug, Default)]
struct Sent(BTreeMap<&'static str, (u64, BTreeMap<String, u64>)>);

/// `GET /live?page=PAGE&mark=MARK`
pub(super) async fn follow(
    State(api): State<Api>,
    Query(asked): Query<Asked>,
    request: Request,
) -> Result<Response, Problem> {
    let uri = asked.page.parse::<Uri>();
    let uri = uri.map_err(|error| Problem::new(400, format!("page: {error}")))?;
    let place = Place::of(&uri)?;
    let Ok(seat) = Arc::clone(&api.live.seats).try_acquire_owned() else {
        return Err(Problem::new(
            503,
            "as many pages follow at this coordinator as may; reload the page, or use another coordinator",
        ));
    };
    let (outbox, messages) = mpsc::channel(OUTBOX_MAX);
    let stream = Stream {
        mark: last_mark(request.headers()).unwrap_or(asked.mark),
        peer: request.extensions().get::<Arc<Peer>>().cloned(),
        call: current(),
        api,
        place,
        outbox,
    };
    let call = stream.call.clone();
    tokio::spawn(on_behalf_of(call, stream.run(seat)));
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
    ];
    let messages = ReceiverStream::new(messages).map(Ok::<Bytes, Infallible>);
    Ok((headers, Body::from_stream(messages)).into_response())
}

/// The mark of the last event that the browser got by an earlier stream.
fn last_mark(headers: &HeaderMap) -> Option<String> {
    let mark = headers.get("last-event-id")?.to_str().ok()?;
    (!mark.is_empty()).then(|| mark.to_owned())
}

struct Stream {
    api: Api,
    place: Place,
    mark: String,
    peer: Option<Arc<Peer>>,
    call: OnBehalf,
    outbox: mpsc::Sender<Bytes>,
}

impl Stream {
    async fn run(self, seat: OwnedSemaphorePermit) {
        let _seat = seat;
        let shutdown = self.api.live.shutdown.clone();
        let outbox = self.outbox.clone();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = outbox.closed() => {}
            () = sleep(STREAM_MAX) => {}
            () = self.tell() => {}
        }
    }

    /// Tells what changes, until the browser is too slow or has no rights any more.
    async fn tell(&self) {
        let mut applied = self.api.admin.machine.watch();
        let mut raft = self.api.admin.gate.watch();
        let mut sent = Sent::default();
        let mut said_at = Instant::now();
        let mut first = true;
        if !self.say(format!("retry: {RETRY_MS}\n\n")).await {
            return;
        }
        while self.has_rights() {
            applied.borrow_and_update();
            raft.borrow_and_update();
            let page = self.place.page(&self.api).await;
            let (mark, blocks) = (page.mark(), page.blocks());
            let known = first && same(&mark, &self.mark);
            let changes = sent.changes(&blocks);
            first = false;
            let message = match serde_json::to_string(&changes) {
                Ok(data) if !known && !changes.is_empty() => {
                    format!("id: {mark}\nevent: change\ndata: {data}\n\n")
                }
                Ok(_) if said_at.elapsed() >= SIGN_OF_LIFE => ":\n\n".to_owned(),
                Ok(_) => String::new(),
                Err(error) => {
                    tracing::error!(%error, "changes of a page cannot be written");
                    return;
                }
            };
            if !message.is_empty() {
                said_at = Instant::now();
                if !self.say(message).await {
                    return;
                }
            }
            let pause = async {
                tokio::select! {
                    _ = applied.changed() => sleep(PACE).await,
                    () = sleep(REST) => {}
                }
            };
            // That there is no leader is said at once.
            tokio::select! {
                _ = raft.changed() => {}
                () = pause => {}
            }
        }
    }

    async fn say(&self, message: String) -> bool {
        let sent = timeout(SLOW_MAX, self.outbox.send(Bytes::from(message)));
        matches!(sent.await, Ok(Ok(())))
    }

    /// Whether the caller has rights now, by its certificate, or by name.
    fn has_rights(&self) -> bool {
        let rights = &self.api.rights;
        match (&self.peer, &self.call.principal) {
            (Some(peer), Some(principal)) if peer.identity() == Some(principal) => {
                rights.standing(peer, SystemTime::now()).is_ok()
            }
            (_, Some(principal)) => rights.check_named(principal).is_ok(),
            (_, None) => true,
        }
    }
}

/// Whether two marks are of the same content: the index of the log before the point may differ.
fn same(one: &str, other: &str) -> bool {
    let digest = |mark: &str| mark.split_once('.').map(|(_, digest)| digest.to_owned());
    digest(one).is_some() && digest(one) == digest(other)
}

impl Sent {
    /// What is to be sent for the browser to show these blocks; it counts as sent.
    fn changes<'a>(&mut self, blocks: &'a [Block]) -> Vec<Change<'a>> {
        let mut changes = Vec::new();
        for block in blocks {
            let rows = block.rows().iter();
            let rows: BTreeMap<String, u64> =
                rows.map(|row| (row.id.clone(), row.digest())).collect();
            let frame = block.frame();
            match self.0.get(block.id) {
                Some((known, before)) if *known == frame => {
                    let other = |row: &&super::page::Row| before.get(&row.id) != rows.get(&row.id);
                    let others = block.rows().iter().filter(other);
                    changes.extend(others.map(|row| Change {
                        id: &row.id,
                        html: row.html.clone(),
                    }));
                }
                _ => changes.push(Change {
                    id: block.id,
                    html: block.html(),
                }),
            }
            self.0.insert(block.id, (frame, rows));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use maud::html;

    use super::*;
    use crate::dashboard::page::Row;

    fn block(rows: &[(&str, &str)]) -> Block {
        let rows = rows.iter().map(|(id, text)| {
            let text = html! { (text) };
            Row::of((*id).to_owned(), &text, &[])
        });
        Block::table("list", "A list", &["Name"], rows.collect(), "nothing")
    }

    fn ids(changes: &[Change<'_>]) -> Vec<String> {
        changes.iter().map(|change| change.id.to_owned()).collect()
    }

    #[test]
    fn a_row_that_changes_is_sent_alone_and_one_that_comes_with_its_block() {
        let mut sent = Sent::default();
        let one = [block(&[("a", "1"), ("b", "1")])];
        assert_eq!(ids(&sent.changes(&one)), ["list"]);
        assert_eq!(ids(&sent.changes(&one)), Vec::<String>::new());
        let two = [block(&[("a", "1"), ("b", "2")])];
        let changes = sent.changes(&two);
        assert_eq!(ids(&changes), ["b"]);
        assert!(changes[0].html.starts_with("<tr id=\"b\""), "{changes:?}");
        let three = [block(&[("a", "1"), ("b", "2"), ("c", "1")])];
        assert_eq!(ids(&sent.changes(&three)), ["list"]);
        let none = [block(&[])];
        let changes = sent.changes(&none);
        assert!(changes[0].html.contains("nothing"), "{changes:?}");
    }

    #[test]
    fn a_mark_is_the_same_at_every_coordinator_that_shows_the_same() {
        assert!(same("12.abc", "15.abc"));
        for (one, other) in [("12.abc", "12.abd"), ("", ""), ("12", "12")] {
            assert!(!same(one, other), "{one} {other}");
        }
    }
}
