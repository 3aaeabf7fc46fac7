//! What the host is and has, as far as the operator does not say otherwise.

use std::{fs, io, net::UdpSocket, path::Path};

use paasta_common::app::Resources;
use paasta_process::space;

/// Memory left to the system, the container engine and the agent, MiB; on a small host half.
const MEM_RESERVED_MB: u64 = 1_024;

/// Something about the host that cannot be found out.
#[derive(Debug, thiserror::Error)]
#[error("cannot find out {what}; set agent.{key}")]
pub struct CapacityError {
    what: &'static str,
    key: &'static str,
    #[source]
    source: io::Error,
}

/// What the host can offer: all its cores, its memory but a part for itself, and what its state
/// directory's file system can hold.
///
/// # Errors
/// [`CapacityError`] names the setting that helps.
pub fn detect(state_dir: &Path) -> Result<Resources, CapacityError> {
    let cores =
        std::thread::available_parallelism().map_err(cannot("the number of cores", "cpus"))?;
    let memory = fs::read_to_string("/proc/meminfo").map_err(cannot("the memory", "mem_mb"))?;
    let total_mb = mem_total_mb(&memory).ok_or_else(|| {
        cannot("the memory", "mem_mb")(io::Error::other("/proc/meminfo has no MemTotal"))
    })?;
    let disk = space::of(state_dir).map_err(cannot("the disk", "disk_mb"))?;
    Ok(Resources {
        cpus_milli: cores.get() as u64 * 1_000,
        mem_mb: total_mb.saturating_sub(MEM_RESERVED_MB.min(total_mb / 2)),
        disk_mb: disk.free >> 20,
        gpus: 0,
    })
}

/// The host's name.
///
/// # Errors
/// [`CapacityError`] when the kernel does not tell.
pub fn host_name() -> Result<String, CapacityError> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname");
    name.map(|name| name.trim().to_owned())
        .map_err(cannot("the host name", "host_id"))
}

/// An id that changes with every boot.
///
/// # Errors
/// What the file system says.
pub fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned())
}

/// The address by which this host reaches `coordinator`, `HOST:PORT`. Nothing is sent.
///
/// # Errors
/// [`CapacityError`] when there is no route.
pub fn address_towards(coordinator: &str) -> Result<String, CapacityError> {
    let found = || {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect(coordinator)?;
        socket.local_addr()
    };
    found()
        .map(|address| address.ip().to_string())
        .map_err(cannot(
            "the address by which others reach this host",
            "address",
        ))
}

fn cannot(what: &'static str, key: &'static str) -> impl FnOnce(io::Error) -> CapacityError {
    move |source| CapacityError { what, key, source }
}

fn mem_total_mb(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kb: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kb / 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_described() {
        assert_eq!(
            mem_total_mb("MemFree: 1 kB\nMemTotal:       24094484 kB\n"),
            Some(23_529)
        );
        assert_eq!(mem_total_mb("MemTotal: much"), None);
        let found = detect(Path::new("/")).unwrap();
        assert!(found.cpus_milli >= 1_000 && found.mem_mb > 0 && found.disk_mb > 0);
        assert!(!host_name().unwrap().is_empty() && !boot_id().unwrap().is_empty());
        assert_eq!(address_towards("127.0.0.1:1").unwrap(), "127.0.0.1");
    }
}
