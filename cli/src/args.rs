//! The command line: what every verb understands. Each verb's own options are in its file.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, error::ErrorKind,
    parser::ValueSource,
};
use paasta_common::id::ContextName;
use paasta_process::help::examples;

use crate::{client::Address, cmd, exit};

/// The longest `--timeout`: a longer deadline is a typing error.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// How long a coordinator is tried, unless something else is given.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for a deploy or a step.
const WAIT_MAX: Duration = Duration::from_secs(7 * 86_400);

/// The help of `paasta` itself: its commands by task, the most used ones first. Fits on one screen.
const TEMPLATE: &str = "\
{about}

{usage-heading} {usage}

Most used (paasta help COMMAND has options and examples):
  status    How instances are        mark-for-deployment  Deploy a commit
  watch     The same, live           rollback             Go back to an earlier one
  why       Why one is not well      validate             Check yelpsoa-configs
  logs      What a service wrote     metastatus           How the cluster is

Deploy:        mark-for-deployment, wait-for-deployment, rollback, start, stop, restart,
               list-deployments, get-latest-deployment, bounce
Look:          status, watch, top, why, logs, events, history, list, list-clusters, info,
               check-replication, metastatus, exec
Hosts:         maintenance, cleanup     People: auth, login, audit
Emergencies:   emergency-stop, emergency-start, emergency-restart, emergency-scale,
               autoscale, backoff, brake
Pipeline:      check, cook-image, itest, security-check, push-to-registry, pipeline
Coordinators:  cluster, coordinator, token, settings, snapshot, generate-deployments
New services:  new-service, validate, plan, local-run
This program:  context, config, completions, man, version, help

{options}
{after-help}";

/// Run services on a cluster of Docker hosts, as yelpsoa-configs and git say.
#[derive(Debug, Parser)]
#[command(name = "paasta", version, after_help = exit::HELP, max_term_width = 100)]
#[command(help_template = TEMPLATE)]
pub struct Args {
    /// What every verb understands.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub command: Command,
}

