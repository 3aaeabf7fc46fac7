//! The verbs, a file each: ask, judge, hand over to [`crate::render`].

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use paasta_common::{config::SystemConfig, id::ClusterName};
use paasta_identity::{ClientCertificates, Files, Tls};
use paasta_process::config::{self, Strictness};
use serde::Serialize;

use crate::{
    args::{self, Global},
    client::{Address, Coordinators},
    exit::Exit,
    render::View,
    terminal,
};

pub mod absent;
pub mod autoscale;
pub mod backoff;
pub mod bounce;
pub mod brake;
pub mod check;
pub mod check_replication;
pub mod cleanup;
pub mod cluster;
pub mod completions;
pub mod cook_image;
pub mod coordinator;
pub mod emergency;
pub mod events;
pub mod generate_deployments;
pub mod history;
pub mod info;
pub mod itest;
pub mod list;
pub mod list_clusters;
pub mod local_run;
pub mod logs;
pub mod maintenance;
pub mod man;
pub mod marking;
pub mod metastatus;
pub mod new_service;
pub mod pipeline;
pub mod push_to_registry;
pub mod quorum;
pub mod revoke;
pub mod security_check;
pub mod settings;
pub mod snapshot;
pub mod status;
pub mod token;
pub mod validate;
pub mod version;
pub mod wait_for_deployment;
pub mod which;
pub mod why;

use marking::control::{self, Act};

mod asker;
mod confirm;
mod names;
mod operate;
mod overrides;
mod poke;
mod remotes;
mod step;

/// What every verb works with.
#[derive(Debug)]
pub struct Context {
    /// The options of every verb.
    pub global: Global,
    /// How standard output wants its text.
    pub view: View,
}

/// Runs a verb.
///
/// # Errors
/// What kept it from being done; [`crate::exit::of`] has its exit code.
pub async fn run(command: args::Command, context: &mut Context) -> anyhow::Result<Exit> {
    match command {
        args::Command::Status(args) => status::run(&args, context).await,
        args::Command::Watch(args) => status::watch::run(&args.shown, context).await,
        args::Command::Metastatus(args) => metastatus::run(&args, context).await,
        args::Command::List(args) => list::run(&args, context).await,
        args::Command::ListClusters(args) => list_clusters::run(&args, context),
        args::Command::Info(args) => info::run(&args, context),
        args::Command::Why(args) => why::run(&args, context).await,
        args::Command::Events(args) => events::run(&args, context).await,
        args::Command::Logs(args) => logs::run(&args, context).await,
        args::Command::CheckReplication(args) => check_replication::run(&args, context).await,
        args::Command::Maintenance(command) => maintenance::run(command, context).await,
        args::Command::Backoff(command) => backoff::run(command, context).await,
        args::Command::Brake(command) => brake::run(command, context).await,
        args::Command::Token(command) => token::run(command, context).await,
        args::Command::Cleanup(args) => cleanup::run(&args, context).await,
        args::Command::Settings(command) => settings::run(command, context).await,
        args::Command::Auth(command) => revoke::run(command, context).await,
        args::Command::Cluster(command) => cluster::run(command, context).await,
        args::Command::Coordinator(command) => coordinator::run(command, context).await,
        args::Command::Snapshot(command) => snapshot::run(command, context).await,
        args::Command::Bounce(command) => bounce::run(&command, context).await,
        args::Command::GenerateDeployments(args) => generate_deployments::run(&args, context).await,
        args::Command::Check(args) => check::run(&args, context).await,
        args::Command::CookImage(args) => cook_image::run(&args, context).await,
        args::Command::Itest(args) => itest::run(&args, context).await,
        args::Command::SecurityCheck(args) => security_check::run(&args, context).await,
        args::Command::PushToRegistry(args) => push_to_registry::run(&args, context).await,
        args::Command::LocalRun(args) => local_run::run(&args, context).await,
        args::Command::MarkForDeployment(args) => {
            marking::mark_for_deployment::run(&args, context).await
        }
        args::Command::WaitForDeployment(args) => wait_for_deployment::run(&args, context).await,
        args::Command::Rollback(args) => marking::rollback::run(&args, context).await,
        args::Command::Start(args) => control::run(Act::Start, &args, context).await,
        args::Command::Stop(args) => control::run(Act::Stop, &args, context).await,
        args::Command::Restart(args) => control::run(Act::Restart, &args, context).await,
        args::Command::ListDeployments(args) => {
            marking::list_deployments::run(&args, context).await
        }
        args::Command::GetLatestDeployment(args) => {
            marking::get_latest_deployment::run(&args, context).await
        }
        args::Command::History(args) => history::run(&args, context).await,
        args::Command::EmergencyStop(args) => emergency::stop(&args, context).await,
        args::Command::EmergencyStart(args) => emergency::start(&args, context).await,
        args::Command::EmergencyRestart(args) => emergency::restart(&args, context).await,
        args::Command::EmergencyScale(args) => emergency::scale(&args, context).await,
        args::Command::Autoscale(args) => autoscale::run(&args, context).await,
        args::Command::Validate(args) => validate::run(&args, context),
        args::Command::Completions(args) => completions::run(&args),
        args::Command::Man(args) => man::run(&args, context),
        args::Command::NewService(args) => new_service::run(&args, context),
        args::Command::Pipeline(args) => pipeline::run(&args, context),
        args::Command::Version => version::run(context),
        args::Command::Absent(words) => Ok(absent::run(&words)),
    }
}

impl Context {
    /// A context for the given options, seen from this process's terminal.
    pub fn new(global: Global) -> Self {
        let view = terminal::view();
        Self { global, view }
    }

