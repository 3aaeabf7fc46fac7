//! What the steps of a pipeline share: which service and which image they are about, and the
//! programs that they run.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use paasta_common::{
    id::ServiceName,
    soa::{SoaDir, service::Service},
};
use paasta_process::child::{self, Ended};
use tokio::process::Command;

use super::{Context, marking::guess, names};
use crate::{exit::Exit, terminal::note};

/// The longest a step may take unless something else is said: PaaSTA's hour.
pub(super) const LIMIT: &str = "1h";

/// Which service a step is about.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Of {
    /// The service [default: the name of this directory, without `services-`]
    #[arg(short, long, value_name = "SERVICE")]
    pub service: Option<ServiceName>,
    /// The yelpsoa-configs directory [default: soa_dir of the configuration]
    #[arg(short = 'd', long, visible_short_alias = 'y', value_name = "DIR")]
    pub soa_dir: Option<PathBuf>,
}

impl Of {
    /// The service that is named, or whose repository this directory is.
    ///
    /// # Errors
    /// The directory's name is no service's.
    pub(super) fn service(&self) -> anyhow::Result<ServiceName> {
        if let Some(service) = &self.service {
            return Ok(service.clone());
        }
        let name = guess()?;
        ServiceName::new(&name).with_context(|| {
            format!(
                "which service? The name of this directory, {name:?}, is none's; give -s SERVICE"
            )
        })
    }

    /// The yelpsoa-configs directory.
    ///
    /// # Errors
    /// It cannot be read, or the configuration cannot.
    pub(super) fn soa(&self, context: &Context) -> anyhow::Result<SoaDir> {
        let path = match &self.soa_dir {
            Some(path) => path.clone(),
            None => PathBuf::from(context.system()?.soa_dir),
        };
        Ok(SoaDir::open(path)?)
    }

    /// What service.yaml says of the service.
    ///
    /// # Errors
    /// There is no such service, with those whose names are near; or its file is spoilt.
    pub(super) fn described(
        &self,
        context: &Context,
        service: &ServiceName,
    ) -> anyhow::Result<Service> {
        let soa = self.soa(context)?;
        let known = soa.services()?;
        if !known.contains(service) {
            let hint = names::hint(service.as_str(), known.iter().map(ServiceName::as_str));
            let path = soa.path().display();
            bail!("there is no service {service} in {path}{hint}; -d names the directory");
        }
        soa.service(service)
            .map_err(|problem| anyhow::anyhow!("{problem}"))
    }

    /// `HOST[:PORT]` of the registry that holds the service's images.
    ///
    /// # Errors
    /// It is set nowhere.
    pub(super) fn registry(
        &self,
        context: &Context,
        service: &ServiceName,
    ) -> anyhow::Result<String> {
        // The steps run where there may be no yelpsoa-configs; the cluster's registry is enough.
        let own = match self.soa(context) {
            Ok(_) => self.described(context, service)?.docker_registry,
            Err(error) if self.soa_dir.is_some() => return Err(error),
            Err(_) => None,
        };
        let registry = match own {
            Some(own) => Some(own),
            None => context.system()?.docker_registry,
        };
        let registry = registry.context(
            "docker_registry is set neither in the system configuration (--config-dir) nor in \
             service.yaml",
        )?;
        Ok(registry.trim_end_matches('/').to_owned())
    }
}

/// A commit that a version is made of.
///
/// # Errors
/// It is no full sha: an image is found by the very name it got.
pub(super) fn commit(text: &str) -> Result<String, String> {
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    // 64 are those of a repository that is made with SHA-256.
    match hex && matches!(text.len(), 40 | 64) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(
            "give the full sha, 40 (or 64) hexadecimal digits, as git rev-parse HEAD prints"
                .to_owned(),
        ),
    }
}

/// The repository of a service's images.
pub(super) fn repository(service: &ServiceName) -> String {
    format!("services-{service}")
}

/// The tag of the image of a commit.
pub(super) fn tag(commit: &str) -> String {
    format!("paasta-{commit}")
}

/// `make TARGET` in this directory, with DOCKER_TAG set, as the contract of services has it.
pub(super) fn make(target: &str, image: &str) -> Command {
    let mut command = Command::new("make");
    command.arg(target).env("DOCKER_TAG", image);
    command
}

/// Runs a program to its end; says what went wrong, and how, when it did.
///
/// # Errors
/// It cannot be started.
pub(super) async fn run(command: &mut Command, limit: Duration) -> anyhow::Result<Exit> {
    let what = words(command);
    let program = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let ended = child::run(command, limit)
        .await
        .with_context(|| format!("cannot run {program}; is it installed and in PATH?"))?;
    Ok(match ended {
        Ended::Exited(0) => Exit::Ok,
        Ended::Exited(code) => {
            note(&format!("`{what}` failed with exit code {code}"));
            Exit::Of(u8::try_from(code).unwrap_or(1).max(1))
        }
        Ended::Killed(number) => {
            note(&format!("`{what}` was ended by signal {number}"));
            Exit::Failed
        }
        Ended::TimedOut => {
            let limit = humantime::format_duration(limit);
            note(&format!(
                "`{what}` was still running after {limit} and was ended (--step-timeout)"
            ));
            Exit::Failed
        }
        Ended::Interrupted => {
            note(&format!("`{what}` was interrupted"));
            Exit::Unwell
        }
    })
}

fn words(command: &Command) -> String {
    let command = command.as_std();
    let all = std::iter::once(command.get_program()).chain(command.get_args());
    all.map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether this machine's dockerd has the image.
///
/// # Errors
/// docker cannot be run, or does not answer.
pub(super) async fn is_here(image: &str) -> anyhow::Result<bool> {
    let mut command = Command::new("docker");
    command
        .args(["image", "ls", "--quiet", image])
        .kill_on_drop(true);
    let output = tokio::time::timeout(DOCKER_LIMIT, command.output())
        .await
        .with_context(|| format!("docker did not answer within {} s", DOCKER_LIMIT.as_secs()))?
        .context("cannot run docker; is it installed and in PATH?")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("docker image ls {image}: {}", said.trim());
    }
    Ok(!output.stdout.iter().all(u8::is_ascii_whitespace))
}

/// For a docker command that only looks.
const DOCKER_LIMIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_sha_is_a_commit() {
        let sha = "0123456789abcdefABCDEF0123456789abcdef01";
        assert_eq!(commit(sha), Ok(sha.to_lowercase()));
        for refused in ["", "0123abcd", "HEAD", &"g".repeat(40), &"a".repeat(41)] {
            assert!(commit(refused).is_err(), "{refused}");
        }
        let service = ServiceName::new("hello").unwrap();
        assert_eq!(repository(&service), "services-hello");
        assert_eq!(tag("0123"), "paasta-0123");
    }
}
