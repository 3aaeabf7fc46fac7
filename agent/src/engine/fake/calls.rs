//! The calls of the engine in memory.

use std::time::Duration;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use paasta_agent_core::{
    collect::{HeldImage, Stock},
    disk::Storage,
    labels,
    observed::{ContainerState, LocalImage, Seen},
};
use paasta_common::{container::ContainerSpec, report::PullProgress};
use tokio::{
    sync::{broadcast, watch},
    time::timeout,
};

use super::{Deed, FakeContainer, FakeEngine};
use crate::engine::{Answer, Engine, EngineError, Entries, Executed, Hint, Inspected};

impl Engine for FakeEngine {
    fn list<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<Seen>> {
        Box::pin(async move {
            self.gate(None).await?;
            let mut inner = self.inner.lock();
            if !inner.faults.lists_are_late {
                inner.late_list = None;
            } else if inner.late_list.is_none() {
                inner.late_list = Some(inner.containers.clone());
            }
            let shown = inner.late_list.as_ref().unwrap_or(&inner.containers);
            let ours = shown.values().filter(|held| {
                held.spec.labels.get(labels::HOST).map(String::as_str) == Some(host)
            });
            Ok(ours.map(FakeContainer::seen).collect())
        })
    }

    fn inspect<'a>(&'a self, container: &'a str) -> Answer<'a, Inspected> {
        Box::pin(async move {
            self.gate(Some(container)).await?;
            self.with(container, |held| Inspected {
                container: held.id.clone(),
                name: held.spec.name.clone(),
                running: held.state.is_alive(),
                paused: held.state == ContainerState::Paused,
                memory_kills: Some(held.memory_kills),
                exit_code: held.exit_code,
                ended_at: held.ended_at,
                memory_killed: held.memory_kills > 0,
                labels: held.spec.labels.clone(),
            })
        })
    }

    fn image<'a>(&'a self, image: &'a str) -> Answer<'a, Option<LocalImage>> {
        Box::pin(async move {
            self.gate(None).await?;
            let inner = self.inner.lock();
            Ok(inner.images.get(image).map(|held| LocalImage {
                digest: held.id.clone(),
                working_dir: inner.working_dirs.get(image).cloned(),
            }))
        })
    }

    fn pull<'a>(
        &'a self,
        image: &'a str,
        progress: &'a watch::Sender<PullProgress>,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            *self.inner.lock().pulls.entry(image.to_owned()).or_default() += 1;
            self.gate(None).await?;
            let half = PullProgress {
                layers_done: 1,
                layers: 2,
                bytes_done: 10,
                bytes: 20,
            };
            progress.send_replace(half);
            if self.inner.lock().faults.slow_images.contains(image) {
                std::future::pending::<()>().await;
            }
            let mut inner = self.inner.lock();
            if inner.faults.missing_images.contains(image) {
                return Err(EngineError::Missing(format!(
                    "manifest for {image} not found: manifest unknown"
                )));
            }
            let held = HeldImage {
                id: format!("sha256:{image}"),
                names: vec![image.to_owned()],
                digests: Vec::new(),
                bytes: 100,
                created_at: self.clock.now(),
            };
            inner.images.insert(image.to_owned(), held);
            Ok(())
        })
    }

    fn layer_bytes<'a>(&'a self, container: &'a str) -> Answer<'a, u64> {
        Box::pin(async move {
            self.gate(Some(container)).await?;
            self.with(container, |held| held.layer_bytes)
        })
    }

    fn storage(&self) -> Answer<'_, Storage> {
        Box::pin(async move {
            self.gate(None).await?;
            Ok(self.inner.lock().storage.clone())
        })
    }

    fn stock(&self) -> Answer<'_, Stock> {
        Box::pin(async move {
            self.gate(None).await?;
            let inner = self.inner.lock();
            let used = inner.containers.values();
            Ok(Stock {
                images: inner.images.values().cloned().collect(),
                used: used.map(|held| held.spec.image.clone()).collect(),
            })
        })
    }

    fn forget<'a>(&'a self, image: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            self.gate(None).await?;
            let mut inner = self.inner.lock();
            let used = inner.containers.values();
            if used.into_iter().any(|held| held.spec.image == image) {
                return Err(EngineError::Refused("a container uses it".to_owned()));
            }
            inner.images.remove(image);
            Ok(())
        })
    }

    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> Answer<'a, String> {
        Box::pin(async move {
            self.gate(Some(&spec.name)).await?;
            let id = self.make(spec)?;
            self.answer(id).await
        })
    }

    fn start<'a>(&'a self, container: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            self.gate(Some(container)).await?;
            let name = self.with(container, |held| {
                held.state = ContainerState::Running;
                held.spec.name.clone()
            })?;
            self.note(Deed::Started(name));
            self.answer(()).await
        })
    }

    fn stop<'a>(&'a self, container: &'a str, _grace_ms: u64) -> Answer<'a, ()> {
        Box::pin(async move {
            self.gate(Some(container)).await?;
            let name = self.with(container, |held| {
                held.state = ContainerState::Exited;
                held.exit_code.get_or_insert(143);
                held.spec.name.clone()
            })?;
            self.wrote.notify_waiters();
            self.note(Deed::Stopped(name));
            self.answer(()).await
        })
    }

    fn remove<'a>(&'a self, container: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            self.gate(Some(container)).await?;
            let name = self.with(container, |held| held.spec.name.clone())?;
            {
                let mut inner = self.inner.lock();
                if let Some(gone) = inner.containers.remove(&name) {
                    // As with Docker: what a container wrote goes with it.
                    inner.written.remove(&gone.id);
                }
            }
            self.note(Deed::Removed(name));
            self.answer(()).await
        })
    }

    fn exec<'a>(
        &'a self,
        container: &'a str,
        _command: &'a str,
        patience: Duration,
    ) -> Answer<'a, Executed> {
        Box::pin(async move {
            match timeout(patience, self.gate(Some(container))).await {
                // It did not end in time, and is killed.
                Err(_) => return Ok(Executed::default()),
                Ok(begun) => begun?,
            }
            self.with(container, |_| ())?;
            Ok(Executed {
                code: Some(self.inner.lock().faults.exec_code),
                last_line: String::new(),
            })
        })
    }

    fn logs<'a>(&'a self, container: &'a str, since_s: u64, follow: bool) -> Entries<'a> {
        let begun = async move {
            self.gate(Some(container)).await?;
            self.with(container, |held| held.id.clone())
        };
        let entries = stream::once(begun).flat_map(move |found| match found {
            Ok(id) => self.entries(id, since_s, follow),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        });
        entries.boxed()
    }

    fn hints<'a>(&'a self, _host: &'a str) -> BoxStream<'a, Hint> {
        let receiver = self.hints.subscribe();
        stream::unfold(receiver, |mut receiver| async move {
            use broadcast::error::RecvError;
            loop {
                match receiver.recv().await {
                    Ok(hint) => return Some((hint, receiver)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }
}
