//! Findings about the cluster: what `paasta metastatus` and the dashboard show first, and what the
//! exit code of `paasta metastatus` follows from.

mod disks;

use std::collections::BTreeSet;

use paasta_common::text::span;

use crate::{
    v1::{
        DataSpace, HostPart, HostState, HostStatus, LinkSpeed, MemberRole, MetastatusResponse,
        Resources, SettingsDrift,
    },
    words::{Words as _, shown},
};

use super::groups::pools;

/// More than this much of a resource in use is trouble, in percent: a lost host needs room.
const USED_MAX_PERCENT: u64 = 90;

/// A coordinator that has not answered the leader for so long is silent, in milliseconds: many
/// heartbeats, and more than a slow disk takes.
pub const SILENT_AFTER_MS: u64 = 5_000;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Not as it should be, and nothing is in danger.
    Warning,
    /// Someone must act.
    Critical,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found, with numbers.
    pub text: String,
}

/// Looks at everything that the leader tells about the cluster. `silent` are the ids of the
/// coordinators that did not answer when they were asked themselves.
pub fn findings(response: &MetastatusResponse, silent: &BTreeSet<u64>) -> Vec<Finding> {
    let capacity = response.capacity.unwrap_or_default();
    let used = response.used.unwrap_or_default();
    let cores = |milli: u64| format!("{}.{:02}", milli / 1000, milli % 1000 / 10);
    let gigabytes = |mb: u64| format!("{}.{:02} GB", mb / 1024, mb % 1024 * 100 / 1024);
    let mut found = vec![coordinators(response, silent), hosts(response)];
    let mut resource = |subject, amount: fn(Resources) -> u64, said: &dyn Fn(u64) -> String| {
        let (used, capacity) = (amount(used), amount(capacity));
        // A cluster without GPUs has no trouble with them.
        if subject != "GPUs" || capacity > 0 {
            found.push(in_use(subject, used, capacity, said));
        }
    };
    resource("CPUs", |of| of.cpus_milli, &cores);
    resource("Memory", |of| of.mem_mb, &gigabytes);
    resource("Disk", |of| of.disk_mb, &gigabytes);
    resource("GPUs", |of| of.gpus, &|count| count.to_string());
    found.extend(pools(&response.hosts));
    found.push(desired(response));
    found.extend(disks::disk_limits(response));
    found.extend(clocks(response));
    found.extend(space(response));
    found.extend(settings(response));
    if response.repositories > 0 {
        found.push(repositories(response));
    }
    if !response.brake.is_empty() {
        let (subject, level, text) = ("Brake", Level::Critical, response.brake.clone());
        found.push(Finding {
            subject,
            level,
            text,
        });
    }
    found
}

/// Whether one of the findings is critical: a warning is no trouble yet.
pub fn is_unwell(findings: &[Finding]) -> bool {
    let mut findings = findings.iter();
    findings.any(|finding| finding.level == Level::Critical)
}

/// How many percent `used` is of `capacity`; 0 of nothing.
pub fn percent(used: u64, capacity: u64) -> f64 {
    match capacity {
        0 => 0.0,
        capacity => used as f64 * 100.0 / capacity as f64,
    }
}

/// Whether so much is used that someone must act.
pub fn is_full(used: u64, capacity: u64) -> bool {
    u128::from(used) * 100 > u128::from(capacity) * u128::from(USED_MAX_PERCENT)
}

