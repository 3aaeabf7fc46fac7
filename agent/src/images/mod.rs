//! Fetching images: one fetch for each image at a time, however many replicas wait for it; and
//! removing those that exceed their budget ([`collect`]).

pub mod collect;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use paasta_agent_core::{
    images::PullFailure,
    observed::{Event, LocalImage},
};
use paasta_common::report::{ImageProblem, PullProgress};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::AbortHandle,
};

use crate::{
    engine::{Engine, EngineError},
    inbox::Happened,
    lanes::within,
};
use collect::Going;
use paasta_process::docker_login::is_immutable;

/// How long a fetch may take.
const PULL_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// How long the engine may take to say whether it has an image.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Fetches at a time.
const PARALLEL: usize = 4;

/// Fetches under way.
pub struct Images {
    engine: Arc<dyn Engine>,
    permits: Arc<Semaphore>,
    inbox: mpsc::Sender<Happened>,
    pulling: BTreeMap<String, Fetch>,
    /// Images that are being removed.
    pub going: Going,
    /// The number of the last fetch: what an earlier one of the same image comes to is not news.
    last: u64,
}

struct Fetch {
    number: u64,
    progress: watch::Receiver<PullProgress>,
    task: AbortHandle,
}

impl Images {
    /// Fetches through `engine`; what they come to goes to `inbox`.
    pub fn new(engine: Arc<dyn Engine>, inbox: mpsc::Sender<Happened>) -> Self {
        Self {
            engine,
            permits: Arc::new(Semaphore::new(PARALLEL)),
            inbox,
            pulling: BTreeMap::new(),
            going: Going::default(),
            last: 0,
        }
    }

    /// The images being fetched.
    pub fn pulling(&self) -> BTreeSet<String> {
        self.pulling.keys().cloned().collect()
    }

    /// How far the fetch of an image has come, if it is being fetched.
    pub fn progress(&self, image: &str) -> Option<PullProgress> {
        Some(*self.pulling.get(image)?.progress.borrow())
    }

    /// Begins to fetch, unless that is under way.
    pub fn begin(&mut self, image: String) {
        if self.pulling.contains_key(&image) {
            return;
        }
        self.last += 1;
        let number = self.last;
        let (told, progress) = watch::channel(PullProgress::default());
        let (engine, permits) = (Arc::clone(&self.engine), Arc::clone(&self.permits));
        let (inbox, going, name) = (self.inbox.clone(), self.going.clone(), image.clone());
        let task = tokio::spawn(async move {
            going.gone(&name).await;
            let fetched = match permits.acquire().await {
                Ok(_permit) => fetch(engine.as_ref(), &name, &told).await,
                Err(closed) => Err(EngineError::Silent(closed.to_string())),
            };
            let event = Event::Pulled {
                image: name,
                result: fetched.map_err(failure),
            };
            // When the agent is gone nobody waits for the image.
            let _ = inbox.send(Happened::Fetched { number, event }).await;
        });
        let fetch = Fetch {
            number,
            progress,
            task: task.abort_handle(),
        };
        self.pulling.insert(image, fetch);
    }

    /// Calls a fetch off. dockerd stops when nobody listens any more; what it has is kept.
    pub fn cancel(&mut self, image: &str) {
        if let Some(fetch) = self.pulling.remove(image) {
            tracing::info!(image, "fetch called off: no replica waits for it");
            fetch.task.abort();
        }
    }

    /// A fetch has ended; says whether that is news.
    pub fn ended(&mut self, image: &str, number: u64) -> bool {
        let current = self
            .pulling
            .get(image)
            .is_some_and(|fetch| fetch.number == number);
        if current {
            self.pulling.remove(image);
        }
        current
    }
}

async fn fetch(
    engine: &dyn Engine,
    image: &str,
    told: &watch::Sender<PullProgress>,
) -> Result<LocalImage, EngineError> {
    if is_immutable(image)
        && let Some(held) = within(LOOK_TIMEOUT, engine.image(image)).await?
    {
        return Ok(held);
    }
    tracing::info!(image, "fetching image");
    let fetched = within(PULL_TIMEOUT, engine.pull(image, told)).await;
    if let Err(error) = &fetched {
        tracing::warn!(image, %error, "image was not fetched");
    }
    fetched?;
    match within(LOOK_TIMEOUT, engine.image(image)).await? {
        Some(held) => {
            tracing::info!(image, digest = held.digest, "image fetched");
            Ok(held)
        }
        None => Err(EngineError::Refused(
            "it was fetched and is not there; another removed it".to_owned(),
        )),
    }
}

fn failure(error: EngineError) -> PullFailure {
    match error {
        EngineError::Missing(words) | EngineError::Refused(words) => PullFailure::told(&words),
        // The engine, not the registry, did not answer.
        EngineError::Silent(words) => PullFailure {
            problem: ImageProblem::Failed,
            words: format!("no answer from the container runtime: {words}"),
        },
    }
}
