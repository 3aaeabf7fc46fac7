//! Processor time and memory of a process, as /proc has them.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

/// Ticks of a second in /proc, on every Linux of today.
const TICKS: u64 = 100;

/// What a process used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time, of user and system.
    pub cpu: Duration,
    /// Memory in RAM, bytes.
    pub resident: u64,
}

/// What the process used so far.
///
/// # Errors
/// When there is no such process.
pub fn of(pid: u32) -> Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(Usage {
        cpu: cpu(&stat).with_context(|| format!("/proc/{pid}/stat: {stat:?}"))?,
        resident: resident(&status).with_context(|| format!("/proc/{pid}/status has no VmRSS"))?,
    })
}

/// The fields 14 and 15, counted behind the name, which may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1_000 / TICKS))
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(resident("Name:\tx\nVmRSS:\t    12 kB\n"), Some(12 << 10));
        let own = of(std::process::id()).unwrap();
        assert!(own.resident > 1 << 20, "{own:?}");
    }
}
