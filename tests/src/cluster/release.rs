//! The service `hello` of a test: its yelpsoa-configs, its git remote, its images, and how a
//! version of it is deployed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::CLUSTER;
use super::operator::Operator;
use crate::git::Repository;
use crate::registry::Registry;
use crate::run::{bounded, text};
use crate::tidy::root;

const COPY_LIMIT: Duration = Duration::from_secs(20);
/// The deploy group of every instance of the example.
const GROUP: &str = "everything";
/// The file with the instances; `marathon-demo.yaml` is a link to it.
pub const INSTANCES: &str = "hello/marathon-SHARED.yaml";
/// The file that says which version to run.
pub const DEPLOYMENTS: &str = "hello/deployments.json";

/// The service.
#[derive(Debug)]
pub struct Service {
    soa: PathBuf,
    operator: Operator,
    registry: Registry,
    repository: Repository,
    deploys: u32,
}

impl Service {
    /// Makes the soa directory in `dir`, with the example's files, this remote as its `git_url`
    /// and no deployments.
    pub fn create(
        dir: &Path,
        operator: Operator,
        registry: Registry,
        remote: Repository,
    ) -> Result<Self> {
        let soa = dir.join("soa");
        let example = root().join("deploy/example/soa");
        text(bounded(COPY_LIMIT, "cp").arg("-a").arg(&example).arg(&soa))?;
        let service = Self {
            soa,
            operator,
            registry,
            repository: remote,
            deploys: 0,
        };
        let url = service.repository.url();
        service.edit("hello/service.yaml", |text| {
            let lines = text.lines().map(|line| match line.starts_with("git_url:") {
                true => format!("git_url: {url}\n"),
                false => format!("{line}\n"),
            });
            lines.collect()
        })?;
        Ok(service)
    }

    /// The yelpsoa-configs directory.
    pub fn soa(&self) -> &Path {
        &self.soa
    }

    /// The registry with its images.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// From now on the registry wants a login, which the build has.
    pub fn require_login(&mut self) -> Result<()> {
        self.registry.require_login()
    }

    /// Its git remote.
    pub fn repository(&mut self) -> &mut Repository {
        &mut self.repository
    }

    /// Reads a file of the soa directory.
    pub fn read(&self, file: &str) -> Result<String> {
        let path = self.soa.join(file);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Replaces a file of the soa directory at once, as configuration management does.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.soa.join(file);
        let name = path.file_name().context("a file has a name")?;
        let new = path.with_file_name(format!(".{}.new", name.to_string_lossy()));
        fs::write(&new, text)?;
        fs::rename(&new, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Edits a file; an edit that changes nothing is a mistake of the test.
    pub fn edit(&self, file: &str, edit: impl FnOnce(&str) -> String) -> Result<()> {
        let before = self.read(file)?;
        let after = edit(&before);
        ensure!(before != after, "the edit of {file} changes nothing");
        self.write(file, &after)
    }

    /// Replaces a piece of the instances' file that occurs in it exactly once.
    pub fn replace(&self, from: &str, to: &str) -> Result<()> {
        let count = self.read(INSTANCES)?.matches(from).count();
        ensure!(count == 1, "{from:?} occurs {count} times in {INSTANCES}");
        self.edit(INSTANCES, |text| text.replace(from, to))
    }

    /// Makes a version and its image; returns its sha. Nothing is deployed.
    pub fn build(&mut self, behaviour: &[(&str, u32)]) -> Result<String> {
        let sha = self.commit()?;
        self.registry.push_variant(&sha, behaviour)?;
        Ok(sha)
    }

    /// Makes a version that has no image; returns its sha.
    pub fn commit(&mut self) -> Result<String> {
        self.repository.commit("Change the version")
    }

    /// Pushes a deploy tag, later than all before, and runs `paasta generate-deployments`.
    pub fn deploy(&mut self, sha: &str) -> Result<()> {
        self.deploys += 1;
        let (minute, second) = (self.deploys / 60, self.deploys % 60);
        let time = format!("20260101T00{minute:02}{second:02}");
        let group = format!("{CLUSTER}.{GROUP}");
        self.repository.push_deploy_tag(&group, &time, sha)?;
        self.generate().map(drop)
    }

    /// `paasta generate-deployments`.
    pub fn generate(&self) -> Result<String> {
        let soa = self.soa.display().to_string();
        let words = ["generate-deployments", "-s", "hello", "-d", &soa];
        self.operator.succeed(&words)
    }

    /// Builds a good version and deploys it; returns its sha.
    pub fn release(&mut self) -> Result<String> {
        let sha = self.build(&[])?;
        self.deploy(&sha)?;
        Ok(sha)
    }
}
