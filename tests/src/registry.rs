//! An image registry for the hosts, and the example service in it.
//!
//! Images are built and pushed by the dockerd of one of the hosts: each of them accepts the
//! registry's plain HTTP, which the machine's own dockerd need not do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::hosts::{Host, Hosts};
use crate::run::{bounded, text};
use crate::tidy::root;

const SCRIPT_LIMIT: Duration = Duration::from_secs(120);
/// The first build compiles the example service.
const BUILD_LIMIT: Duration = Duration::from_secs(600);
const PORT: u16 = 5000;

/// A registry on the bridge of some hosts. It goes away with them.
#[derive(Debug)]
pub struct Registry {
    state: PathBuf,
    address: String,
    builders: Vec<Host>,
}

impl Registry {
    /// Starts it.
    pub fn up(hosts: &Hosts) -> Result<Self> {
        let registry = Self {
            state: hosts.state().to_owned(),
            address: format!("{}:{PORT}", hosts.gateway()),
            builders: hosts.all().to_vec(),
        };
        registry.start()?;
        Ok(registry)
    }

    /// `ADDRESS:5000`, as `docker_registry` in the system configuration wants it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Starts it again after [`Registry::stop`]; harmless when it runs.
    pub fn start(&self) -> Result<()> {
        self.script("up")
    }

    /// Stops it; its images stay.
    pub fn stop(&self) -> Result<()> {
        self.script("stop")
    }

    /// The name of the example service's image for a git sha.
    pub fn image(&self, sha: &str) -> String {
        format!("{}/services-hello:paasta-{sha}", self.address)
    }

    /// Builds the example service as the version `sha` and pushes it; returns the image's name.
    pub fn push_example(&self, sha: &str) -> Result<String> {
        self.push_variant(sha, &[])
    }

    /// Like [`Registry::push_example`], for a version that misbehaves: `CRASH_AFTER_MS`,
    /// `EXIT_CODE`, `START_DELAY_MS` or `UNHEALTHY` with a number (see the example's Dockerfile).
    pub fn push_variant(&self, sha: &str, behaviour: &[(&str, u32)]) -> Result<String> {
        let image = self.image(sha);
        let builder = self
            .builders
            .iter()
            .find(|host| host.docker(&["version"]).is_ok())
            .context("no host has a dockerd that could build an image")?;
        let build_args: Vec<String> = behaviour
            .iter()
            .map(|(key, value)| format!("--build-arg {key}={value}"))
            .collect();
        // Not the shared one: several tests may build at a time.
        let context = tempfile::tempdir()?;
        let example = root().join("deploy/example");
        text(
            bounded(BUILD_LIMIT, "make")
                .arg("-C")
                .arg(&example)
                .arg("cook-image")
                .arg(format!("DOCKER_TAG={image}"))
                .arg(format!("BUILD_ARGS={}", build_args.join(" ")))
                .arg(format!("CONTEXT={}", context.path().display()))
                .arg(format!(
                    "CARGO_TARGET_DIR={}",
                    example.join("target").display()
                ))
                .env(
                    "DOCKER_HOST",
                    format!("unix://{}", builder.socket.display()),
                ),
        )?;
        builder.docker(&["push", "-q", &image])?;
        Ok(image)
    }

    fn script(&self, verb: &str) -> Result<()> {
        let program: &Path = &root().join("deploy/demo/registry.sh");
        text(
            bounded(SCRIPT_LIMIT, program)
                .arg(verb)
                .arg("--state")
                .arg(&self.state),
        )
        .map(drop)
    }
}
