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
    /// Wants a login, as this file of users says.
    users: Option<PathBuf>,
}

/// The login of a registry that wants one: base64 of `paasta:secret`.
pub const LOGIN: &str = "cGFhc3RhOnNlY3JldA==";
/// Another: base64 of `paasta:wrong`.
pub const WRONG_LOGIN: &str = "cGFhc3RhOndyb25n";
/// The same as a line of an htpasswd file: bcrypt, the only kind the registry takes.
const USERS: &str = "paasta:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

impl Registry {
    /// Starts it.
    pub fn up(hosts: &Hosts) -> Result<Self> {
        let registry = Self {
            state: hosts.state().to_owned(),
            address: format!("{}:{PORT}", hosts.gateway()),
            builders: hosts.all().to_vec(),
            users: None,
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

    /// Starts it again as one that wants a login; the push has it.
    pub fn require_login(&mut self) -> Result<()> {
        let dir = self.state.join("registry");
        let users = dir.join("users");
        std::fs::write(&users, USERS)?;
        let config = self.docker_config();
        std::fs::create_dir_all(&config)?;
        std::fs::write(config.join("config.json"), self.docker_login(LOGIN))?;
        self.users = Some(users);
        self.stop()?;
        self.start()
    }

    /// A docker config.json with this login.
    pub fn docker_login(&self, auth: &str) -> String {
        format!(
            r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#,
            self.address
        )
    }

    /// Where the builders' login is.
    fn docker_config(&self) -> PathBuf {
        self.state.join("registry/docker")
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
        let config = self.docker_config().display().to_string();
        let push = ["push", "-q", &image];
        match &self.users {
            Some(_) => builder.docker(&[&["--config", &config], &push[..]].concat())?,
            None => builder.docker(&push)?,
        };
        Ok(image)
    }

    fn script(&self, verb: &str) -> Result<()> {
        let program: &Path = &root().join("deploy/demo/registry.sh");
        let mut command = bounded(SCRIPT_LIMIT, program);
        command.arg(verb).arg("--state").arg(&self.state);
        if let Some(users) = &self.users {
            command.arg("--htpasswd").arg(users);
        }
        text(&mut command).map(drop)
    }
}
