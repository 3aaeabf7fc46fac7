//! An engine whose every call is counted and timed, also one that is given up.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture, stream::BoxStream};
use paasta_agent_core::{
    collect::Stock,
    disk::Storage,
    observed::{LocalImage, Seen},
};
use paasta_common::{container::ContainerSpec, report::PullProgress};
use tokio::{sync::watch, time::Instant};

use super::{Answer, Attached, Command, Engine, EngineError, Entries, Executed, Hint, Inspected};
use crate::metrics::Metrics;

/// Counts what another engine does.
pub struct MeteredEngine {
    inner: Arc<dyn Engine>,
    metrics: Metrics,
}

impl MeteredEngine {
    /// Counts what `inner` does.
    pub fn new(inner: Arc<dyn Engine>, metrics: Metrics) -> Self {
        Self { inner, metrics }
    }

    fn timed<'a, T: Send + 'a>(
        &'a self,
        operation: &'static str,
        answer: Answer<'a, T>,
    ) -> BoxFuture<'a, Result<T, EngineError>> {
        async move {
            let mut call = Call {
                metrics: &self.metrics,
                operation,
                began: Instant::now(),
                failure: Some("silent"),
            };
            let answer = answer.await;
            call.failure = match &answer {
                // That something is not there is an answer.
                Ok(_) | Err(EngineError::Missing(_)) => None,
                Err(EngineError::Refused(_)) => Some("refused"),
                Err(EngineError::Silent(_)) => Some("silent"),
            };
            answer
        }
        .boxed()
    }
}

/// A call under way; a caller that does not wait for its end drops it.
struct Call<'a> {
    metrics: &'a Metrics,
    operation: &'static str,
    began: Instant,
    failure: Option<&'static str>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.metrics.operated(self.operation, took, self.failure);
    }
}

impl Engine for MeteredEngine {
    fn list<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<Seen>> {
        self.timed("list", self.inner.list(host))
    }
    fn inspect<'a>(&'a self, container: &'a str) -> Answer<'a, Inspected> {
        self.timed("inspect", self.inner.inspect(container))
    }
    fn image<'a>(&'a self, image: &'a str) -> Answer<'a, Option<LocalImage>> {
        self.timed("image", self.inner.image(image))
    }
    fn pull<'a>(
        &'a self,
        image: &'a str,
        progress: &'a watch::Sender<PullProgress>,
    ) -> Answer<'a, ()> {
        self.timed("pull", self.inner.pull(image, progress))
    }
    fn layer_bytes<'a>(&'a self, container: &'a str) -> Answer<'a, u64> {
        self.timed("layer", self.inner.layer_bytes(container))
    }
    fn storage(&self) -> Answer<'_, Storage> {
        self.timed("storage", self.inner.storage())
    }
    fn stock(&self) -> Answer<'_, Stock> {
        self.timed("stock", self.inner.stock())
    }
    fn forget<'a>(&'a self, image: &'a str) -> Answer<'a, ()> {
        self.timed("forget", self.inner.forget(image))
    }
    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> Answer<'a, String> {
        self.timed("create", self.inner.create(spec))
    }
    fn start<'a>(&'a self, container: &'a str) -> Answer<'a, ()> {
        self.timed("start", self.inner.start(container))
    }
    fn stop<'a>(&'a self, container: &'a str, grace_ms: u64) -> Answer<'a, ()> {
        self.timed("stop", self.inner.stop(container, grace_ms))
    }
    fn remove<'a>(&'a self, container: &'a str) -> Answer<'a, ()> {
        self.timed("remove", self.inner.remove(container))
    }
    fn exec<'a>(
        &'a self,
        container: &'a str,
        command: &'a str,
        patience: Duration,
    ) -> Answer<'a, Executed> {
        self.timed("exec", self.inner.exec(container, command, patience))
    }
    fn attach<'a>(&'a self, container: &'a str, command: &'a Command) -> Answer<'a, Attached> {
        self.timed("attach", self.inner.attach(container, command))
    }
    fn logs<'a>(&'a self, container: &'a str, since_s: u64, follow: bool) -> Entries<'a> {
        self.inner.logs(container, since_s, follow)
    }
    fn hints<'a>(&'a self, host: &'a str) -> BoxStream<'a, Hint> {
        self.inner.hints(host)
    }
}
