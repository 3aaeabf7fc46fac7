//! An instance at a glance: its state in one word, since when, and whether someone must act.

use crate::v1::{DeployStatus, DesiredState, InstanceStatus};

use super::instance::{self, Health, Standing};

/// How much attention an instance needs. Ordered: what needs the most comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing that is wanted serves, or nothing goes on without an operator.
    Act,
    /// Not as wanted, and something is being done about it.
    Look,
    /// As wanted.
    Rest,
}

/// The state of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// In one word.
    pub word: &'static str,
    /// How much attention it needs.
    pub need: Need,
    /// Since when it is so, as far as that is known; 0 otherwise.
    pub since_ms: u64,
}

/// Judges an instance.
pub fn glance(status: &InstanceStatus) -> Glance {
    let well = instance::standing(status) == Standing::AsWanted;
    let word = match well {
        true if status.wanted == 0 => "stopped",
        true => "ok",
        false => word(status),
    };
    let idle = matches!(word, "held" | "brake");
    let need = match instance::health(status) {
        _ if well => Need::Rest,
        _ if idle => Need::Act,
        Health::Critical if status.wanted > 0 && !status.desired_app.is_empty() => Need::Act,
        Health::Critical | Health::Healthy | Health::Warning | Health::Unknown => Need::Look,
    };
    Glance {
        word,
        need,
        since_ms: since(status, well),
    }
}

/// Whether it moves from one version to another, or to its first.
pub fn is_bouncing(status: &InstanceStatus) -> bool {
    let old = status
        .apps
        .iter()
        .any(|app| !app.desired && app.replicas > 0);
    status.bounce.is_some() || old
}

/// The word for one that is not as wanted.
fn word(status: &InstanceStatus) -> &'static str {
    if status.undeclared {
        return "removing";
    }
    if status.problems.iter().any(instance::is_error) {
        return "broken";
    }
    if status.desired_app.is_empty() {
        return "undeployed";
    }
    let stops = status.wanted == 0 || status.desired_state() == DesiredState::Stop;
    match status.deploy_status() {
        DeployStatus::Held => "held",
        DeployStatus::LostBrake => "brake",
        DeployStatus::Delayed => "crashing",
        DeployStatus::Waiting => "no-room",
        _ if stops => "stopping",
        DeployStatus::Bouncing => "bouncing",
        DeployStatus::Deploying => "deploying",
        DeployStatus::Running | DeployStatus::Stopped => "short",
        DeployStatus::NotDeployed => "undeployed",
        DeployStatus::Unknown | DeployStatus::Unspecified => "unknown",
    }
}

fn since(status: &InstanceStatus, well: bool) -> u64 {
    let bounce = status.bounce.as_ref().map(|bounce| bounce.started_at_ms);
    let waits = status.waiting.iter().map(|one| one.since_ms);
    let waits = waits.filter(|since| *since > 0).min();
    match (well, bounce, waits) {
        (false, Some(since), _) | (false, None, Some(since)) => since,
        _ => status.desired_since_ms,
    }
}

#[cfg(test)]
mod tests {
    use crate::v1::{AppStatus, BounceStatus, Counts, Problem, Waiting};

    use super::*;

    fn running(wanted: u32, happy: u32, deploy: DeployStatus) -> InstanceStatus {
        let counts = Some(Counts {
            happy,
            running: happy,
            ..Counts::default()
        });
        InstanceStatus {
            desired_app: "new".to_owned(),
            wanted,
            counts,
            apps: vec![AppStatus {
                desired: true,
                counts,
                replicas: happy,
                ..AppStatus::default()
            }],
            deploy_status: deploy.into(),
            desired_since_ms: 7,
            ..InstanceStatus::default()
        }
    }

    #[test]
    fn every_state_has_its_word_and_its_need() {
        use DeployStatus as D;
        for (status, word, need) in [
            (running(2, 2, D::Running), "ok", Need::Rest),
            (running(0, 0, D::Stopped), "stopped", Need::Rest),
            (running(0, 1, D::Bouncing), "stopping", Need::Look),
            (running(2, 1, D::Waiting), "no-room", Need::Look),
            (running(2, 0, D::Waiting), "no-room", Need::Act),
            (running(2, 1, D::Delayed), "crashing", Need::Look),
            (running(2, 1, D::Deploying), "deploying", Need::Look),
            (running(2, 1, D::Bouncing), "bouncing", Need::Look),
            (running(2, 2, D::Held), "held", Need::Act),
            (running(2, 2, D::LostBrake), "brake", Need::Act),
            (running(2, 1, D::Unknown), "unknown", Need::Look),
            (InstanceStatus::default(), "undeployed", Need::Look),
        ] {
            let found = glance(&status);
            assert_eq!((found.word, found.need), (word, need), "{status:?}");
        }
        let mut broken = running(1, 1, D::Running);
        broken.problems.push(Problem::default());
        assert_eq!(glance(&broken).word, "broken");
        broken.undeclared = true;
        assert_eq!(glance(&broken).word, "removing");
        assert!(Need::Act < Need::Look && Need::Look < Need::Rest);
    }

    #[test]
    fn it_is_so_since_the_bounce_or_the_wait_began() {
        let mut status = running(2, 1, DeployStatus::Waiting);
        assert_eq!(glance(&status).since_ms, 7);
        status.waiting.push(Waiting {
            since_ms: 9,
            ..Waiting::default()
        });
        assert_eq!(glance(&status).since_ms, 9);
        assert!(!is_bouncing(&status));
        status.bounce = Some(BounceStatus {
            started_at_ms: 8,
            ..BounceStatus::default()
        });
        assert_eq!(glance(&status).since_ms, 8);
        assert!(is_bouncing(&status));
    }
}
