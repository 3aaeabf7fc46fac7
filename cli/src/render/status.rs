//! The answer to `paasta status`: a block per service, an entry per instance.

use paasta_common::text::{count, count_of};
use paasta_proto::{
    v1::{
        AppStatus, Autoscaling, BounceMethod, BounceState, BounceStatus, DeadlineAction,
        DeployStatus, DesiredState, InstanceStatus, OverrideKind, OverrideStatus, Problem,
        StatusResponse,
    },
    words::{Words as _, shown},
};

use super::{Tone, View, lines::Lines, plain, problem, replicas, repository, time, waiting};
use crate::verdict::instance::{self as verdict, Health, classes};

/// Columns of the labels.
const WIDE: usize = 16;

/// Renders answers page by page: thousands of instances are never held at once.
#[derive(Debug, Default)]
pub struct Pages {
    /// The service of the last instance shown.
    service: String,
    /// The problems that were shown with their service.
    shown: Vec<Problem>,
}

impl Pages {
    /// Renders the instances of the next page.
    pub fn page(&mut self, response: &StatusResponse, view: &View) -> String {
        let mut lines = Lines::new(view);
        for status in &response.instances {
            if self.service != status.service {
                lines.raw("");
                lines.field(0, "service", 9, &view.paint(Tone::Strong, &status.service));
                lines.field(0, "cluster", 9, &response.cluster);
                self.service.clone_from(&status.service);
                self.of_service(&mut lines, status, response);
            }
            let mut own = status.clone();
            own.repository = None;
            own.problems
                .retain(|problem| !response.problems.contains(problem));
            instance(&mut lines, &own, response.now_ms);
        }
        lines.finish()
    }

    /// Adds what is wrong with the whole service of an instance: once, not with each instance.
    fn of_service(
        &mut self,
        lines: &mut Lines<'_>,
        status: &InstanceStatus,
        response: &StatusResponse,
    ) {
        repository::add(lines, 2, status, response.now_ms);
        let of_all = |problem: &&Problem| response.problems.contains(problem);
        let shared: Vec<Problem> = status.problems.iter().filter(of_all).cloned().collect();
        problem::add(lines, 2, &shared);
        self.shown.extend(shared);
    }

    /// Renders the problems that belong to no instance shown; nothing when there are none.
    pub fn rest(&self, response: &StatusResponse, view: &View) -> String {
        let unshown = response.problems.iter();
        let unshown: Vec<Problem> = unshown
            .filter(|problem| !self.shown.contains(problem))
            .cloned()
            .collect();
        let mut lines = Lines::new(view);
        if !unshown.is_empty() {
            lines.raw("");
            lines.raw("Problems of the configuration:");
            problem::add(&mut lines, 2, &unshown);
        }
        lines.finish()
    }
}

/// Adds one instance.
pub fn instance(lines: &mut Lines<'_>, status: &InstanceStatus, now_ms: u64) {
    let name = lines.view().paint(Tone::Strong, &status.instance);
    lines.raw("");
    lines.field(4, "instance", 10, &name);
    summary(lines, status, now_ms);
    if !status.replicas.is_empty() {
        replicas::add(lines, 4, &status.replicas, now_ms);
    }
}

