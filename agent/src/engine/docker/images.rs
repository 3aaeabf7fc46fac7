//! Images: fetching them, what there is, removing them.

use std::collections::BTreeMap;

use bollard::{
    auth::DockerCredentials,
    models::CreateImageInfo,
    query_parameters::{
        CreateImageOptions, ListContainersOptions, ListImagesOptions, RemoveImageOptions,
    },
};
use futures_util::StreamExt;
use paasta_agent_core::{
    collect::{HeldImage, Stock},
    observed::LocalImage,
};
use paasta_common::{report::PullProgress, time::Timestamp};
use paasta_process::docker_login::{AuthError, Auths, repository_and_tag};
use tokio::sync::watch;

use super::{DockerEngine, told};
use crate::engine::EngineError;

/// Layers of one image that progress is told of, at most.
const LAYERS_MAX: usize = 1_000;

impl DockerEngine {
    /// An image that is here: its digest, or its id where it has none, and where its relative
    /// paths count from.
    pub(super) async fn image(&self, image: &str) -> Result<Option<LocalImage>, EngineError> {
        let found = self.client().await?.inspect_image(image).await;
        match found.map_err(told) {
            Ok(found) => {
                let (repository, _) = repository_and_tag(image);
                let digests = found.repo_digests.unwrap_or_default();
                let of_it = digests.iter().find_map(|name| {
                    let (from, digest) = name.split_once('@')?;
                    (from == repository).then(|| digest.to_owned())
                });
                let config = found.config.unwrap_or_default();
                Ok(Some(LocalImage {
                    digest: of_it.or(found.id).unwrap_or_default(),
                    working_dir: config.working_dir.filter(|dir| !dir.is_empty()),
                }))
            }
            Err(EngineError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn fetch(
        &self,
        image: &str,
        told_of: &watch::Sender<PullProgress>,
    ) -> Result<(), EngineError> {
        let (repository, tag) = repository_and_tag(image);
        let options = CreateImageOptions {
            from_image: Some(repository.to_owned()),
            tag: Some(tag.to_owned()),
            ..CreateImageOptions::default()
        };
        let credentials = credentials(&self.credentials, image)?;
        let client = self.client().await?;
        let mut steps = client.create_image(Some(options), None, credentials);
        let mut layers = Layers::default();
        while let Some(step) = steps.next().await {
            if layers.take(step.map_err(told)?) {
                told_of.send_replace(layers.sum());
            }
        }
        Ok(())
    }

    /// Every image with a name, and what every container was made from, ours or not.
    pub(super) async fn stock(&self) -> Result<Stock, EngineError> {
        let client = self.client().await?;
        let all = ListContainersOptions {
            all: true,
            ..ListContainersOptions::default()
        };
        // The images first: one that comes later is not in the list, and so never removed.
        let images = client
            .list_images(None::<ListImagesOptions>)
            .await
            .map_err(told)?;
        let containers = client.list_containers(Some(all)).await.map_err(told)?;
        let used = containers
            .into_iter()
            .flat_map(|held| [held.image_id, held.image])
            .flatten();
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        let images = images.into_iter().map(|image| HeldImage {
            id: image.id,
            names: image
                .repo_tags
                .into_iter()
                .filter(|name| name != "<none>:<none>")
                .collect(),
            digests: image.repo_digests,
            bytes: number(image.size),
            created_at: Timestamp(number(image.created).saturating_mul(1_000)),
        });
        Ok(Stock {
            images: images.collect(),
            used: used.collect(),
        })
    }

    /// Takes the name off the image; the last name takes the image along. Never by force: dockerd
    /// refuses what a container uses.
    pub(super) async fn forget(&self, name: &str) -> Result<(), EngineError> {
        let options = RemoveImageOptions {
            force: false,
            noprune: false,
            ..RemoveImageOptions::default()
        };
        let client = self.client().await?;
        match client
            .remove_image(name, Some(options), None)
            .await
            .map_err(told)
        {
            Ok(_) | Err(EngineError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn credentials(
    path: &std::path::Path,
    image: &str,
) -> Result<Option<DockerCredentials>, EngineError> {
    let refused = |error: AuthError| EngineError::Refused(paasta_process::chain::chain(&error));
    let auths = Auths::read(path).map_err(refused)?;
    let found = auths.for_image(image).map_err(refused)?;
    Ok(found.map(|login| DockerCredentials {
        username: login.username,
        password: login.password,
        identitytoken: login.identitytoken,
        serveraddress: Some(login.registry),
        ..DockerCredentials::default()
    }))
}

/// The layers of one fetch, by what dockerd says of each.
#[derive(Default)]
struct Layers {
    known: BTreeMap<String, Layer>,
}

#[derive(Default, Clone, Copy)]
struct Layer {
    done: bool,
    bytes_done: u64,
    bytes: u64,
}

impl Layers {
    /// Takes in a step; says whether the sum may have changed.
    fn take(&mut self, step: CreateImageInfo) -> bool {
        let (Some(id), Some(status)) = (step.id, step.status) else {
            return false;
        };
        let begins = matches!(
            status.as_str(),
            "Pulling fs layer" | "Already exists" | "Waiting"
        );
        // What has no layer's first word is the tag itself.
        if !begins && !self.known.contains_key(&id) {
            return false;
        }
        if self.known.len() >= LAYERS_MAX && !self.known.contains_key(&id) {
            return false;
        }
        let layer = self.known.entry(id).or_default();
        match status.as_str() {
            "Downloading" => {
                let detail = step.progress_detail.unwrap_or_default();
                let number = |number: Option<i64>| u64::try_from(number.unwrap_or(0)).unwrap_or(0);
                layer.bytes_done = number(detail.current);
                layer.bytes = number(detail.total).max(layer.bytes_done);
            }
            "Download complete" => layer.bytes_done = layer.bytes,
            "Pull complete" | "Already exists" => {
                layer.done = true;
                layer.bytes_done = layer.bytes;
            }
            _ => {}
        }
        true
    }

    fn sum(&self) -> PullProgress {
        let mut sum = PullProgress::default();
        for layer in self.known.values() {
            sum.layers += 1;
            sum.layers_done += u32::from(layer.done);
            sum.bytes += layer.bytes;
            sum.bytes_done += layer.bytes_done;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn step(id: &str, status: &str, detail: Option<(i64, i64)>) -> CreateImageInfo {
        CreateImageInfo {
            id: Some(id.to_owned()),
            status: Some(status.to_owned()),
            progress_detail: detail.map(|(current, total)| ProgressDetail {
                current: Some(current),
                total: Some(total),
            }),
            ..CreateImageInfo::default()
        }
    }

    #[test]
    fn layers_add_up_and_the_tag_is_none() {
        let mut layers = Layers::default();
        assert!(!layers.take(step("paasta-3f2a9c0d", "Pulling from services-a", None)));
        for (id, status, detail) in [
            ("a", "Pulling fs layer", None),
            ("b", "Already exists", None),
            ("a", "Downloading", Some((10, 40))),
        ] {
            assert!(layers.take(step(id, status, detail)));
        }
        let half = PullProgress {
            layers_done: 1,
            layers: 2,
            bytes_done: 10,
            bytes: 40,
        };
        assert_eq!(layers.sum(), half);
        layers.take(step("a", "Pull complete", None));
        let whole = PullProgress {
            layers_done: 2,
            bytes_done: 40,
            ..half
        };
        assert_eq!(layers.sum(), whole);
        layers.take(CreateImageInfo::default());
        assert_eq!(layers.sum(), whole);
    }
}
