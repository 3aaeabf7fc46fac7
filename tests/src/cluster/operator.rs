//! The user of `paasta`: runs the real program and reads its answers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use paasta_identity::Files;
use paasta_proto::v1::{InstanceStatus, MetastatusResponse, NodeResponse, StatusResponse};
use serde::de::DeserializeOwned;

use crate::run::bounded;

/// No command takes longer, even when no coordinator answers.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// Runs `paasta`.
#[derive(Clone, Debug)]
pub struct Operator {
    program: PathBuf,
    config_dir: PathBuf,
    coordinators: Vec<String>,
    /// How long a coordinator is tried; as long as by default where there is none. For some verbs
    /// the option is how long they wait.
    timeout: Option<&'static str>,
    /// The name in the environment; that of this process where there is none.
    user: Option<String>,
    tls: Option<Files>,
}

/// What a command said.
#[derive(Clone, Debug)]
pub struct Said {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Operator {
    /// An operator who knows the coordinators by these addresses.
    pub fn new(program: &Path, config_dir: &Path, coordinators: &[String]) -> Self {
        Self {
            program: program.to_owned(),
            config_dir: config_dir.to_owned(),
            coordinators: coordinators.to_vec(),
            timeout: None,
            user: None,
            tls: None,
        }
    }

    /// The same operator, under another name.
    pub fn named(&self, user: &str) -> Self {
        Self {
            user: Some(user.to_owned()),
            ..self.clone()
        }
    }

    /// The same operator, with a certificate.
    pub fn with(&self, files: Files) -> Self {
        Self {
            tls: Some(files),
            ..self.clone()
        }
    }

    /// The same operator, who does not wait for the end of an election.
    pub fn impatient(&self) -> Self {
        Self {
            timeout: Some("1s"),
            ..self.clone()
        }
    }

    /// The same operator, asking this coordinator only.
    pub fn asking(&self, coordinator: &str) -> Self {
        Self {
            coordinators: vec![coordinator.to_owned()],
            ..self.clone()
        }
    }

    /// Runs a command to its end, whatever its exit code.
    pub fn paasta(&self, arguments: &[&str]) -> Result<Said> {
        self.paasta_within(COMMAND_LIMIT, arguments)
    }

    /// The same, ended after so long.
    pub fn paasta_within(&self, limit: Duration, arguments: &[&str]) -> Result<Said> {
        let mut command = bounded(limit, &self.program);
        let command = self.connect(&mut command);
        if let Some(timeout) = self.timeout {
            command.args(["--timeout", timeout]);
        }
        let output = command
            .args(arguments)
            .output()
            .context("cannot run paasta")?;
        Ok(Said {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Adds the words and the environment by which a command line of `paasta` reaches the
    /// coordinators as this operator.
    pub fn connect<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Some(user) = &self.user {
            command.env("USER", user).env_remove("SUDO_USER");
        }
        if let Some(files) = &self.tls {
            command.arg("--tls-ca").arg(&files.ca);
            command.arg("--tls-cert").arg(&files.certificate);
            command.arg("--tls-key").arg(&files.key);
        }
        command
            .arg("--config-dir")
            .arg(&self.config_dir)
            .arg("--coordinators")
            .arg(self.coordinators.join(","))
            .env("NO_COLOR", "1")
            // The contexts of the user that runs the tests are not theirs.
            .env("XDG_CONFIG_HOME", self.config_dir.with_file_name("home"))
    }

    /// Runs a command that must succeed; returns what it wrote to stdout.
    pub fn succeed(&self, arguments: &[&str]) -> Result<String> {
        let said = self.paasta(arguments)?;
        ensure!(
            said.code == Some(0),
            "paasta {}: exit code {:?}\n{}{}",
            arguments.join(" "),
            said.code,
            said.stdout,
            said.stderr
        );
        Ok(said.stdout)
    }

    /// `paasta status` of one instance, `SERVICE.INSTANCE`, with its replicas.
    pub fn status(&self, id: &str) -> Result<InstanceStatus> {
        let (service, instance) = id.split_once('.').context("expected SERVICE.INSTANCE")?;
        let response: StatusResponse =
            self.json(&["status", "-s", service, "-i", instance, "-v", "--json"])?;
        let mut found = response.instances.into_iter();
        let status = found.next().with_context(|| format!("{id} is unknown"))?;
        ensure!(
            (&*status.service, &*status.instance) == (service, instance) && found.next().is_none(),
            "asked for {id}, told of {}.{}",
            status.service,
            status.instance
        );
        Ok(status)
    }

    /// `paasta status` of everything.
    pub fn whole_status(&self) -> Result<StatusResponse> {
        self.json(&["status", "-v", "--json"])
    }

    /// `paasta metastatus`.
    pub fn metastatus(&self) -> Result<MetastatusResponse> {
        self.json(&["metastatus", "--json"])
    }

    /// `paasta cluster node`: what each coordinator that answers says of itself.
    pub fn nodes(&self) -> Result<Vec<NodeResponse>> {
        #[derive(serde::Deserialize)]
        struct Answer {
            node: Option<NodeResponse>,
        }
        let answers: Vec<Answer> = self.json(&["cluster", "node", "--json"])?;
        Ok(answers.into_iter().filter_map(|one| one.node).collect())
    }

    /// `paasta why`, or why there is no answer: for messages.
    pub fn why(&self, id: &str) -> String {
        match self.paasta(&["why", id]) {
            Ok(said) => format!("{}{}", said.stdout, said.stderr),
            Err(error) => format!("paasta why: {error:#}"),
        }
    }

    /// The exit codes of these commands speak of what they found, so any answer in JSON counts.
    fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        let said = self.paasta(arguments)?;
        serde_json::from_str(&said.stdout).with_context(|| {
            format!(
                "paasta {}: exit code {:?}\n{}{}",
                arguments.join(" "),
                said.code,
                said.stdout,
                said.stderr
            )
        })
    }
}