/// Adds all of an instance but its name and its replicas.
pub fn summary(lines: &mut Lines<'_>, status: &InstanceStatus, now_ms: u64) {
    let view = lines.view();
    lines.field(4, "Git sha", WIDE, &git_sha(status, now_ms, view));
    if !status.desired_app.is_empty() || status.undeclared {
        lines.field(4, "Desired state", WIDE, &desired_state(status, view));
        lines.field(4, "Health", WIDE, &health(status, view));
    }
    if !status.desired_app.is_empty() {
        lines.field(4, "App", WIDE, &status.desired_app);
    }
    let counts = status.counts.unwrap_or_default();
    let running = format!("{} running of {} wanted", counts.running, status.wanted);
    lines.field(4, "Replicas", WIDE, &[running, classes(&counts)].join("; "));
    if status.apps.len() > 1 {
        lines.raw("    Versions:");
        status
            .apps
            .iter()
            .for_each(|app| version(lines, app, now_ms));
    }
    if let Some(known) = &status.overridden {
        lines.field(
            4,
            "Override",
            WIDE,
            &overridden(known, now_ms, lines.view()),
        );
    }
    if let Some(bounce) = &status.bounce {
        // The first version comes by the same rules, from nothing.
        let label = match bounce.from.is_empty() && bounce.old_total == 0 {
            true => "Deploy",
            false => "Bounce",
        };
        lines.field(4, label, WIDE, &bounce_text(bounce, now_ms));
    }
    if let Some(scaled) = &status.autoscaling {
        lines.field(4, "Autoscaling", WIDE, &autoscaling(status, scaled));
    }
    if let Some(text) = load_balancer(status) {
        lines.field(4, "Load balancer", WIDE, &text);
    }
    if !status.waiting.is_empty() {
        lines.raw("    Waiting for:");
        let problems = !status.problems.is_empty();
        waiting::add(lines, 6, &status.waiting, problems, now_ms);
    }
    if status.repository.is_some() {
        lines.raw("    Repository:");
        repository::add(lines, 6, status, now_ms);
    }
    if !status.problems.is_empty() {
        lines.raw("    Problems of the configuration:");
        problem::add(lines, 6, &status.problems);
    }
}

fn git_sha(status: &InstanceStatus, now_ms: u64, view: &View) -> String {
    match status.git_sha.get(..8).unwrap_or(&status.git_sha) {
        "" => view.paint(Tone::Fair, "None") + repository::no_sha(status),
        short if status.desired_since_ms == 0 => format!("{short} (desired)"),
        short => {
            let since = time::moment_and_distance(status.desired_since_ms, now_ms, view);
            format!("{short} (desired), since {since}")
        }
    }
}

/// The bounds, and where the wanted number comes from, as there is no autoscaler yet.
fn autoscaling(status: &InstanceStatus, scaled: &Autoscaling) -> String {
    let (min, max, wanted) = (scaled.min_instances, scaled.max_instances, status.wanted);
    let from = match &status.overridden {
        Some(known) if known.kind() == OverrideKind::Pin => {
            let by = plain(&known.by);
            format!("pinned to {wanted} by {by}")
        }
        Some(_) => format!("{wanted} by the override"),
        None if status.desired_state() == DesiredState::Stop => "stopped".to_owned(),
        None => format!("{wanted} by max_instances (no autoscaler)"),
    };
    format!("{min} to {}; {from}", count(max, "instance"))
}

/// What an operator asked for beside the configuration.
fn overridden(known: &OverrideStatus, now_ms: u64, view: &View) -> String {
    let kind = shown::<OverrideKind>(known.kind);
    let what = match (OverrideKind::try_from(known.kind), known.instances) {
        (_, None) => format!("emergency {kind}"),
        (Ok(OverrideKind::Pin), Some(number)) => format!("pinned to {}", count(number, "replica")),
        (
            Ok(
                OverrideKind::Scale
                | OverrideKind::Stop
                | OverrideKind::Start
                | OverrideKind::Restart
                | OverrideKind::Unspecified,
            ),
            Some(number),
        ) => format!("scaled to {}", count(number, "replica")),
        (Err(_), Some(number)) => format!("{kind}, {}", count(number, "replica")),
    };
    let since = time::moment_and_distance(known.since_ms, now_ms, view);
    let by = plain(&known.by);
    format!(
        "{} by {by}, since {since}, until the next deploy or change",
        view.paint(Tone::Fair, &what)
    )
}

fn desired_state(status: &InstanceStatus, view: &View) -> String {
    if status.undeclared {
        return view.paint(Tone::Fair, "Undeclared") + ", being removed";
    }
    let bouncing = |method| format!("Bouncing ({})", shown::<BounceMethod>(method));
    let versions = || status.apps.iter().filter(|app| app.replicas > 0);
    let old = versions().any(|app| !app.desired);
    let shape = match &status.bounce {
        Some(bounce) if old => bouncing(bounce.method),
        None if old => bouncing(status.bounce_method),
        None if versions().next().is_none() => "Disabled".to_owned(),
        _ => "Configured".to_owned(),
    };
    let wish = match DesiredState::try_from(status.desired_state) {
        Err(_) => shown::<DesiredState>(status.desired_state),
        Ok(DesiredState::Stop) => "Stopped".into(),
        Ok(DesiredState::Start | DesiredState::Unspecified) if status.wanted == 0 => {
            "Stopped".into()
        }
        Ok(DesiredState::Start | DesiredState::Unspecified) => "Started".into(),
    };
    format!("{shape} and {wish}")
}