    /// The coordinators to ask: as given, or as configured.
    ///
    /// # Errors
    /// None are named anywhere, or the configuration cannot be read.
    pub fn coordinators(&self) -> anyhow::Result<Coordinators> {
        self.reaching(self.addresses()?, self.global.timeout)
    }

    /// These coordinators, each call within `timeout`, by TLS when its files are named.
    ///
    /// # Errors
    /// The files of TLS cannot be used.
    pub fn reaching(
        &self,
        addresses: Vec<Address>,
        timeout: Duration,
    ) -> anyhow::Result<Coordinators> {
        Ok(Coordinators::new(addresses, timeout, self.tls()?))
    }

    /// TLS with the files that are named; nothing when none is.
    ///
    /// # Errors
    /// One of them is missing or cannot be used, or the certificate is not valid now.
    pub fn tls(&self) -> anyhow::Result<Option<Tls>> {
        let Some(files) = self.tls_files()? else {
            return Ok(None);
        };
        let tls = Tls::read(&files, ClientCertificates::Required)?;
        tls.credentials().check(SystemTime::now())?;
        Ok(Some(tls))
    }

    /// The files of TLS that are named; nothing when none is.
    ///
    /// # Errors
    /// One of them is not named.
    pub fn tls_files(&self) -> anyhow::Result<Option<Files>> {
        let Global {
            tls_ca,
            tls_cert,
            tls_key,
            ..
        } = &self.global;
        let (ca, certificate, key) = match (tls_ca, tls_cert, tls_key) {
            (None, None, None) => return Ok(None),
            (Some(ca), Some(certificate), Some(key)) => (ca, certificate, key),
            _ => anyhow::bail!(
                "--tls-ca, --tls-cert and --tls-key go together (or PAASTA_TLS_CA, \
                 PAASTA_TLS_CERT and PAASTA_TLS_KEY): name all three files, or none"
            ),
        };
        Ok(Some(Files {
            ca: ca.clone(),
            certificate: certificate.clone(),
            key: key.clone(),
        }))
    }

    /// The addresses of the coordinators of a cluster: those of `cli.clusters`, else those that are
    /// given or configured for everything.
    ///
    /// # Errors
    /// None are named anywhere, or the configuration cannot be read.
    pub fn addresses_of(&self, cluster: &ClusterName) -> anyhow::Result<Vec<Address>> {
        let system = self.system()?;
        match system.cli.clusters.get(cluster) {
            Some(named) => {
                let named = named.iter().map(|text| text.parse());
                let named: Result<_, _> = named.collect();
                named.with_context(|| format!("cli.clusters.{cluster} in the configuration"))
            }
            None => self.addresses(),
        }
    }

    /// The addresses that somebody named, here or in a configuration: without them, and without
    /// anything to say about it, there is nobody to be told anything.
    ///
    /// # Errors
    /// Nobody named any.
    pub fn known_addresses(&self) -> anyhow::Result<Vec<Address>> {
        let given = self.global.config_dir.as_deref();
        let configured = config::directory(given).exists();
        anyhow::ensure!(
            configured || !self.global.coordinators.is_empty(),
            "no coordinator is named"
        );
        self.addresses()
    }

    /// The addresses of the coordinators: as given, or as configured.
    ///
    /// # Errors
    /// None are named anywhere, or the configuration cannot be read.
    pub fn addresses(&self) -> anyhow::Result<Vec<Address>> {
        if !self.global.coordinators.is_empty() {
            return Ok(self.global.coordinators.clone());
        }
        let system = self.system().context(
            "no coordinator is named: give --coordinators HOST:PORT,... or PAASTA_COORDINATORS; \
             of cli.coordinators in the configuration",
        )?;
        let configured = system.cli.coordinators.iter().map(|text| text.parse());
        configured
            .collect::<Result<_, _>>()
            .context("cli.coordinators in the configuration")
    }

    /// The operator's configuration. A machine that has none, and was not told of one, has the
    /// defaults: everything that asks a coordinator can be said on the command line.
    ///
    /// # Errors
    /// The directory that was named is not there, or a file in it is wrong.
    pub fn system(&self) -> anyhow::Result<SystemConfig> {
        let given = self.global.config_dir.as_deref();
        if given.is_none() && !config::directory(None).exists() {
            return Ok(SystemConfig::default());
        }
        let (system, warnings) = config::load(given, Strictness::Warn)?;
        for warning in warnings {
            terminal::note(&warning.to_string());
        }
        Ok(system)
    }

    /// The yelpsoa-configs directory: as given, or as configured.
    ///
    /// # Errors
    /// The configuration cannot be read.
    pub fn soa_dir(&self, given: Option<&Path>) -> anyhow::Result<PathBuf> {
        match given {
            Some(given) => Ok(given.to_owned()),
            None => Ok(PathBuf::from(self.system()?.soa_dir)),
        }
    }

    /// Prints text of which more follows. False when nobody reads it any more.
    ///
    /// # Errors
    /// Standard output is gone for another reason.
    pub fn print_on(&self, text: &str) -> anyhow::Result<bool> {
        terminal::print_on(text).context("cannot write to standard output")
    }

    /// Prints text.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn print(&self, text: &str) -> anyhow::Result<()> {
        terminal::print(text).context("cannot write to standard output")
    }

    /// Prints a value as JSON, for people to read too.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn print_json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        let text =
            serde_json::to_string_pretty(value).context("cannot write the answer as JSON")?;
        self.print(&format!("{text}\n"))
    }
}
