//! What every process exports under the names that Prometheus' own libraries use.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

use super::Page;

/// Places in `/proc/self/stat`, counted after the process's name.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;
const RESIDENT_PAGES: usize = 21;

/// Adds memory, files and CPU time of this process, as far as `/proc` tells.
pub(super) fn add(page: &mut Page) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    let field = |at: usize| fields.get(at).copied();
    let system = |name| sysconf(name).ok().flatten().map(|value| value as f64);
    if let (Some(pages), Some(size)) = (field(RESIDENT_PAGES), system(SysconfVar::PAGE_SIZE)) {
        page.gauge(
            "process_resident_memory_bytes",
            "Memory of this process that is in RAM.",
            pages * size,
        );
    }
    if let (Some(user), Some(kernel), Some(ticks)) = (
        field(USER_TIME),
        field(SYSTEM_TIME),
        system(SysconfVar::CLK_TCK),
    ) {
        page.counter(
            "process_cpu_seconds_total",
            "CPU time of this process, user and system.",
            (user + kernel) / ticks,
        );
    }
    let files = fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
    page.gauge_if(
        "process_open_fds",
        "Files that this process has open.",
        files.map(|count| count as f64),
    );
}
