//! The process that listens on a port, as `/proc` shows it.

use std::{fs, net::SocketAddr, path::Path};

/// Processes that are looked at, at most: a machine with more shows no holder.
const PROCESSES_MAX: usize = 1 << 16;
/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTENS: &str = "0A";

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    /// Its process id.
    pub(super) pid: u32,
    /// The name of its program, without the directory.
    pub(super) program: String,
}

/// The process that listens on the port of `address`; none when none does, or when this user may not
/// look at it.
pub(super) fn of(address: SocketAddr) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let sockets: Vec<String> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, address.port()))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.take(PROCESSES_MAX);
    let mut pids = processes
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find_map(|pid: u32| {
        holds(pid, &sockets).then(|| Holder {
            pid,
            program: program(pid),
        })
    })
}

/// The inodes of the sockets that listen on this port.
fn listening(table: &str, port: u16) -> Vec<String> {
    let of_port = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, hex) = fields.get(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(hex, 16) == Ok(port) && *fields.get(3)? == LISTENS;
        is_it.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    };
    table.lines().skip(1).filter_map(of_port).collect()
}

fn holds(pid: u32, sockets: &[String]) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    open.filter_map(Result::ok)
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|link| sockets.iter().any(|socket| link == Path::new(socket)))
}

fn program(pid: u32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let first = words.split(|byte| *byte == 0).next().unwrap_or_default();
    let path = String::from_utf8_lossy(first).into_owned();
    let name = Path::new(&path).file_name();
    name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_holder_of_a_port_is_this_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let holder = of(address).unwrap();
        assert_eq!(holder.pid, std::process::id());
        assert!(
            std::env::current_exe().unwrap().ends_with(&holder.program),
            "{holder:?}"
        );
        drop(listener);
        assert_eq!(of(address), None);
    }
}
