//! One instance: what is wanted beside what runs, and why they differ.

use std::collections::BTreeMap;

use maud::{Markup, html};
use paasta_common::text::count;
use paasta_proto::{
    v1::{
        AppStatus, BounceMethod, BounceState, DesiredState, Event, InstanceStatus, OverrideKind,
        ReplicaClass, ReplicaHealth, ReplicaPhase, ReplicaStatus,
    },
    verdict::{
        glance::glance,
        instance::{Standing as Verdict, classes, floor, is_error, standing as verdict},
    },
    words::shown,
};

use super::{action, events, waiting};
use crate::dashboard::{
    page::{Block, Page, Row},
    parts::{self, Tone, badge, command, moment, name_of, version},
    read::Standing,
};

/// Replicas that are listed, at most: those that are not happy come first.
const REPLICAS_MAX: usize = 200;

/// Lays it out.
pub(in crate::dashboard) fn page(
    standing: Standing,
    one: &InstanceStatus,
    happened: &[Event],
) -> Page {
    let name = name_of(one);
    let blocks = vec![
        Block::plain("summary", summary(one, &name)),
        Block::plain("why", why(one, &name)),
        Block::plain("bounce", bounce(one, &name)),
        versions(one),
        replicas(one, &name),
        balancers(one),
        events::block(happened, "Events", &format!("paasta events -i {name}")),
    ];
    Page::new(name, "/services", standing, blocks)
}

fn summary(one: &InstanceStatus, name: &str) -> Markup {
    let wanted = match DesiredState::try_from(one.desired_state) {
        Ok(DesiredState::Stop) => "stopped".to_owned(),
        Ok(DesiredState::Start | DesiredState::Unspecified) => count(one.wanted, "replica"),
        Err(_) => shown::<DesiredState>(one.desired_state).into_owned(),
    };
    let counts = one.counts.unwrap_or_default();
    html! {
        section #summary aria-label="Summary" {
            p.summary { (parts::state(one)) " since " (moment(glance(one).since_ms)) }
            dl {
                dt { "Wanted" } dd { (wanted) " of " (version(&one.git_sha)) ", desired since " (moment(one.desired_since_ms)) }
                dt { "Running" } dd { (counts.running) " running; " (classes(&counts)) }
                dt { "App" } dd { code { (one.desired_app) } }
                @if let Some(bounds) = &one.autoscaling {
                    dt { "Autoscaled" } dd { "from " (bounds.min_instances) " to " (bounds.max_instances) }
                }
                @if let Some(known) = &one.overridden {
                    dt { "Override" } dd {
                        (shown::<OverrideKind>(known.kind)) " by " (known.by) ", since " (moment(known.since_ms))
                        ", until the next deploy or change"
                    }
                }
                @if !one.team.is_empty() { dt { "Team" } dd { (one.team) } }
                @if !one.registrations.is_empty() { dt { "Announced as" } dd { (one.registrations.join(", ")) } }
                @if let Some(alarm) = &one.alarm {
                    dt { "Alarm" } dd { (badge(Tone::Bad, "in alarm")) " since " (moment(alarm.since_ms)) ": " (alarm.text) }
                }
            }
            p { (command(&format!("paasta status {name} -v"))) " "
                (command(&format!("paasta logs -s {} -i {} -f", one.service, one.instance))) " "
                (command(&format!("paasta history {name}"))) }
        }
    }
}

fn why(one: &InstanceStatus, name: &str) -> Markup {
    let speaks = one
        .replicas
        .iter()
        .filter(|replica| !replica.message.is_empty());
    let silent = one.repository.as_ref().filter(|known| known.failures > 0);
    html! {
        section #why aria-labelledby="why-title" {
            h2 #why-title { "Why" }
            @match verdict(one) {
                Verdict::AsWanted => p { "It is as wanted." },
                Verdict::NotDeployed => p { "Nothing was ever deployed: mark a commit by "
                    (command("paasta mark-for-deployment")) "." },
                Verdict::NotAsWanted => p { "It is not as wanted." },
            }
            ul {
                @if let Some(known) = silent {
                    li { "Its repository " code { (known.url) } " does not answer: " (known.error) }
                }
                @for problem in &one.problems { li {
                    (badge(if is_error(problem) { Tone::Bad } else { Tone::Waits }, if is_error(problem) { "error" } else { "warning" }))
                    " " code { (problem.file) @if let Some(line) = problem.line { ":" (line) } } " "
                    @if !problem.field.is_empty() { code { (problem.field) } ": " }
                    (problem.message)
                } }
                @for one in &one.waiting { li {
                    (waiting(one))
                    @if !one.refusals.is_empty() { ul {
                        @for (reason, hosts) in &one.refusals { li { (count(*hosts, "host")) ": " (reason) } }
                    } }
                } }
                @for replica in speaks.take(REPLICAS_MAX) { li {
                    code { (replica.id) } " on " (replica.host) ": " (replica.message)
                    @if let Some(at) = replica.next_try_at_ms { "; next try " (moment(at)) }
                } }
            }
            p { (command(&format!("paasta why {name}"))) }
        }
    }
}

