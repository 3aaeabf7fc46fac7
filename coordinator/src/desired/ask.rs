//! One question to one repository, and what follows from the answer.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use paasta_common::{
    config::SystemConfig,
    deployments::tags::Tags,
    id::{ClusterName, ServiceName},
    problem::Problem,
    soa::{SoaDir, SoaError, Targets},
    url::Url,
};
use paasta_coordinator_core::{
    desired::versions,
    state::{
        actor::Actor,
        command::{Command, SetVersions},
        outcome::Outcome,
        versions::{VERSIONS_BYTES_MAX, Versions},
    },
};
use paasta_process::{
    chain::chain,
    deployments::write_for_service,
    git::{self, GitError},
};

use crate::{
    machine::ClusterMachine,
    propose::{ProposalError, Proposer},
    store::IoMode,
};

/// A question about one service.
pub(super) struct Question<'a> {
    pub(super) service: &'a ServiceName,
    pub(super) machine: &'a ClusterMachine,
    pub(super) proposer: &'a Proposer,
    pub(super) system: &'a Arc<SystemConfig>,
    pub(super) dir: &'a Arc<PathBuf>,
    pub(super) io: IoMode,
}

/// What came of it.
pub(super) struct Asked {
    /// Of everything that the answer depends on.
    pub(super) hash: u64,
    /// Whether other versions run from now on.
    pub(super) changed: bool,
    /// What is to be mended in the repository; empty when nothing.
    pub(super) warning: String,
    /// Whether deployments.json could be written.
    pub(super) written: Result<(), String>,
}