fn coordinators(response: &MetastatusResponse, silent: &BTreeSet<u64>) -> Finding {
    let subject = "Coordinators";
    let Some(leader) = response.coordinators.iter().find(|one| one.leader) else {
        let text = format!(
            "no leader in term {}; nothing is decided until there is one",
            response.term
        );
        return Finding {
            subject,
            level: Level::Critical,
            text,
        };
    };
    let voters: Vec<_> = response
        .coordinators
        .iter()
        .filter(|one| one.role() != MemberRole::Learner)
        .collect();
    let out = |id: &u64, refused: &str| silent.contains(id) || !refused.is_empty();
    let silent = voters.iter().filter(|one| out(&one.id, &one.refused));
    let silent: Vec<String> = silent
        .map(|one| format!("{} ({})", one.id, one.address))
        .collect();
    let answering = voters.len() - silent.len();
    let quorum = voters.len() / 2 + 1;
    let mut text = format!(
        "{answering} of {} answer; leader {} ({}), term {}, applied {}",
        voters.len(),
        leader.id,
        leader.address,
        response.term,
        response.applied_index
    );
    let (links, links_level) = slow_links(response);
    text.push_str(&links);
    let level = match silent.is_empty() {
        true => links_level,
        false => {
            text.push_str(&format!("; silent: {}", silent.join(", ")));
            match answering > quorum {
                true => Level::Warning,
                false => {
                    text.push_str("; losing one more stops the cluster");
                    Level::Critical
                }
            }
        }
    };
    for one in response
        .coordinators
        .iter()
        .filter(|one| !one.refused.is_empty())
    {
        text.push_str(&format!(
            "; coordinator {} takes no part: {}",
            one.id, one.refused
        ));
    }
    Finding {
        subject,
        level,
        text,
    }
}

/// Whether its state is one of a newer coordinator's.
fn is_unrecognized(host: &HostStatus) -> bool {
    host.state != 0 && host.state() == HostState::Unspecified
}

/// Which of the leader's links are slow, and whether consensus is made for that.
fn slow_links(response: &MetastatusResponse) -> (String, Level) {
    let named = |speed: LinkSpeed| {
        let links = response
            .coordinators
            .iter()
            .filter(|one| one.link() == speed);
        let named: Vec<String> = links
            .map(|one| format!("{} ({} ms)", one.id, one.round_trip_us.unwrap_or(0) / 1_000))
            .collect();
        named.join(", ")
    };
    let (slow, too_slow) = (named(LinkSpeed::Slow), named(LinkSpeed::TooSlow));
    let mut text = String::new();
    let mut level = Level::Ok;
    if !slow.is_empty() {
        let permille = response.consensus_pace_permille;
        let times = format!("{}.{}", permille / 1_000, permille % 1_000 / 100);
        text.push_str(&format!(
            "; slow links to {slow}: elections take {times} times as long"
        ));
    }
    if !too_slow.is_empty() {
        level = Level::Warning;
        text.push_str(&format!(
            "; links too slow for heartbeat_ms to {too_slow}: raise it and the election timeouts"
        ));
    }
    (text, level)
}

/// The room of the coordinators' data directories: the one with the least, and every one that is
/// short of it. Nothing where no coordinator tells.
fn space(response: &MetastatusResponse) -> Option<Finding> {
    let all = response.coordinators.iter();
    let known = all.filter_map(|one| {
        let (free, total) = (one.data_free_bytes?, one.data_total_bytes?);
        Some((free.saturating_mul(1_000) / total.max(1), free, total, one))
    });
    let (_, free, total, least) = known.min_by_key(|(share, ..)| *share)?;
    let mut text = format!(
        "coordinator {} has the least room: {} of {} MiB are free",
        least.id,
        free >> 20,
        total >> 20
    );
    let mut level = Level::Ok;
    for one in &response.coordinators {
        let said = match DataSpace::try_from(one.data_space) {
            Ok(DataSpace::Low) => (Level::Warning, "is low".into()),
            Ok(DataSpace::Reserve) => (Level::Critical, "is down to its reserve".into()),
            Ok(DataSpace::Full) => (Level::Critical, "is nearly full".into()),
            Ok(DataSpace::Ok | DataSpace::Unspecified) => continue,
            Err(_) => (Level::Warning, shown::<DataSpace>(one.data_space)),
        };
        level = level.max(said.0);
        text.push_str(&format!(
            "; that of {} ({}) {}",
            one.id, one.address, said.1
        ));
    }
    match DataSpace::try_from(response.writes_space) {
        Ok(DataSpace::Reserve) => text.push_str("; new versions and configurations are refused"),
        Ok(DataSpace::Full) => text.push_str("; all but what mends the cluster is refused"),
        Ok(DataSpace::Ok | DataSpace::Low | DataSpace::Unspecified) => {}
        Err(_) => {
            let space = shown::<DataSpace>(response.writes_space);
            text.push_str(&format!("; what is refused is {space}"));
        }
    }
    for one in &response.coordinators {
        if !one.snapshot_error.is_empty() {
            level = level.max(Level::Warning);
            text.push_str(&format!(
                "; coordinator {} cannot write its snapshot ({})",
                one.id, one.snapshot_error
            ));
        }
    }
    Some(Finding {
        subject: "Data Directories",
        level,
        text,
    })
}

