//! Whether an instance is as it is wanted: the judgement behind the exit code of `paasta status`
//! and the words of the dashboard.

use crate::v1::{BounceMethod, Counts, DeployStatus, InstanceStatus, Problem, Severity};

/// How much of what is wanted serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// At least as many happy replicas as wanted, of whatever version.
    Healthy,
    /// Some, but fewer than wanted.
    Warning,
    /// None, though some are wanted.
    Critical,
    /// Hosts that were not heard of may serve as much as is wanted.
    Unknown,
}

/// Whether an instance is as it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    AsWanted,
    /// Nothing was ever deployed.
    NotDeployed,
    /// It is not, or its configuration or repository has an error.
    NotAsWanted,
}

/// How much of what is wanted serves, over all versions: a bounce that keeps its floor is healthy.
pub fn health(status: &InstanceStatus) -> Health {
    let counts = status.counts.unwrap_or_default();
    // A replica on a host that is to be drained still serves.
    match counts.happy + counts.at_risk {
        serving if serving >= status.wanted => Health::Healthy,
        serving if serving + counts.unknown >= status.wanted => Health::Unknown,
        0 => Health::Critical,
        _ => Health::Warning,
    }
}

/// Whether the instance is as wanted: the wanted number of happy replicas of the wanted version,
/// no other version left, and a configuration that was accepted.
pub fn standing(status: &InstanceStatus) -> Standing {
    if status.problems.iter().any(is_error) || status.undeclared {
        return Standing::NotAsWanted;
    }
    if status.desired_app.is_empty() {
        let silent = status
            .repository
            .as_ref()
            .is_some_and(|one| one.failures > 0);
        // That git cannot be asked is trouble; that nothing was marked is only so.
        return if silent {
            Standing::NotAsWanted
        } else {
            Standing::NotDeployed
        };
    }
    let happy = match status.apps.iter().find(|app| app.desired) {
        Some(app) => app.counts.unwrap_or_default().happy,
        None if status.apps.is_empty() => status.counts.unwrap_or_default().happy,
        None => 0,
    };
    let others = status
        .apps
        .iter()
        .any(|app| !app.desired && app.replicas > 0);
    let stuck = match status.deploy_status() {
        DeployStatus::Held | DeployStatus::LostBrake => true,
        DeployStatus::Running
        | DeployStatus::Deploying
        | DeployStatus::Bouncing
        | DeployStatus::Waiting
        | DeployStatus::Delayed
        | DeployStatus::Stopped
        | DeployStatus::NotDeployed
        | DeployStatus::Unknown
        | DeployStatus::Unspecified => false,
    };
    // Nothing is wanted: then nothing may be left running.
    let surplus = status.wanted == 0 && status.counts.unwrap_or_default().running > 0;
    match happy < status.wanted || others || stuck || surplus || status.bounce.is_some() {
        true => Standing::NotAsWanted,
        false => Standing::AsWanted,
    }
}

/// `2 happy, 1 starting`: the classes that are not empty.
pub fn classes(counts: &Counts) -> String {
    let of = [
        (counts.happy, "happy"),
        (counts.starting, "starting"),
        (counts.unhealthy, "unhealthy"),
        (counts.draining, "draining"),
        (counts.at_risk, "at risk"),
        (counts.stopping, "stopping"),
        (counts.lost, "lost"),
        (counts.unknown, "not heard of"),
    ];
    let said = of.iter().filter(|(count, _)| *count > 0);
    let said: Vec<String> = said
        .map(|(count, class)| format!("{count} {class}"))
        .collect();
    match said.is_empty() {
        true => "none".to_owned(),
        false => said.join(", "),
    }
}

/// How many replicas the bounce method keeps happy by its own act: 0 for a method that keeps none.
pub fn floor(status: &InstanceStatus) -> u32 {
    match status.bounce_method() {
        BounceMethod::Crossover => status.needed,
        BounceMethod::Upthendown => status.wanted,
        BounceMethod::Brutal
        | BounceMethod::Downthenup
        | BounceMethod::Down
        | BounceMethod::Unspecified => 0,
    }
}