/// What every verb understands.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Coordinators to ask, in order [default: of context or files]
    #[arg(
        long,
        global = true,
        env = "PAASTA_COORDINATORS",
        value_name = "HOST:PORT,..."
    )]
    #[arg(value_delimiter = ',', hide_env_values = true)]
    pub coordinators: Vec<Address>,
    /// A coordinator's local socket [default, for root: admin.sock]
    #[arg(long, global = true, env = "PAASTA_SOCKET", value_name = "FILE")]
    #[arg(hide_env_values = true)]
    pub socket: Option<PathBuf>,
    /// How the cluster is reached [default: the current context]
    #[arg(long, global = true, env = "PAASTA_CONTEXT", value_name = "NAME")]
    #[arg(hide_env_values = true)]
    pub context: Option<ContextName>,
    /// The directory of the system configuration [default: /etc/paasta]
    #[arg(
        long,
        global = true,
        env = "PAASTA_SYSTEM_CONFIG_DIR",
        value_name = "DIR"
    )]
    #[arg(hide_env_values = true)]
    pub config_dir: Option<PathBuf>,
    /// The cluster's authorities, in PEM
    #[arg(long, global = true, env = "PAASTA_TLS_CA", value_name = "FILE")]
    #[arg(hide_env_values = true)]
    pub tls_ca: Option<PathBuf>,
    /// Your certificate of the cluster, in PEM
    #[arg(long, global = true, env = "PAASTA_TLS_CERT", value_name = "FILE")]
    #[arg(hide_env_values = true)]
    pub tls_cert: Option<PathBuf>,
    /// Its private key; only you may read it
    #[arg(long, global = true, env = "PAASTA_TLS_KEY", value_name = "FILE")]
    #[arg(hide_env_values = true)]
    pub tls_key: Option<PathBuf>,
    /// How long to try, as 10s or 1m; of deployments and itest, to wait
    #[arg(long, global = true, value_name = "TIME", default_value = "10s")]
    #[arg(value_parser = wait)]
    pub timeout: Duration,
    /// Whether `--timeout` is given.
    #[arg(skip)]
    pub timeout_given: bool,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show how instances are: versions, replicas, bounces, what is waited for
    Status(cmd::status::Args),
    /// Show the status of instances live, in place
    Watch(cmd::status::watch::Args),
    /// Show hosts by what is given out, and the replicas that fail, live
    Top(cmd::top::Args),
    /// Show how the cluster is: coordinators, hosts, resources
    Metastatus(cmd::metastatus::Args),
    /// List services or instances
    List(cmd::list::Args),
    /// List the clusters that services declare instances for
    ListClusters(cmd::list_clusters::Args),
    /// Show what a service is: description, team, repository, clusters
    Info(cmd::info::Args),
    /// Say why an instance is not as it should be
    Why(cmd::why::Args),
    /// Show what happened last in the cluster
    Events(cmd::events::Args),
    /// Show what a service wrote and what was done to it
    Logs(cmd::logs::Args),
    /// Run a command in a container of an instance
    Exec(cmd::exec::Args),
    /// Say whether instances have enough replicas
    CheckReplication(cmd::check_replication::Args),
    /// Empty hosts and see when they are safe to stop
    #[command(subcommand)]
    Maintenance(cmd::maintenance::Command),
    /// Have what waits ever longer for its next try start now
    #[command(subcommand)]
    Backoff(cmd::backoff::Command),
    /// See and release the brake that is on while too many hosts are silent
    #[command(subcommand)]
    Brake(cmd::brake::Command),
    /// Remove the instances that are no longer declared or deployed
    Cleanup(cmd::cleanup::Args),
    /// Show and change who may see and change what
    #[command(subcommand)]
    Auth(cmd::auth::Command),
    /// Get your certificate by a token of `paasta auth invite`
    Login(cmd::login::Args),
    /// Show what was done and refused: callers, addresses, methods, outcomes
    Audit(cmd::audit::Args),
    /// Show and change the operators' settings that decide what a container is
    #[command(subcommand)]
    Settings(cmd::settings::Command),
    /// Show the system configuration of this machine, and where each setting is given
    #[command(subcommand)]
    Config(cmd::config::Command),
    /// Show, choose, add and remove contexts: how each cluster is reached
    #[command(subcommand)]
    Context(cmd::context::Command),
    /// Make a cluster, ask its coordinators
    #[command(subcommand)]
    Cluster(cmd::cluster::Command),
    /// Show, add, promote and remove coordinators
    #[command(subcommand)]
    Coordinator(cmd::coordinator::Command),
    /// Make, list and revoke the join tokens of coordinators and agents
    #[command(subcommand)]
    Token(cmd::token::Command),
    /// Save the cluster's state, check a saved one
    #[command(subcommand)]
    Snapshot(cmd::snapshot::Command),
    /// See bounces, resume them, go back, start anew; try out bounce methods
    #[command(subcommand)]
    Bounce(cmd::bounce::Command),
    /// Mark a commit for deployment: its deploy group runs it from now on
    MarkForDeployment(cmd::marking::mark_for_deployment::Args),
    /// Wait until every instance of a deploy group runs a marked commit
    WaitForDeployment(cmd::wait_for_deployment::Args),
    /// Go back to a commit that was deployed before
    Rollback(cmd::marking::rollback::Args),
    /// List what was marked for deployment, the newest first
    ListDeployments(cmd::marking::list_deployments::Args),
    /// Print the full sha of what is marked for a deploy group
    GetLatestDeployment(cmd::marking::get_latest_deployment::Args),
    /// Start instances that were stopped
    #[command(after_help = examples(&["paasta start -s hello -c prod -i main", "paasta start -s hello -l prod.everything"], ""))]
    Start(cmd::marking::control::Args),
    /// Stop instances until the next deploy
    #[command(after_help = examples(&["paasta stop -s hello -c prod -i main", "paasta stop -s hello -c prod -i main,worker"], ""))]
    Stop(cmd::marking::control::Args),
    /// Replace every container of instances, by their bounce method
    #[command(after_help = examples(&["paasta restart -s hello -l prod.everything", "paasta restart -s hello -c prod -i main"], ""))]
    Restart(cmd::marking::control::Args),
    /// Show what was asked of an instance, by whom and when
    History(cmd::history::Args),
    /// Stop an instance at once, past git
    #[command(after_help = examples(
        &["paasta emergency-stop -s hello -i main", "paasta emergency-stop -s hello    # its instance main"],
        cmd::emergency::UNTIL,
    ))]
    EmergencyStop(cmd::emergency::Args),
    /// Start an instance at once, past git; end what an emergency command did
    #[command(after_help = examples(
        &["paasta emergency-start -s hello -i main", "paasta emergency-start -s hello -i worker"],
        cmd::emergency::UNTIL,
    ))]
    EmergencyStart(cmd::emergency::Args),
    /// Stop an instance and start it again, past git; it is down in between
    #[command(after_help = examples(
        &["paasta emergency-restart -s hello -i main", "paasta emergency-restart -s hello -i worker"],
        cmd::emergency::UNTIL,
    ))]
    EmergencyRestart(cmd::emergency::Args),
    /// Run another number of replicas, past yelpsoa-configs
    EmergencyScale(cmd::emergency::ScaleArgs),
    /// Show, pin or unpin the number of replicas of an instance
    Autoscale(cmd::autoscale::Args),
    /// Write deployments.json of services from the refs of their git repositories
    GenerateDeployments(cmd::generate_deployments::Args),
    /// Check that a service's repository and configuration are ready to be deployed
    Check(cmd::check::Args),
    /// Build the image of a service with `make cook-image`
    CookImage(cmd::cook_image::Args),
    /// Test a commit with `make itest`, and see that its image was made
    Itest(cmd::itest::Args),
    /// Run the operator's security check on a commit
    SecurityCheck(cmd::security_check::Args),
    /// Push the image of a commit, unless the registry has it
    PushToRegistry(cmd::push_to_registry::Args),
    /// Run an instance on this machine, in the container that the cluster would make
    LocalRun(cmd::local_run::Args),
    /// Show what a yelpsoa-configs directory would change: bounces, numbers, removals, refusals
    Plan(cmd::plan::Args),
    /// Check a yelpsoa-configs directory
    Validate(cmd::validate::Args),
    /// Write the files of a new service in yelpsoa-configs
    NewService(cmd::new_service::Args),
    /// Print a CI pipeline that does the steps of deploy.yaml
    Pipeline(cmd::pipeline::Args),
    /// Print the completions of a shell
    Completions(cmd::completions::Args),
    /// Write the man pages
    Man(cmd::man::Args),
    /// Print the version
    #[command(after_help = examples(&["paasta version", "paasta version --json"], ""))]
    Version,
    /// Any other word: a verb of PaaSTA that is not here, or a typing error
    #[command(external_subcommand)]
    Absent(Vec<OsString>),
}

