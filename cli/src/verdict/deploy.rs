//! Whether a marked commit has arrived at an instance. PaaSTA's rule, with one difference: replicas
//! count when they are happy, not when they merely run.

use paasta_proto::{
    v1::{DeployStatus, DesiredState, InstanceStatus, Severity, WaitingKind},
    words::shown,
};

/// Whether the desired app is on its way or there; otherwise it is stuck.
fn is_going(status: DeployStatus) -> bool {
    match status {
        DeployStatus::Running | DeployStatus::Deploying | DeployStatus::Waiting => true,
        DeployStatus::Bouncing
        | DeployStatus::Delayed
        | DeployStatus::Stopped
        | DeployStatus::Held
        | DeployStatus::LostBrake
        | DeployStatus::NotDeployed
        | DeployStatus::Unknown
        | DeployStatus::Unspecified => false,
    }
}

/// How far a commit is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Whether it has arrived.
    pub done: bool,
    /// Happy replicas of it.
    pub happy: u32,
    /// How many are needed.
    pub needed: u32,
    /// Why it has not arrived; empty when it has.
    pub why: String,
}

/// Judges the status of an instance; none when the cluster does not know it.
pub fn arrival(status: Option<&InstanceStatus>, sha: &str) -> Arrival {
    let waits = |happy, needed, why: String| Arrival {
        done: false,
        happy,
        needed,
        why,
    };
    let Some(status) = status else {
        return waits(0, 1, "the cluster does not know it yet".to_owned());
    };
    let needed = status.needed.min(status.wanted);
    if status.git_sha.is_empty() || !sha.starts_with(&status.git_sha) {
        let why = match status.git_sha.get(..8) {
            None => "nothing is deployed yet".to_owned(),
            Some(short) => format!("still at {short}"),
        };
        return waits(0, needed, with_problem(status, why));
    }
    let stopped = status.desired_state() == DesiredState::Stop || status.wanted == 0;
    let desired = status.apps.iter().find(|app| app.desired);
    let counts = desired.and_then(|app| app.counts.as_ref());
    let happy = counts.map_or(0, |counts| counts.happy);
    let versions = status.apps.iter().filter(|app| app.replicas > 0).count();
    let arrived = Arrival {
        done: true,
        happy,
        needed,
        why: String::new(),
    };
    if stopped {
        return arrived;
    }
    if versions > 1 {
        let why = format!("still bouncing, with {versions} versions");
        return waits(happy, needed, with_reason(status, why));
    }
    if happy < needed {
        let why = format!("{happy} of {needed} needed replicas are happy");
        return waits(happy, needed, with_reason(status, why));
    }
    if !is_going(status.deploy_status()) {
        let word = shown::<DeployStatus>(status.deploy_status).into_owned();
        return waits(happy, needed, with_reason(status, word));
    }
    arrived
}

/// With the first thing that the planner waits for.
fn with_reason(status: &InstanceStatus, why: String) -> String {
    let telling = status
        .waiting
        .iter()
        .find(|one| one.kind() != WaitingKind::Config);
    let failing = status
        .replicas
        .iter()
        .filter(|replica| replica.app == status.desired_app && !replica.message.is_empty())
        .max_by_key(|replica| replica.failures);
    let mut text = why;
    if let Some(waiting) = telling {
        text.push_str(&format!("; {}", waiting.what));
    }
    if let Some(replica) = failing {
        text.push_str(&format!("; {}: {}", replica.host, replica.message));
    }
    text
}

/// With what is wrong with its configuration: then no deploy arrives.
fn with_problem(status: &InstanceStatus, why: String) -> String {
    match status
        .problems
        .iter()
        .find(|problem| problem.severity() == Severity::Error)
    {
        Some(problem) => format!("{why}; {}: {}", problem.file, problem.message),
        None => why,
    }
}

#[cfg(test)]
mod tests {
    use paasta_proto::v1::{AppStatus, Counts, Waiting};

    use super::*;

    const SHA: &str = "3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d3f2a9c0d";

    fn status(happy: u32, old: u32) -> InstanceStatus {
        let app = |desired, replicas, happy| AppStatus {
            desired,
            replicas,
            counts: Some(Counts {
                happy,
                ..Counts::default()
            }),
            ..AppStatus::default()
        };
        let mut apps = vec![app(true, 3, happy)];
        if old > 0 {
            apps.push(app(false, old, old));
        }
        InstanceStatus {
            git_sha: SHA.to_owned(),
            desired_state: DesiredState::Start.into(),
            wanted: 3,
            needed: 2,
            deploy_status: DeployStatus::Running.into(),
            apps,
            ..InstanceStatus::default()
        }
    }

    fn why(status: &InstanceStatus, sha: &str) -> String {
        let found = arrival(Some(status), sha);
        assert_eq!(found.done, found.why.is_empty(), "{found:?}");
        found.why
    }

    #[test]
    fn a_deploy_has_arrived_by_paastas_rule() {
        assert_eq!(why(&status(3, 0), SHA), "");
        assert_eq!(why(&status(2, 0), SHA), "", "the margin is enough");
        assert_eq!(why(&status(1, 0), SHA), "1 of 2 needed replicas are happy");
        assert_eq!(why(&status(3, 1), SHA), "still bouncing, with 2 versions");
        assert_eq!(why(&status(3, 0), &"9".repeat(40)), "still at 3f2a9c0d");
        let mut held = status(3, 0);
        held.deploy_status = DeployStatus::Held.into();
        assert_eq!(why(&held, SHA), "held");
        let mut stopped = status(0, 1);
        stopped.desired_state = DesiredState::Stop.into();
        assert_eq!(why(&stopped, SHA), "");
        assert_eq!(
            why(&InstanceStatus::default(), SHA),
            "nothing is deployed yet"
        );
        assert!(!arrival(None, SHA).done);
    }

    #[test]
    fn the_planners_reason_is_told() {
        let mut waiting = status(0, 0);
        waiting.waiting.push(Waiting {
            kind: WaitingKind::Capacity.into(),
            what: "3 replicas cannot be placed".to_owned(),
            ..Waiting::default()
        });
        let said = why(&waiting, SHA);
        assert!(said.ends_with("; 3 replicas cannot be placed"), "{said}");
    }
}
