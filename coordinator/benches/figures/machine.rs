//! What the figures were measured on, and how they are written.

use std::{fs, time::Duration};

/// One line about this machine and this build.
pub(crate) fn describe() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?").to_owned();
    let profile = match cfg!(debug_assertions) {
        true => "DEBUG build: not figures to quote",
        false => "release build",
    };
    format!(
        "paasta {} on {model}, {cores} cores, {} GiB, load {load}; {profile}",
        env!("CARGO_PKG_VERSION"),
        memory >> 20
    )
}

/// A figure beside its target.
pub(crate) fn verdict(name: &str, figure: f64, unit: &str, target: f64, at_least: bool) {
    let met = if at_least {
        figure >= target
    } else {
        figure <= target
    };
    let sign = if at_least { ">=" } else { "<=" };
    let word = if met { "met" } else { "MISSED" };
    println!("  {name:58} {figure:>12.1} {unit:<14} target {sign} {target} {word}");
}

/// A figure without a target.
pub(crate) fn figure(name: &str, figure: f64, unit: &str) {
    println!("  {name:58} {figure:>12.1} {unit}");
}

/// The value below which `share` (0 to 1) of the samples are; sorts them.
pub(crate) fn quantile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    let last = samples.len().saturating_sub(1);
    let at = (share * last as f64).round() as usize;
    samples.get(at).copied().unwrap_or_default()
}

/// Milliseconds with their fractions.
pub(crate) fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

/// Microseconds with their fractions.
pub(crate) fn us(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

/// Resident memory of this process, in MiB.
pub(crate) fn resident_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
