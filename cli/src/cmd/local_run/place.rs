//! Where a local run lives on this machine: its name, its port, its sandbox.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use paasta_agent_core::{
    compose::{Place, container, needs_port},
    labels::{INSTANCE, SERVICE},
    settings::HostSettings,
};
use paasta_common::{
    assignment::{AssignedReplica, Want},
    container::ContainerSpec,
    id::HostId,
};

use super::wanted::Wanted;
use crate::terminal::note;

/// A place for one run.
#[derive(Debug)]
pub(super) struct Local {
    task: String,
    name: String,
    port: u16,
    sandboxes: PathBuf,
}

impl Local {
    /// A name that nobody has, and the given port or a free one.
    ///
    /// # Errors
    /// There is no free port.
    pub(super) fn choose(port: Option<u16>) -> anyhow::Result<Self> {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let (_, random) = id.split_at(id.len() - 12);
        let user = std::env::var("USER").unwrap_or_default();
        let user: String = user.chars().filter(char::is_ascii_alphanumeric).collect();
        let port = match port {
            Some(port) => port,
            None => TcpListener::bind(("0.0.0.0", 0))
                .and_then(|listener| listener.local_addr())
                .context("there is no free port on this machine")?
                .port(),
        };
        Ok(Self {
            task: format!("local-run-{random}"),
            name: format!("paasta_local_run_{user}_{random}"),
            port,
            sandboxes: std::env::temp_dir().join("paasta-local-run"),
        })
    }

    /// The container, as the agent of a host would make it of an image with this working directory; and the volumes of the cluster that
    /// are not here, which docker would otherwise make as empty directories of root's.
    ///
    /// # Errors
    /// This machine's name is no host's.
    pub(super) fn container(
        &self,
        wanted: &Wanted,
        image_working_dir: Option<&str>,
    ) -> anyhow::Result<(ContainerSpec, Vec<String>)> {
        let name = nix::unistd::gethostname().context("this machine has no name")?;
        let host = HostId::new(&name.to_string_lossy())
            .context("this machine's name cannot be a host's")?;
        let sandboxes = self.sandboxes.to_string_lossy();
        let settings = HostSettings::new(host, "127.0.0.1", &sandboxes);
        let mut app = wanted.spec.app.as_ref().clone();
        let (here, gone): (Vec<_>, Vec<_>) = app
            .volumes
            .into_iter()
            .partition(|volume| Path::new(&volume.host_path).exists());
        app.volumes = here;
        let replica = AssignedReplica {
            instance: wanted.id.clone(),
            app: wanted.spec.app_id.clone(),
            spec: Arc::new(app),
            run: Arc::clone(&wanted.spec.run),
            want: Want::Run,
            tried: Default::default(),
        };
        // Not the labels by which agents find what is theirs: this is nobody's but its author's.
        let labels = BTreeMap::from([
            (SERVICE.to_owned(), wanted.id.service.to_string()),
            (INSTANCE.to_owned(), wanted.id.instance.to_string()),
        ]);
        let place = Place {
            image_working_dir,
            host: &settings,
            name: self.name.clone(),
            task: self.task.clone(),
            labels,
            host_port: self.port_of(wanted),
        };
        let mut made = container(&replica, &place);
        made.env
            .entry("PAASTA_LAUNCHED_BY".to_owned())
            .or_insert_with(launched_by);
        Ok((
            made,
            gone.into_iter().map(|volume| volume.host_path).collect(),
        ))
    }

    /// The port on this machine; none without a network.
    pub(super) fn port_of(&self, wanted: &Wanted) -> Option<u16> {
        needs_port(&wanted.spec.app).then_some(self.port)
    }

    /// Makes the sandbox, which anyone in the container may write to, as in the cluster.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn prepare(&self) -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.sandbox();
        let made = fs::create_dir_all(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o777)));
        made.with_context(|| format!("cannot make the sandbox {}", path.display()))
    }

    /// Removes the sandbox. What others wrote there may be theirs to remove.
    pub(super) fn tidy(&self) {
        let path = self.sandbox();
        if let Err(error) = fs::remove_dir_all(&path) {
            note(&format!("the sandbox {} stays: {error}", path.display()));
        }
    }

    fn sandbox(&self) -> PathBuf {
        self.sandboxes.join(&self.task)
    }
}

fn launched_by() -> String {
    std::env::var("USER").unwrap_or_else(|_| "local-run".to_owned())
}