impl Args {
    /// Reads the command line.
    ///
    /// # Errors
    /// A mistake in it, or what was asked for is help or the version.
    pub fn read(argv: &[OsString]) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(argv)?;
        let args = Self::from_arg_matches(&matches);
        let mut args = args.map_err(|error| error.format(&mut Self::command()))?;
        args.global.settle(&matches);
        args.settle_timeout(&matches)?;
        Ok(args)
    }
}

impl Args {
    /// Gives `--timeout` its meaning: as by PaaSTA, for some verbs it is how long they wait, unless
    /// their own option says that.
    fn settle_timeout(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        if !self.global.timeout_given {
            return Ok(());
        }
        let verb = matches.subcommand().map(|(_, verb)| verb);
        let own = |name| verb.and_then(|verb| verb.value_source(name));
        let waits_by = |name| own(name) != Some(ValueSource::CommandLine);
        let given = self.global.timeout;
        let wait = match &mut self.command {
            Command::MarkForDeployment(args) if waits_by("within") => &mut args.patience.within,
            Command::WaitForDeployment(args) if waits_by("within") => &mut args.patience.within,
            Command::Itest(args) if waits_by("limit") => &mut args.limit,
            _ if given > TIMEOUT_MAX => {
                let message = "--timeout: give a time between 1ms and 1h";
                return Err(Self::command().error(ErrorKind::ValueValidation, message));
            }
            _ => return Ok(()),
        };
        *wait = given;
        self.global.timeout = TIMEOUT;
        self.global.timeout_given = false;
        Ok(())
    }
}

