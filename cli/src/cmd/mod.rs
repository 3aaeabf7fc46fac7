//! The verbs, a file each: ask, judge, hand over to [`crate::render`].

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use paasta_common::config::SystemConfig;
use paasta_process::config::{self as files, Strictness};
use serde::Serialize;

use crate::{
    args::{self, Global},
    exit::Exit,
    render::View,
    terminal,
};

pub mod absent;
pub mod audit;
pub mod auth;
pub mod autoscale;
pub mod backoff;
pub mod bounce;
pub mod brake;
pub mod check;
pub mod check_replication;
pub mod cleanup;
pub mod cluster;
pub mod completions;
pub mod config;
pub mod context;
pub mod cook_image;
pub mod coordinator;
pub mod emergency;
pub mod events;
pub mod exec;
pub mod generate_deployments;
pub mod history;
pub mod info;
pub mod itest;
pub mod list;
pub mod list_clusters;
pub mod local_run;
pub mod login;
pub mod logs;
pub mod maintenance;
pub mod man;
pub mod marking;
pub mod metastatus;
pub mod new_service;
pub mod pipeline;
pub mod plan;
pub mod push_to_registry;
pub mod quorum;
pub mod security_check;
pub mod settings;
pub mod snapshot;
pub mod status;
pub mod token;
pub mod top;
pub mod validate;
pub mod version;
pub mod wait_for_deployment;
pub mod which;
pub mod why;

use marking::control::{self, Act};
pub use output::Output;

mod asker;
mod confirm;
mod fleet;
mod names;
mod operate;
mod output;
mod overrides;
mod poke;
mod reach;
mod remotes;
mod step;

/// What every verb works with.
#[derive(Debug, Clone)]
pub struct Context {
    /// The options of every verb.
    pub global: Global,
    /// How standard output wants its text.
    pub view: View,
    /// Where it goes.
    pub output: Output,
}

/// Runs a verb.
///
/// # Errors
/// What kept it from being done; [`crate::exit::of`] has its exit code.
pub async fn run(command: args::Command, context: &mut Context) -> anyhow::Result<Exit> {
    match command {
        args::Command::Status(args) => status::run(&args, context).await,
        args::Command::Watch(args) => status::watch::run(&args.shown, context).await,
        args::Command::Top(args) => top::run(&args, context).await,
        args::Command::Metastatus(args) => metastatus::run(&args, context).await,
        args::Command::List(args) => list::run(&args, context).await,
        args::Command::ListClusters(args) => list_clusters::run(&args, context),
        args::Command::Info(args) => info::run(&args, context),
        args::Command::Why(args) => why::run(&args, context).await,
        args::Command::Events(args) => events::run(&args, context).await,
        args::Command::Logs(args) => logs::run(&args, context).await,
        args::Command::Exec(args) => exec::run(&args, context).await,
        args::Command::CheckReplication(args) => check_replication::run(&args, context).await,
        args::Command::Maintenance(command) => maintenance::run(command, context).await,
        args::Command::Backoff(command) => backoff::run(command, context).await,
        args::Command::Brake(command) => brake::run(command, context).await,
        args::Command::Token(command) => token::run(command, context).await,
        args::Command::Cleanup(args) => cleanup::run(&args, context).await,
        args::Command::Settings(command) => settings::run(command, context).await,
        args::Command::Auth(command) => auth::run(command, context).await,
        args::Command::Login(args) => login::run(&args, context).await,
        args::Command::Audit(args) => audit::run(&args, context).await,
        args::Command::Config(command) => config::run(&command, context),
        args::Command::Context(command) => context::run(command, context),
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
        args::Command::Plan(args) => plan::run(&args, context).await,
        args::Command::Validate(args) => validate::run(&args, context),
        args::Command::Completions(args) => completions::run(&args, context).await,
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
        Self {
            global,
            view,
            output: Output::Standard,
        }
    }

    /// The operator's configuration. A machine that has none, and was not told of one, has the
    /// defaults: everything that asks a coordinator can be said on the command line.
    ///
    /// # Errors
    /// The directory that was named is not there, or a file in it is wrong.
    pub fn system(&self) -> anyhow::Result<SystemConfig> {
        let given = self.global.config_dir.as_deref();
        if given.is_none() && !files::directory(None).exists() {
            return Ok(SystemConfig::default());
        }
        let (system, warnings) = files::load(given, Strictness::Warn)?;
        for warning in warnings {
            self.note(&warning.to_string());
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

    /// The same context, whose JSON is kept: a part of a whole that is printed later.
    fn keeping_json(&self) -> (Output, Self) {
        let output = Output::JsonKept(Arc::default());
        let context = Self {
            output: output.clone(),
            ..self.clone()
        };
        (output, context)
    }

    /// Prints text of which more follows. False when no process reads it any more.
    ///
    /// # Errors
    /// Standard output is gone for another reason.
    pub fn print_on(&self, text: &str) -> anyhow::Result<bool> {
        self.output.print(text)
    }

    /// Prints text.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn print(&self, text: &str) -> anyhow::Result<()> {
        self.output.print(text).map(drop)
    }

    /// Prints a value as JSON, for people to read too.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn print_json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        self.output.print_json(value)
    }

    /// Prints a line to standard error: what a reader of the output must not miss, and a program
    /// that reads it must not get.
    pub fn note(&self, text: &str) {
        self.output.note(text);
    }
}
