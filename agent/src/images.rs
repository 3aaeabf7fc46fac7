//! Fetching images: one fetch for each image at a time, however many replicas wait for it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use paasta_agent_core::observed::Event;
use tokio::sync::{Semaphore, mpsc};

use crate::{
    agent::Happened,
    engine::{Engine, EngineError, registry::is_immutable},
    lanes::within,
};

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
    pulling: BTreeSet<String>,
}

impl Images {
    /// Fetches through `engine`; what they come to goes to `inbox`.
    pub fn new(engine: Arc<dyn Engine>, inbox: mpsc::Sender<Happened>) -> Self {
        Self {
            engine,
            permits: Arc::new(Semaphore::new(PARALLEL)),
            inbox,
            pulling: BTreeSet::new(),
        }
    }

    /// The images being fetched.
    pub fn pulling(&self) -> &BTreeSet<String> {
        &self.pulling
    }

    /// Begins to fetch, unless that is under way.
    pub fn begin(&mut self, image: String) {
        if !self.pulling.insert(image.clone()) {
            return;
        }
        let (engine, permits) = (Arc::clone(&self.engine), Arc::clone(&self.permits));
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            let result = match permits.acquire().await {
                Ok(_permit) => fetch(engine.as_ref(), &image).await,
                Err(closed) => Err(EngineError::Silent(closed.to_string())),
            };
            let event = Event::Pulled {
                image,
                result: result.map_err(|error| error.to_string()),
            };
            // When the agent is gone nobody waits for the image.
            let _ = inbox.send(Happened::Event(event)).await;
        });
    }

    /// A fetch has ended.
    pub fn ended(&mut self, image: &str) {
        self.pulling.remove(image);
    }
}

async fn fetch(engine: &dyn Engine, image: &str) -> Result<(), EngineError> {
    if is_immutable(image) && within(LOOK_TIMEOUT, engine.has_image(image)).await? {
        return Ok(());
    }
    tracing::info!(image, "fetching image");
    let fetched = within(PULL_TIMEOUT, engine.pull(image)).await;
    if let Err(error) = &fetched {
        tracing::warn!(image, %error, "image was not fetched");
    }
    fetched
}