fn bounce(one: &InstanceStatus, name: &str) -> Markup {
    html! {
        section #bounce aria-labelledby="bounce-title" {
            h2 #bounce-title { "Bounce" }
            @if let Some(bounce) = &one.bounce {
                dl {
                    dt { "State" } dd { (shown::<BounceState>(bounce.state)) ", by " (shown::<BounceMethod>(bounce.method)) }
                    dt { "New" } dd { (parts::progress("new replicas that are happy", bounce.new_happy, bounce.new_wanted)) " happy" }
                    dt { "Old" } dd { (parts::progress("old replicas that are happy", bounce.old_happy, bounce.old_total)) " happy" }
                    dt { "Floor" } dd { (floor(one)) " happy replicas of any version are kept" }
                    dt { "Began" } dd { (moment(bounce.started_at_ms)) }
                    dt { "Last step" } dd { (moment(bounce.last_progress_at_ms)) }
                    dt { "Deadline" } dd { @match bounce.deadline_ms {
                        Some(at) => { (moment(at)) ", then " (action(bounce.on_deadline)) }
                        None => "none",
                    } }
                }
                p { (command(&format!("paasta bounce status {name}"))) " "
                    (command(&format!("paasta bounce rollback {name}"))) " "
                    (command(&format!("paasta bounce resume {name}"))) }
            } @else { p.empty { "No bounce is under way." } }
        }
    }
}

fn versions(one: &InstanceStatus) -> Block {
    let rows = one.apps.iter().map(|app: &AppStatus| {
        let role = match app.desired {
            true => badge(Tone::Good, "wanted"),
            false => badge(Tone::Idle, "old"),
        };
        let cells = [
            role,
            version(&app.git_sha),
            html! { (app.replicas) },
            html! { (classes(&app.counts.unwrap_or_default())) },
            moment(app.created_at_ms),
        ];
        Row::of(
            format!("app-{}", app.app),
            &html! { code { (app.app) } },
            &cells,
        )
    });
    let columns = ["App", "Role", "Version", "Placed", "Replicas", "Since"];
    Block::table(
        "versions",
        "Versions",
        &columns,
        rows.collect(),
        "Nothing was ever deployed.",
    )
}

fn replicas(one: &InstanceStatus, name: &str) -> Block {
    let mut all: Vec<&ReplicaStatus> = one.replicas.iter().collect();
    // The sort is stable.
    all.sort_by_key(|replica| replica.class() == ReplicaClass::Happy);
    let rows: Vec<Row> = all
        .iter()
        .take(REPLICAS_MAX)
        .map(|one| replica(one))
        .collect();
    let mut hosts: BTreeMap<&str, u32> = BTreeMap::new();
    for replica in &one.replicas {
        *hosts.entry(&replica.host).or_default() += 1;
    }
    let more = all.len() - rows.len();
    let below = html! {
        @if more > 0 { p { "and " (more) " more: " (command(&format!("paasta status {name} -v"))) } }
        p.aside { "On " (hosts.len()) " hosts." }
    };
    let columns = [
        "Replica", "Host", "Class", "Phase", "Health", "Version", "Port", "Since", "Failures",
        "Last end",
    ];
    Block::table_with(
        "replicas",
        "Replicas",
        &columns,
        rows,
        "There is no replica.",
        &below,
    )
}

fn replica(one: &ReplicaStatus) -> Row {
    let word = shown::<ReplicaClass>(one.class);
    let tone = match ReplicaClass::try_from(one.class) {
        Ok(ReplicaClass::Happy) => Tone::Good,
        Ok(ReplicaClass::Starting | ReplicaClass::Draining | ReplicaClass::AtRisk) => Tone::Moving,
        Ok(ReplicaClass::Unhappy | ReplicaClass::Lost) => Tone::Bad,
        Ok(ReplicaClass::Stopping) => Tone::Idle,
        Ok(ReplicaClass::Unknown | ReplicaClass::Unspecified) | Err(_) => Tone::Waits,
    };
    // The id of an app ends with the hashes of its version.
    let app = one.app.splitn(3, '.').nth(2).unwrap_or(&one.app);
    let cells = [
        html! { a href={ "/hosts?host=" (one.host) } { (one.host) } },
        badge(tone, &word),
        html! { (shown::<ReplicaPhase>(one.phase)) },
        html! { (shown::<ReplicaHealth>(one.health)) },
        html! { code { (app) } },
        html! { @if let Some(port) = one.host_port { (port) } },
        moment(one.started_at_ms.unwrap_or(one.placed_at_ms)),
        html! { (one.failures) },
        html! { (one.last_end_text) },
    ];
    Row::of(
        format!("replica-{}", one.id),
        &html! { code { (one.id) } },
        &cells,
    )
}

/// What load balancers have in service, by namespace and location.
fn balancers(one: &InstanceStatus) -> Block {
    let of = |namespace: &paasta_proto::v1::NamespaceStatus| {
        let name = namespace.name.clone();
        let port = namespace.proxy_port;
        let locations = namespace.locations.iter().map(move |at| {
            let cells = [
                html! { (port) },
                html! { (at.location) },
                html! { (at.up) },
                html! { (at.down) },
                html! { (at.maint) },
                html! { (at.balancers) },
            ];
            let id = format!("balancer-{name}-{}", at.location);
            Row::of(id, &html! { (name) }, &cells)
        });
        locations.collect::<Vec<Row>>()
    };
    let rows = one.namespaces.iter().flat_map(of).collect();
    let columns = [
        "Namespace",
        "Port",
        "Location",
        "Up",
        "Down",
        "Leaving",
        "Load balancers",
    ];
    let empty = "No load balancer serves it, or this coordinator does not lead.";
    Block::table("balancers", "Load balancers", &columns, rows, empty)
}
