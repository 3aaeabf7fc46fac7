//! Verbs of PaaSTA that `paasta` does not have: for each, why, and what to use. Any other unknown
//! verb gets the names of verbs that are near to it.

use std::ffi::OsString;

use clap::CommandFactory as _;
use paasta_common::{text::beginning, typo::close_matches};

use crate::{args::Args, exit::Exit, terminal::note};

/// Verb, why it is absent, what to use instead.
const ABSENT: [(&str, &str, &str); 36] = [
    (
        "boost",
        "there is no cluster autoscaler to speed up",
        "paasta autoscale -s SERVICE --set N",
    ),
    (
        "cluster-autoscale",
        "hosts are added by their operators",
        "paasta metastatus -v shows how full each pool is",
    ),
    (
        "deploy-marathon-services",
        "the coordinators deploy by themselves",
        "paasta status",
    ),
    (
        "docker-exec",
        "commands inside containers need authenticated users",
        "docker exec on the host that paasta status -v names",
    ),
    (
        "docker-inspect",
        "it needs a login on the host",
        "paasta status -v, then docker inspect on that host",
    ),
    (
        "docker-stop",
        "a container that stops is started again",
        "paasta restart -s SERVICE, or paasta emergency-restart",
    ),
    ("fsm", "it has another name", "paasta new-service"),
    (
        "generate-pipeline",
        "Jenkins jobs are not made here",
        "paasta pipeline --format jenkins",
    ),
    (
        "get-docker-image",
        "the image is made of the service and the commit",
        "paasta get-latest-deployment, then REGISTRY/services-SERVICE:paasta-SHA",
    ),
    (
        "graceful-app-drain",
        "a bounce drains old apps by itself",
        "paasta stop, or bounce_method: down",
    ),
    (
        "metastatus-marathon",
        "there is no Marathon",
        "paasta metastatus",
    ),
    (
        "pause_service_autoscaler",
        "there is no autoscaler yet",
        "paasta autoscale -s SERVICE --set N pins the number",
    ),
    (
        "pause-service-autoscaler",
        "there is no autoscaler yet",
        "paasta autoscale -s SERVICE --set N pins the number",
    ),
    (
        "performance-check",
        "the step only sent a request to an in-house service",
        "a step of your pipeline that calls your load test",
    ),
    (
        "rerun",
        "there are no scheduled jobs",
        "paasta restart -s SERVICE",
    ),
    (
        "remote-run",
        "there are no one-off jobs in the cluster",
        "paasta local-run",
    ),
    (
        "secret",
        "there is no secret provider",
        "the file that your secret store writes to secrets/NAME.json",
    ),
    (
        "serviceinit",
        "the CLI does this",
        "paasta status, start, stop, restart",
    ),
    (
        "setup-marathon-job",
        "the coordinators deploy by themselves",
        "paasta why SERVICE.INSTANCE",
    ),
    ("spark-run", "Spark is not supported", "spark-submit"),
    (
        "sysdig",
        "it needs a login on the host",
        "sysdig on the host that paasta status -v names",
    ),
    (
        "tron",
        "there are no scheduled jobs",
        "systemd timers, or a scheduler of your own",
    ),
    (
        "mesos-tail",
        "there is no Mesos",
        "paasta logs -f -s SERVICE",
    ),
    (
        "paasta_serviceinit",
        "the CLI does this",
        "paasta status, start, stop, restart",
    ),
    (
        "paasta_metastatus",
        "it is a command of the CLI",
        "paasta metastatus",
    ),
    (
        "paasta_maintenance",
        "it is a command of the CLI",
        "paasta maintenance drain, undrain, status",
    ),
    (
        "setup_marathon_job",
        "the coordinators deploy by themselves",
        "paasta why SERVICE.INSTANCE",
    ),
    (
        "deploy_marathon_services",
        "the coordinators deploy by themselves",
        "paasta status",
    ),
    (
        "list_marathon_service_instances",
        "it has another name",
        "paasta list -i, or paasta status --not-ok for its --minimal",
    ),
    (
        "cleanup_marathon_jobs",
        "the coordinators remove what is not declared",
        "paasta cleanup --dry-run",
    ),
    (
        "generate_all_deployments",
        "the coordinators read the tags by themselves",
        "paasta generate-deployments",
    ),
    (
        "check_capacity",
        "the coordinators export what is used",
        "paasta metastatus, or the alert rules of deploy/prometheus",
    ),
    (
        "check_mesos_outdated_tasks",
        "there is no Mesos",
        "paasta status --bouncing",
    ),
    (
        "check_mesos_active_frameworks",
        "there is no Mesos",
        "paasta cluster node",
    ),
    (
        "am_i_mesos_leader",
        "there is no Mesos",
        "paasta cluster node names the leader",
    ),
    (
        "paasta_cleanup_stale_nodes",
        "lost hosts are forgotten by themselves",
        "paasta maintenance remove HOST",
    ),
];

/// The verbs with a line of their own, for docs and tests.
pub fn verbs() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    ABSENT.into_iter()
}

/// Says why the verb is not here; always fails.
pub fn run(words: &[OsString]) -> Exit {
    let verb = words.first().map(|word| word.to_string_lossy());
    let verb = verb.as_deref().unwrap_or_default();
    let known = ABSENT.iter().find(|(name, ..)| *name == verb);
    note(&match known {
        Some((name, why, instead)) => {
            format!("paasta {name} is not here: {why}. Use instead: {instead}")
        }
        None => unknown(verb),
    });
    Exit::Failed
}

fn unknown(verb: &str) -> String {
    let command = Args::command();
    let names: Vec<&str> = command
        .get_subcommands()
        .filter(|one| !one.is_hide_set())
        .map(clap::Command::get_name)
        .collect();
    // A text that cannot be a verb gets no suggestions.
    let near = match verb.len() <= 40 {
        true => close_matches(verb, names).join(", "),
        false => String::new(),
    };
    let verb = beginning(verb, 40);
    match near.is_empty() {
        true => format!("there is no command {verb:?}; paasta --help lists all"),
        false => format!("there is no command {verb:?}; did you mean {near}?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_absent_verb_is_a_command() {
        let command = Args::command();
        for (verb, ..) in verbs() {
            assert!(command.find_subcommand(verb).is_none(), "{verb} exists");
        }
    }

    #[test]
    fn near_names_are_suggested_only_for_what_could_be_one() {
        assert!(unknown("statsu").contains("did you mean status"));
        assert!(unknown("xyzzyxyzzy").contains("--help"));
        assert!(unknown(&"x".repeat(10_000)).len() < 200);
    }
}