fn health(status: &InstanceStatus, view: &View) -> String {
    let (word, tone) = match verdict::health(status) {
        Health::Healthy => ("Healthy", Tone::Good),
        Health::Warning => ("Warning", Tone::Fair),
        Health::Critical => ("Critical", Tone::Bad),
        Health::Unknown => ("Not known", Tone::Fair),
    };
    let happy = status.counts.unwrap_or_default().happy;
    let word = view.paint(tone, word);
    let deploy = deploy_status(status.deploy_status);
    let known = match status.counts.unwrap_or_default().unknown {
        0 => String::new(),
        count => format!(", {count} not heard of"),
    };
    format!(
        "{word} - up with ({happy}/{}) replicas{known}. Status: {deploy}",
        status.wanted
    )
}

fn deploy_status(value: i32) -> String {
    let word = shown::<DeployStatus>(value);
    match DeployStatus::try_from(value).unwrap_or_default() {
        DeployStatus::Delayed => "Delayed (crashing, started again after a pause)".to_owned(),
        DeployStatus::Held => "Held (the bounce ran out of time and waits for you)".to_owned(),
        DeployStatus::LostBrake => "Waiting (too many hosts are away at once)".to_owned(),
        DeployStatus::NotDeployed => "Not deployed".to_owned(),
        DeployStatus::Unknown => "Not known (hosts report to the leader only)".to_owned(),
        DeployStatus::Running
        | DeployStatus::Deploying
        | DeployStatus::Bouncing
        | DeployStatus::Waiting
        | DeployStatus::Stopped
        | DeployStatus::Unspecified => {
            let mut chars = word.chars();
            let first = chars.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(chars).collect()
        }
    }
}

/// How many replicas take traffic, as far as that is known of any.
fn load_balancer(status: &InstanceStatus) -> Option<String> {
    let known = status
        .replicas
        .iter()
        .filter_map(|replica| replica.in_load_balancer);
    let (known, up) = known.fold((0, 0), |(known, up), is_in| {
        (known + 1, up + u32::from(is_in))
    });
    (known > 0).then(|| {
        format!(
            "{up} of {} in, {known} known",
            count_of(status.replicas.len(), "replica")
        )
    })
}

fn version(lines: &mut Lines<'_>, app: &AppStatus, now_ms: u64) {
    let view = lines.view();
    let role = if app.desired { "wanted" } else { "old" };
    let role = view.paint(if app.desired { Tone::Good } else { Tone::Faint }, role);
    lines.add("      ", &format!("{} ({role})", app.app), 8);
    let counts = classes(&app.counts.unwrap_or_default());
    let mut text = format!("{} placed: {counts}", app.replicas);
    if app.created_at_ms > 0 {
        let since = time::moment_and_distance(app.created_at_ms, now_ms, view);
        text.push_str(&format!("; since {since}"));
    }
    lines.add("        ", &text, 8);
}

/// How far a bounce is, in one sentence.
pub fn bounce_text(bounce: &BounceStatus, now_ms: u64) -> String {
    let mut text = format!(
        "{}, {} for {}: new {}/{} happy",
        shown::<BounceMethod>(bounce.method),
        match bounce.state {
            0 => BounceState::Going.word().into(),
            state => shown::<BounceState>(state),
        },
        time::span(now_ms.saturating_sub(bounce.started_at_ms)),
        bounce.new_happy,
        bounce.new_wanted,
    );
    if bounce.old_total > 0 {
        text.push_str(&format!(
            ", old {}/{} happy",
            bounce.old_happy, bounce.old_total
        ));
    }
    if bounce.last_progress_at_ms > 0 {
        text.push_str(&format!(
            ", last step {}",
            time::distance(bounce.last_progress_at_ms, now_ms)
        ));
    }
    if let Some(deadline) = bounce.deadline_ms {
        let then = shown::<DeadlineAction>(bounce.on_deadline).replace('_', " ");
        text.push_str(&format!(
            ", deadline {} (then {then})",
            time::distance(deadline, now_ms)
        ));
    }
    text
}

#[cfg(test)]
mod tests;