impl Global {
    /// Notes what is typed: a cluster on the command line beats one that the environment names.
    fn settle(&mut self, matches: &ArgMatches) {
        let typed = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
        self.timeout_given = typed("timeout");
        match (typed("context"), typed("coordinators")) {
            (true, false) => self.coordinators.clear(),
            (false, true) => self.context = None,
            (true, true) | (false, false) => {}
        }
        if (typed("context") || typed("coordinators")) && !typed("socket") {
            self.socket = None;
        }
        if typed("context") {
            let files = [
                ("tls_ca", &mut self.tls_ca),
                ("tls_cert", &mut self.tls_cert),
                ("tls_key", &mut self.tls_key),
            ];
            for (name, file) in files {
                if !typed(name) {
                    *file = None;
                }
            }
        }
    }
}

/// Reads a time of at most an hour: with its unit, or in seconds as for PaaSTA.
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    match wait(text) {
        Ok(span) if span <= TIMEOUT_MAX => Ok(span),
        Ok(_) => Err("give a time between 1ms and 1h".to_owned()),
        Err(error) => Err(error),
    }
}

/// Reads a time that may be waited for, of at most 7 days.
pub(crate) fn wait(text: &str) -> Result<Duration, String> {
    let span = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string())?,
    };
    match span.is_zero() || span > WAIT_MAX {
        true => Err("give a time between 1ms and 7days".to_owned()),
        false => Ok(span),
    }
}

#[cfg(test)]
mod tests {
    use paasta_process::help;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_that_it_takes() {
        assert_eq!(help::faults(&Args::command()), Vec::<String>::new());
    }

    #[test]
    fn every_command_is_in_the_help_by_task_once_and_on_one_screen() {
        let list = TEMPLATE.split_once("\nDeploy:").expect("the list").1;
        let words: Vec<&str> = list
            .split(|one: char| !one.is_ascii_lowercase() && one != '-')
            .collect();
        let command = Args::command();
        for name in command.get_subcommands().map(clap::Command::get_name) {
            let times = words.iter().filter(|word| **word == name).count();
            assert_eq!(times, 1, "{name} in the list of commands by task");
        }
        let help = Args::command().render_help().to_string();
        assert!(
            help.lines().count() <= 48,
            "{} lines:\n{help}",
            help.lines().count()
        );
    }

    #[test]
    fn every_command_has_two_or_three_examples() {
        let root = Args::command();
        for path in help::leaves(&root) {
            let mut words = path.split(' ').skip(1);
            let found = words.try_fold(&root, |command, word| command.find_subcommand(word));
            let leaf = found.expect("the help names commands that exist");
            let text = leaf.get_after_long_help().or(leaf.get_after_help());
            let text = text.map(ToString::to_string).unwrap_or_default();
            let count = text
                .lines()
                .filter(|line| line.starts_with("  paasta "))
                .count();

            assert!((2..=4).contains(&count), "{path}:\n{text}");
        }
    }

    fn read(line: &str) -> Result<Args, clap::Error> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Args::read(&words)
    }

    #[test]
    fn the_timeout_of_a_wait_is_the_wait() {
        let line = "paasta wait-for-deployment -s a -l b -k c --timeout 7200";
        let waits = read(line).expect("a wait");
        assert_eq!(waits.global.timeout, TIMEOUT);
        match waits.command {
            Command::WaitForDeployment(args) => {
                assert_eq!(args.patience.within, Duration::from_secs(7_200));
            }
            other => panic!("{other:?}"),
        }
        let both = read("paasta --timeout 30 wait-for-deployment -s a -l b -k c -t 25");
        let both = both.expect("a wait");
        assert_eq!(both.global.timeout, Duration::from_secs(30));
        match both.command {
            Command::WaitForDeployment(args) => {
                assert_eq!(args.patience.within, Duration::from_secs(25));
            }
            other => panic!("{other:?}"),
        }
        let asks = read("paasta status --timeout 30").expect("a question");
        assert_eq!(asks.global.timeout, Duration::from_secs(30));
        assert!(read("paasta status --timeout 7200").is_err());
    }

    #[test]
    fn timeouts_are_bounded() {
        assert_eq!(timeout("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(timeout("3600"), Ok(Duration::from_secs(3_600)));
        for refused in ["0s", "0", "3601", "2h", "ten", ""] {
            assert!(timeout(refused).is_err(), "{refused}");
        }
    }
}