/// Tags that count for nothing are named up to this number.
const NAMED_MAX: usize = 3;

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("there is no cluster yet")]
    NoCluster,
    #[error(transparent)]
    Soa(#[from] SoaError),
    #[error("{0}")]
    File(Problem),
    #[error("reading its files failed")]
    Read(#[source] std::io::Error),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("its versions take {0} bytes, more than {VERSIONS_BYTES_MAX}; declare fewer instances")]
    TooMuch(usize),
    #[error("its versions are not replicated")]
    Proposal(#[from] ProposalError),
    #[error("its versions were refused: {0}")]
    Refused(String),
}

impl AskError {
    /// Whether the server let us wait until the deadline, or sent until a limit: others of it may
    /// do the same.
    pub(super) fn timed_out(&self) -> bool {
        let limits =
            |error: &GitError| matches!(error, GitError::Timeout { .. } | GitError::Limit { .. });
        matches!(self, Self::Git(error) if limits(error))
    }
}

impl Question<'_> {
    /// Asks, replicates, writes. `last` is the hash of the last answer: the same again is nothing
    /// new. Returns the URL that was asked, too, as it is shown. None where the
    /// repository is not configured.
    pub(super) async fn ask(
        &self,
        last: Option<u64>,
        told: impl Fn(&str) -> Option<Actor>,
    ) -> (String, Result<Option<Asked>, AskError>) {
        let (url, targets) = match self.describe().await {
            Ok(described) => described,
            Err(error) => return (String::new(), Err(error)),
        };
        let Some(url) = url else {
            return (String::new(), Ok(None));
        };
        if targets.list.is_empty() && targets.unreadable.is_empty() && self.known().is_none() {
            let asked = Asked {
                hash: 0,
                changed: false,
                warning: String::new(),
                written: Ok(()),
            };
            return (url.to_string(), Ok(Some(asked)));
        }
        let asked = self.ask_at(&url, targets, last, told).await;
        (url.to_string(), asked.map(Some))
    }

    async fn ask_at(
        &self,
        url: &Url,
        targets: Targets,
        last: Option<u64>,
        told: impl Fn(&str) -> Option<Actor>,
    ) -> Result<Asked, AskError> {
        let cluster = self.cluster().ok_or(AskError::NoCluster)?;
        let limit = Duration::from_secs(self.system.deployments.remote_timeout_seconds);
        let refs = git::ls_remote(url, limit).await?.tips;
        let warning = warning(&refs);
        let hash = hash(&targets, &refs);
        let known = self.known();
        if last == Some(hash) && known.is_some() {
            let written = Ok(());
            return Ok(Asked {
                hash,
                changed: false,
                warning,
                written,
            });
        }
        let of = (targets.list.as_slice(), targets.unreadable.as_slice());
        let found = versions(self.service, &cluster, of, &refs, known.as_deref(), told);
        let bytes = found.deployments.to_text().len();
        if bytes > VERSIONS_BYTES_MAX {
            return Err(AskError::TooMuch(bytes));
        }
        let changed = known.as_deref() != Some(&found);
        if changed {
            self.replicate(found).await?;
        }
        let written = self.write(targets, refs).await;
        Ok(Asked {
            hash,
            changed,
            warning,
            written,
        })
    }

    async fn describe(&self) -> Result<(Option<Url>, Targets), AskError> {
        let (dir, system) = (Arc::clone(self.dir), Arc::clone(self.system));
        let service = self.service.clone();
        let read = self.io.run(move || Ok(describe(&dir, &service, &system)));
        read.await.map_err(AskError::Read)?
    }

    async fn replicate(&self, versions: Versions) -> Result<(), AskError> {
        let command = Command::SetVersions(SetVersions {
            service: self.service.clone(),
            versions: Some(Box::new(versions)),
        });
        match self.proposer.propose(command).await? {
            Outcome::Refused(reason) => Err(AskError::Refused(reason.to_string())),
            _ => Ok(()),
        }
    }

    /// For every cluster: the file may be distributed to all of them.
    async fn write(&self, targets: Targets, refs: BTreeMap<String, String>) -> Result<(), String> {
        let config = &self.system.deployments;
        if !config.write {
            return Ok(());
        }
        let to = config.dir.as_ref().map(PathBuf::from);
        let (dir, service) = (Arc::clone(self.dir), self.service.clone());
        let written = self.io.run(move || {
            let soa = SoaDir::open(dir.as_path());
            let written = soa.map_err(|error| chain(&error)).and_then(|soa| {
                let to = to.as_deref().unwrap_or(soa.path()).join(service.as_str());
                write_for_service(&soa, &service, &targets, &refs, &to)
                    .map(drop)
                    .map_err(|error| chain(&error))
            });
            Ok(written)
        });
        written.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    fn known(&self) -> Option<Arc<Versions>> {
        self.machine.read().versions(self.service).cloned()
    }

    fn cluster(&self) -> Option<ClusterName> {
        let state = self.machine.read();
        state.cluster().map(|cluster| cluster.name.clone())
    }
}

fn describe(
    dir: &Path,
    service: &ServiceName,
    system: &SystemConfig,
) -> Result<(Option<Url>, Targets), AskError> {
    let soa = SoaDir::open(dir)?;
    let targets = soa.targets(service, system)?;
    let described = soa.service(service).map_err(AskError::File)?;
    Ok((described.repository(service, system), targets))
}

/// What is to be mended in these refs; empty when nothing.
fn warning(refs: &BTreeMap<String, String>) -> String {
    let tags = Tags::read(refs);
    let names = tags.timeless();
    if names.is_empty() {
        return String::new();
    }
    let more = match names.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named = &names[..names.len().min(NAMED_MAX)];
    format!(
        "the time in the name of {}{more} does not exist: such a tag counts for nothing; delete it",
        named.join(", ")
    )
}

fn hash(targets: &Targets, refs: &BTreeMap<String, String>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for target in &targets.list {
        let names = (target.cluster.as_str(), target.instance.as_str());
        (names, &target.deploy_group, &target.branch).hash(&mut hasher);
    }
    for cluster in &targets.unreadable {
        cluster.as_str().hash(&mut hasher);
    }
    refs.hash(&mut hasher);
    hasher.finish()
}