/// Whether the problem keeps a new version from being accepted.
pub fn is_error(problem: &Problem) -> bool {
    problem.severity() != Severity::Warning
}

#[cfg(test)]
mod tests {
    use crate::v1::{AppStatus, BounceStatus, Counts, DeployStatus, Severity};

    use super::*;

    fn app(desired: bool, happy: u32) -> AppStatus {
        let counts = Some(Counts {
            happy,
            ..Counts::default()
        });
        let app = if desired { "new" } else { "old" }.to_owned();
        AppStatus {
            app,
            desired,
            counts,
            replicas: happy,
            ..AppStatus::default()
        }
    }

    fn instance(wanted: u32, apps: Vec<AppStatus>) -> InstanceStatus {
        let happy = apps
            .iter()
            .filter_map(|app| app.counts)
            .map(|counts| counts.happy)
            .sum();
        InstanceStatus {
            desired_app: "new".to_owned(),
            wanted,
            counts: Some(Counts {
                happy,
                running: happy,
                ..Counts::default()
            }),
            apps,
            deploy_status: DeployStatus::Running.into(),
            ..InstanceStatus::default()
        }
    }

    #[test]
    fn as_wanted_means_the_wanted_version_and_nothing_else() {
        let table = [
            (
                instance(3, vec![app(true, 3)]),
                Health::Healthy,
                Standing::AsWanted,
            ),
            (
                instance(3, vec![app(true, 2)]),
                Health::Warning,
                Standing::NotAsWanted,
            ),
            (instance(3, vec![]), Health::Critical, Standing::NotAsWanted),
            (
                instance(3, vec![app(true, 0), app(false, 3)]),
                Health::Healthy,
                Standing::NotAsWanted,
            ),
            (
                instance(3, vec![app(true, 3), app(false, 1)]),
                Health::Healthy,
                Standing::NotAsWanted,
            ),
            (instance(0, vec![]), Health::Healthy, Standing::AsWanted),
            (
                instance(0, vec![app(true, 1)]),
                Health::Healthy,
                Standing::NotAsWanted,
            ),
        ];
        for (status, health_wanted, standing_wanted) in table {
            assert_eq!(
                (health(&status), standing(&status)),
                (health_wanted, standing_wanted),
                "{status:?}"
            );
        }
    }

    #[test]
    fn what_was_not_heard_of_is_not_unhealthy() {
        let mut status = instance(3, vec![app(true, 1)]);
        let counts = status.counts.as_mut().unwrap();
        counts.unknown = 2;
        assert_eq!(health(&status), Health::Unknown);
        let counts = status.counts.as_mut().unwrap();
        counts.unknown = 1;
        assert_eq!(health(&status), Health::Warning);
    }

    #[test]
    fn a_bounce_a_hold_and_a_removal_are_not_as_wanted() {
        let fine = instance(1, vec![app(true, 1)]);
        let bounce = Some(BounceStatus::default());
        assert_eq!(
            standing(&InstanceStatus {
                bounce,
                ..fine.clone()
            }),
            Standing::NotAsWanted
        );
        let deploy_status = DeployStatus::Held.into();
        assert_eq!(
            standing(&InstanceStatus {
                deploy_status,
                ..fine.clone()
            }),
            Standing::NotAsWanted
        );
        assert_eq!(
            standing(&InstanceStatus {
                undeclared: true,
                ..fine
            }),
            Standing::NotAsWanted
        );
    }

    #[test]
    fn never_deployed_is_no_success_and_a_broken_configuration_is_worse() {
        let mut status = InstanceStatus {
            wanted: 1,
            ..InstanceStatus::default()
        };
        assert_eq!(standing(&status), Standing::NotDeployed);
        let warning = Problem {
            severity: Severity::Warning.into(),
            ..Problem::default()
        };
        status.problems.push(warning);
        assert_eq!(standing(&status), Standing::NotDeployed);
        status.problems.push(Problem {
            severity: Severity::Error.into(),
            ..Problem::default()
        });
        assert_eq!(standing(&status), Standing::NotAsWanted);
    }
}
