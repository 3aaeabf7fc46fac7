//! Where dockerd keeps images and containers, what a writable layer holds, and containers whose
//! writable layer the storage driver limits.

use std::path::{Path, PathBuf};

use bollard::{
    errors::Error, models::SystemInfo, query_parameters::CreateContainerOptions,
    query_parameters::InspectContainerOptions,
};
use paasta_agent_core::disk::{Space, Storage};
use paasta_common::container::ContainerSpec;
use paasta_process::simulated;

use super::{DockerEngine, create_body, told};
use crate::engine::EngineError;

/// The name that `docker info` gives to the file system below its driver.
const BACKING: &str = "Backing Filesystem";
/// What is in dockerd's words when its driver refuses to limit a writable layer.
const NO_LIMIT: &str = "storage-opt";

impl DockerEngine {
    /// Bytes of the container's writable layer, as dockerd counts them.
    pub(super) async fn layer(&self, container: &str) -> Result<u64, EngineError> {
        let options = InspectContainerOptions { size: true };
        let client = self.client().await?;
        let found = client.inspect_container(container, Some(options)).await;
        let bytes = found.map_err(told)?.size_rw.unwrap_or(0);
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// The driver and the space of dockerd's directory.
    pub(super) async fn info(&self) -> Result<Storage, EngineError> {
        let info = self.client().await?.info().await.map_err(told)?;
        let mut storage = storage(info);
        let root = PathBuf::from(&storage.root);
        let space = simulated::blocking(move || space(&root)).await;
        storage.space = space.ok().flatten();
        // What a refusal has shown stays known: the driver alone does not tell of quotas.
        self.limits.lock().get_or_insert(storage.can_limit());
        Ok(storage)
    }

    /// Makes a container. A limit of its writable layer is left out where the driver has none, or
    /// refuses it: the agent measures all the same.
    pub(super) async fn make(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        if spec.disk_limit_mb == 0 {
            return self.make_as(spec).await;
        }
        let plain = || ContainerSpec {
            disk_limit_mb: 0,
            ..spec.clone()
        };
        if !self.can_limit().await {
            return self.make_as(&plain()).await;
        }
        match self.make_as(spec).await {
            Err(EngineError::Refused(words)) if words.contains(NO_LIMIT) => {
                tracing::warn!(words, "the storage driver does not limit containers");
                *self.limits.lock() = Some(false);
                self.make_as(&plain()).await
            }
            made => made,
        }
    }

    async fn make_as(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        let options = CreateContainerOptions {
            name: Some(spec.name.clone()),
            ..CreateContainerOptions::default()
        };
        let client = self.client().await?;
        match client
            .create_container(Some(options), create_body(spec))
            .await
        {
            Ok(created) => Ok(created.id),
            Err(Error::DockerResponseServerError {
                status_code: 409,
                message,
            }) => self.adopt(spec, message).await,
            Err(error) => Err(told(error)),
        }
    }

    /// A driver that cannot be asked for limits nothing.
    async fn can_limit(&self) -> bool {
        let known = *self.limits.lock();
        match known {
            Some(known) => known,
            None => self.info().await.is_ok_and(|storage| storage.can_limit()),
        }
    }
}

fn storage(info: SystemInfo) -> Storage {
    let mut status = info.driver_status.into_iter().flatten();
    let backing = status.find(|pair| pair.first().is_some_and(|name| name == BACKING));
    Storage {
        driver: info.driver.unwrap_or_default(),
        backing: backing
            .and_then(|pair| pair.into_iter().nth(1))
            .unwrap_or_default(),
        root: info.docker_root_dir.unwrap_or_default(),
        space: None,
    }
}

/// None where it cannot be measured.
fn space(root: &Path) -> Option<Space> {
    let found = paasta_process::space::of(root).ok()?;
    Some(Space {
        used_bytes: found.used,
        free_bytes: found.free,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_info_says_is_read() {
        let pair = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
        let info = SystemInfo {
            driver: Some("overlay2".to_owned()),
            driver_status: Some(vec![
                vec![],
                pair("Backing Filesystem", "xfs"),
                pair("Supports d_type", "true"),
            ]),
            docker_root_dir: Some("/var/lib/docker".to_owned()),
            ..SystemInfo::default()
        };
        let found = storage(info);
        assert_eq!(
            (
                found.driver.as_str(),
                found.backing.as_str(),
                found.root.as_str()
            ),
            ("overlay2", "xfs", "/var/lib/docker")
        );
        assert_eq!(storage(SystemInfo::default()), Storage::default());
        let here = space(Path::new("/")).unwrap();
        assert!(here.used_bytes > 0 && here.percent() <= 100);
        assert_eq!(space(Path::new("/nonexistent/docker")), None);
    }
}
