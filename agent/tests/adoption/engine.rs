//! The engine in memory, with a note before and after each call, and time between note and deed: a
//! place for the agent to die at.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::stream::BoxStream;
use paasta_agent::engine::{Answer, Engine, Entries, Executed, Hint, Inspected, fake::FakeEngine};
use paasta_agent_core::{
    collect::Stock,
    disk::Storage,
    observed::{LocalImage, Seen},
};
use paasta_common::{container::ContainerSpec, report::PullProgress};
use tokio::{
    sync::watch,
    time::{Instant, interval_at},
};

/// Longer than a tick, so that each side of a deed has a tick of its own.
const MARGIN: Duration = Duration::from_millis(2);

/// What the agent asked of the engine, newest last: `create begins`, `create is done`.
pub(crate) type Notes = Arc<Mutex<Vec<String>>>;

/// The engine as the agent has it.
pub(crate) struct Noted {
    pub(crate) engine: FakeEngine,
    pub(crate) notes: Notes,
}

/// The clock is virtual: this takes no time.
async fn margin() {
    let mut passed = interval_at(Instant::now() + MARGIN, MARGIN);
    passed.tick().await;
}

impl Noted {
    fn note<'a, T: Send + 'a>(&'a self, what: &'static str, deed: Answer<'a, T>) -> Answer<'a, T> {
        Box::pin(async move {
            self.notes.lock().unwrap().push(format!("{what} begins"));
            margin().await;
            let answer = deed.await;
            self.notes.lock().unwrap().push(format!("{what} is done"));
            margin().await;
            answer
        })
    }
}

impl Engine for Noted {
    fn list<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<Seen>> {
        self.note("list", self.engine.list(host))
    }

    fn inspect<'a>(&'a self, container: &'a str) -> Answer<'a, Inspected> {
        self.note("inspect", self.engine.inspect(container))
    }

    fn image<'a>(&'a self, image: &'a str) -> Answer<'a, Option<LocalImage>> {
        self.note("image", self.engine.image(image))
    }

    fn pull<'a>(
        &'a self,
        image: &'a str,
        progress: &'a watch::Sender<PullProgress>,
    ) -> Answer<'a, ()> {
        self.note("pull", self.engine.pull(image, progress))
    }

    fn layer_bytes<'a>(&'a self, container: &'a str) -> Answer<'a, u64> {
        self.engine.layer_bytes(container)
    }

    fn storage(&self) -> Answer<'_, Storage> {
        self.engine.storage()
    }

    fn stock(&self) -> Answer<'_, Stock> {
        self.note("stock", self.engine.stock())
    }

    fn forget<'a>(&'a self, image: &'a str) -> Answer<'a, ()> {
        self.note("forget", self.engine.forget(image))
    }

    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> Answer<'a, String> {
        self.note("create", self.engine.create(spec))
    }

    fn start<'a>(&'a self, container: &'a str) -> Answer<'a, ()> {
        self.note("start", self.engine.start(container))
    }

    fn stop<'a>(&'a self, container: &'a str, grace_ms: u64) -> Answer<'a, ()> {
        self.note("stop", self.engine.stop(container, grace_ms))
    }

    fn remove<'a>(&'a self, container: &'a str) -> Answer<'a, ()> {
        self.note("remove", self.engine.remove(container))
    }

    fn exec<'a>(
        &'a self,
        container: &'a str,
        command: &'a str,
        patience: Duration,
    ) -> Answer<'a, Executed> {
        self.note("exec", self.engine.exec(container, command, patience))
    }

    fn logs<'a>(&'a self, container: &'a str, since_s: u64, follow: bool) -> Entries<'a> {
        self.engine.logs(container, since_s, follow)
    }

    fn hints<'a>(&'a self, host: &'a str) -> BoxStream<'a, Hint> {
        self.engine.hints(host)
    }
}
