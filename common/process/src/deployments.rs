//! Writing a service's deployments.json from what its git repository says.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use paasta_common::{
    config::SystemConfig,
    deployments::{FILE, generate},
    id::ServiceName,
    problem::Problem,
    soa::{SoaDir, SoaError, Targets},
};

use crate::{
    atomic_file::{self, WriteError},
    git::{self, GitError},
};

/// How long a remote may take to tell its refs.
pub const GIT_LIMIT: Duration = Duration::from_secs(60);
/// Everyone may read what runs; the umask says who else may write.
const MODE: u32 = 0o666;

/// What generating came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The file has new content.
    Written {
        /// Files of the service that could not be read; what was known of them was kept.
        problems: Vec<Problem>,
    },
    /// The file had that content already.
    Unchanged {
        /// As above.
        problems: Vec<Problem>,
    },
    /// The service declares no instance, and never had a deployment.
    NothingDeclared,
}

/// Why a deployments.json was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The service's directory cannot be listed.
    #[error(transparent)]
    Soa(#[from] SoaError),
    /// A file that everything depends on cannot be used.
    #[error("{0}")]
    File(Problem),
    /// Neither the service nor the operator names its repository.
    #[error(
        "{service} has no repository: set git_url in its service.yaml, or \
         deployments.git_url_template in the configuration"
    )]
    NoRepository {
        /// The service.
        service: ServiceName,
    },
    /// Git does not say what is deployed.
    #[error("{service}: the deployed versions are not known, the last known ones stay")]
    Git {
        /// The service.
        service: ServiceName,
        /// Why.
        #[source]
        source: GitError,
    },
    /// The directory that it belongs into cannot be made.
    #[error("cannot make the directory {}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Asks the git repository of `service` what is deployed and writes its deployments.json. The
/// file is replaced only when its content changes, and stays byte for byte as it is when git
/// cannot be asked.
///
/// # Errors
/// [`GenerateError`]; the old file stays.
pub async fn generate_for_service(
    soa: &SoaDir,
    service: &ServiceName,
    system: &SystemConfig,
) -> Result<Outcome, GenerateError> {
    let targets = soa.targets(service, system)?;
    let path = file(soa, service);
    if targets.list.is_empty() && targets.unreadable.is_empty() && !path.exists() {
        return Ok(Outcome::NothingDeclared);
    }
    let described = soa.service(service).map_err(GenerateError::File)?;
    let url = described.repository(service, system);
    let url = url.ok_or_else(|| GenerateError::NoRepository {
        service: service.clone(),
    })?;
    let refs = git::ls_remote(&url, GIT_LIMIT).await;
    let refs = refs.map_err(|source| GenerateError::Git {
        service: service.clone(),
        source,
    })?;
    let directory = soa.path().join(service.as_str());
    let written = write_for_service(soa, service, &targets, &refs.tips, &directory)?;
    let problems = targets.problems;
    Ok(match written {
        atomic_file::Outcome::Written => Outcome::Written { problems },
        atomic_file::Outcome::Unchanged => Outcome::Unchanged { problems },
    })
}

/// Writes the deployments.json that `refs` give to `targets` into `directory`, which is made if it
/// is missing. What was known of targets that cannot be read stays.
///
/// # Errors
/// [`GenerateError`]; the old file stays.
pub fn write_for_service(
    soa: &SoaDir,
    service: &ServiceName,
    targets: &Targets,
    refs: &BTreeMap<String, String>,
    directory: &Path,
) -> Result<atomic_file::Outcome, GenerateError> {
    let mut deployments = generate(service, &targets.list, refs);
    if !targets.unreadable.is_empty() {
        let old = soa.deployments(service).map_err(GenerateError::File)?;
        deployments.keep(&old.unwrap_or_default(), service, &targets.unreadable);
    }
    if !directory.exists() {
        fs::create_dir_all(directory).map_err(|source| GenerateError::Directory {
            directory: directory.to_owned(),
            source,
        })?;
    }
    let text = deployments.to_text();
    Ok(atomic_file::write(
        &directory.join(FILE),
        text.as_bytes(),
        MODE,
    )?)
}

fn file(soa: &SoaDir, service: &ServiceName) -> PathBuf {
    soa.path().join(service.as_str()).join(FILE)
}

#[cfg(test)]
mod tests;