/// The hosts of which a part fails, by part.
#[derive(Default)]
struct Failing {
    /// Those whose container runtime does.
    runtime: Vec<String>,
    /// Those whose agent cannot write its disk.
    disk: Vec<String>,
    /// Those whose Docker disk is nearly full.
    docker_disk: Vec<String>,
    /// Those of which a part fails that this program does not know, with its number.
    other: Vec<String>,
}

impl Failing {
    fn of(response: &MetastatusResponse) -> Self {
        let mut failing = Self::default();
        let hosts = response.hosts.iter();
        for host in hosts.filter(|host| !host.runtime_degraded.is_empty()) {
            let names = match HostPart::try_from(host.degraded_part) {
                Ok(HostPart::Disk) => &mut failing.disk,
                Ok(HostPart::DockerDisk) => &mut failing.docker_disk,
                // A coordinator of before there were parts means the runtime.
                Ok(HostPart::Runtime | HostPart::Unspecified) => &mut failing.runtime,
                Err(_) => {
                    let part = shown::<HostPart>(host.degraded_part);
                    failing.other.push(format!("{}: {part}", host.id));
                    continue;
                }
            };
            names.push(host.id.clone());
        }
        failing
    }

    fn is_empty(&self) -> bool {
        let parts = [&self.runtime, &self.disk, &self.docker_disk, &self.other];
        parts.into_iter().all(Vec::is_empty)
    }
}

/// The hosts under whose id a second machine was refused, with that machine's address.
fn rivals(response: &MetastatusResponse) -> Vec<String> {
    let hosts = response.hosts.iter();
    let rivals = hosts.filter(|host| !host.rival_address.is_empty());
    rivals
        .map(|host| format!("{} ({})", host.id, host.rival_address))
        .collect()
}

fn hosts(response: &MetastatusResponse) -> Finding {
    let subject = "Hosts";
    let in_state = |state: HostState| {
        response
            .hosts
            .iter()
            .filter(|host| host.state() == state)
            .count()
    };
    let lost: Vec<&str> = response
        .hosts
        .iter()
        .filter(|host| host.state() == HostState::Lost)
        .map(|host| host.id.as_str())
        .collect();
    let failing = Failing::of(response);
    let mut text = format!("{} up", in_state(HostState::Up));
    for state in [HostState::Unknown, HostState::Silent, HostState::Draining] {
        match in_state(state) {
            0 => {}
            count => text.push_str(&format!(", {count} {}", state.word())),
        }
    }
    let of_newer = response.hosts.iter().filter(|host| is_unrecognized(host));
    match of_newer.count() {
        0 => {}
        count => text.push_str(&format!(
            ", {count} in a state that this paasta does not know"
        )),
    }
    if !lost.is_empty() {
        text.push_str(&format!(", {} lost: {}", lost.len(), lost.join(", ")));
    }
    let rivals = rivals(response);
    for (said, names) in [
        ("container runtime in trouble on", &failing.runtime),
        ("the agent cannot write its disk on", &failing.disk),
        ("the Docker disk is nearly full on", &failing.docker_disk),
        (
            "a part that this paasta does not know fails on",
            &failing.other,
        ),
        ("a second machine is refused under the id of", &rivals),
    ] {
        if !names.is_empty() {
            text.push_str(&format!("; {said} {}", names.join(", ")));
        }
    }
    let level = match (
        lost.is_empty(),
        failing.is_empty() && rivals.is_empty() && in_state(HostState::Unknown) == 0,
    ) {
        (false, _) => Level::Critical,
        (true, false) => Level::Warning,
        (true, true) if response.hosts.is_empty() => {
            "none; start paasta-agent on the hosts that shall run services".clone_into(&mut text);
            Level::Warning
        }
        (true, true) => Level::Ok,
    };
    Finding {
        subject,
        level,
        text,
    }
}

/// Machines whose clock differs from the cluster's time by more than this are named, in milliseconds.
const SKEW_SHOWN_MS: u64 = 2_000;
/// From here on someone should set it.
const SKEW_BAD_MS: u64 = 60_000;
/// So many of them are named.
const SKEWED_MAX: usize = 10;

/// Which machines have a wrong clock; nothing when none has.
fn clocks(response: &MetastatusResponse) -> Option<Finding> {
    let hosts = response.hosts.iter();
    let hosts = hosts.map(|host| (host.id.clone(), host.clock_ahead_ms));
    let coordinators = response.coordinators.iter();
    let coordinators =
        coordinators.map(|one| (format!("coordinator {}", one.id), one.clock_ahead_ms));
    let off = coordinators.chain(hosts).filter_map(|(whose, ahead)| {
        let ahead = ahead?;
        (ahead.unsigned_abs() > SKEW_SHOWN_MS).then_some((whose, ahead))
    });
    let mut off: Vec<_> = off.collect();
    off.sort_by_key(|(_, ahead)| std::cmp::Reverse(ahead.unsigned_abs()));
    let (_, worst) = off.first()?;
    let named = off.iter().take(SKEWED_MAX).map(|(host, ahead)| {
        let side = if *ahead > 0 { "ahead" } else { "behind" };
        format!("{host} {} {side}", span(ahead.unsigned_abs()))
    });
    let mut text = named.collect::<Vec<_>>().join(", ");
    if off.len() > SKEWED_MAX {
        text.push_str(&format!(" and {} more", off.len() - SKEWED_MAX));
    }
    text.push_str(" of the cluster's time; times in their logs are off by that");
    let level = match worst.unsigned_abs() > SKEW_BAD_MS {
        true => Level::Warning,
        false => Level::Ok,
    };
    Some(Finding {
        subject: "Clocks",
        level,
        text,
    })
}

fn in_use(
    subject: &'static str,
    used: u64,
    capacity: u64,
    said: &dyn Fn(u64) -> String,
) -> Finding {
    let share = percent(used, capacity);
    let mut text = format!("{} / {} in use ({share:.2}%)", said(used), said(capacity));
    let level = match is_full(used, capacity) {
        true => {
            text.push_str(&format!(
                "; less than {}% available",
                100 - USED_MAX_PERCENT
            ));
            Level::Critical
        }
        false => Level::Ok,
    };
    Finding {
        subject,
        level,
        text,
    }
}

fn desired(response: &MetastatusResponse) -> Finding {
    let subject = "Desired state";
    let read = match response.desired_read_at_ms {
        0 => "never read".to_owned(),
        at => format!("read {} ago", span(response.now_ms.saturating_sub(at))),
    };
    match response.desired_error.as_str() {
        "" => Finding {
            subject,
            level: Level::Ok,
            text: read,
        },
        error => {
            let text = format!("{read}; the last good one stays: {error}");
            Finding {
                subject,
                level: Level::Warning,
                text,
            }
        }
    }
}

/// Said only when there is something to say.
fn settings(response: &MetastatusResponse) -> Option<Finding> {
    let of = |one: &SettingsDrift| format!("coordinator {} ({})", one.id, one.keys.join(", "));
    let differing: Vec<String> = response.settings_drift.iter().map(of).collect();
    (!differing.is_empty()).then(|| Finding {
        subject: "Settings",
        level: Level::Warning,
        text: format!(
            "the files differ from what is in force: {}; see `paasta settings diff`",
            differing.join(", ")
        ),
    })
}

fn repositories(response: &MetastatusResponse) -> Finding {
    let (all, failing) = (response.repositories, response.repositories_failing);
    let (level, text) = match failing {
        0 => (Level::Ok, format!("{all} followed, all answer")),
        _ => (
            Level::Warning,
            format!(
                "{failing} of {all} do not answer, their last answers stay: {}{}",
                response.repositories_error,
                match failing {
                    1 => "",
                    _ => "; `paasta generate-deployments --status` has them all",
                }
            ),
        ),
    };
    Finding {
        subject: "Repositories",
        level,
        text,
    }
}

#[cfg(test)]
mod tests;
