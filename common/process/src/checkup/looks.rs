//! What every program needs: directories of its own, ports, room, a clock that is right.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use super::{Finding, holder};
use crate::space::{self as spaces};

/// The share of a file system that is to be free, in percent.
const FREE_PERCENT: u64 = 10;
/// Timeout of `timedatectl`.
const CLOCK_LIMIT: Duration = Duration::from_secs(2);

/// Whether `address` can be listened on, or the running `program` listens there already.
pub fn port(what: &'static str, address: SocketAddr, program: &str) -> Finding {
    let error = match TcpListener::bind(address) {
        Ok(_) => return Finding::good(what, format!("{address} is free")),
        Err(error) => error,
    };
    let look = format!("`ss -ltnp sport = :{}`", address.port());
    match (error.kind(), holder::of(address)) {
        (io::ErrorKind::AddrInUse, Some(by)) if by.program == program => {
            let text = format!("{address}: {program} (pid {}) runs there", by.pid);
            Finding::good(what, text)
        }
        (io::ErrorKind::AddrInUse, Some(by)) => Finding::bad(
            what,
            format!("{address} is in use by {} (pid {})", by.program, by.pid),
            format!("stop it, or name another address ({look})"),
        ),
        (io::ErrorKind::AddrInUse, None) => Finding::bad(
            what,
            format!("{address} is in use"),
            format!("find out by what, as root: {look}; or name another address"),
        ),
        (io::ErrorKind::AddrNotAvailable, _) => Finding::bad(
            what,
            format!("{address} is no address of this host"),
            "name one that `ip -brief address` lists".to_owned(),
        ),
        (_, _) => Finding::bad(what, format!("{address}: {error}"), None),
    }
}

/// Whether the directory is there, and is its owner's only.
pub fn private_directory(what: &'static str, path: &Path) -> Finding {
    let shown = path.display();
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Finding::good(what, format!("{shown} is not there yet, and will be made"));
        }
        Err(error) => {
            let next = format!("give this user the directory: chown -R {} {shown}", user());
            return Finding::bad(what, format!("{shown}: {error}"), next);
        }
    };
    let effective = nix::unistd::Uid::effective();
    match (found.is_dir(), found.mode() & 0o777) {
        (false, _) => Finding::bad(
            what,
            format!("{shown} is no directory"),
            "name another".to_owned(),
        ),
        (true, _) if found.uid() != effective.as_raw() && !effective.is_root() => Finding::bad(
            what,
            format!(
                "{shown} is of the user {}, and this is {}",
                found.uid(),
                effective
            ),
            format!("chown -R {} {shown}, or check as its user", user()),
        ),
        (true, mode) if mode & 0o077 != 0 => Finding::warning(
            what,
            format!("{shown} has the mode {mode:04o}: others can read it until the program starts"),
            format!("chmod 0700 {shown}"),
        ),
        (true, _) => Finding::good(what, format!("{shown} is its owner's only")),
    }
}

fn user() -> String {
    let id = nix::unistd::Uid::effective();
    let known = nix::unistd::User::from_uid(id).ok().flatten();
    known.map_or_else(|| id.to_string(), |user| user.name)
}

/// Whether the file system of the directory, or of the nearest above it that is there, has room.
pub fn space(what: &'static str, path: &Path) -> Finding {
    let there = path.ancestors().find(|one| one.exists()).unwrap_or(path);
    let space = match spaces::of(there) {
        Ok(space) => space,
        Err(error) => {
            return Finding::bad(what, format!("{}: {error}", there.display()), None);
        }
    };
    let room = space.used.saturating_add(space.free).max(1);
    let percent = space.free.saturating_mul(100) / room;
    let text = format!(
        "{} has {:.1} GB free, {percent} %",
        there.display(),
        space.free as f64 / 1e9
    );
    match percent < FREE_PERCENT {
        true => Finding::warning(what, text, "free some, or enlarge it".to_owned()),
        false => Finding::good(what, text),
    }
}

/// Whether the system says that its clock follows others.
pub async fn clock() -> Finding {
    const WHAT: &str = "clock";
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let said = match timeout(CLOCK_LIMIT, asked).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(Err(_)) | Err(_) => String::new(),
    };
    let next = "certificates need a clock that is right: `timedatectl set-ntp true`, or chrony";
    match said.as_str() {
        "yes" => Finding::good(WHAT, "it is synchronized"),
        "no" => Finding::warning(WHAT, "it is not synchronized", next.to_owned()),
        _ => Finding::warning(
            WHAT,
            "timedatectl does not say whether it is synchronized",
            next.to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{super::Verdict, *};

    #[test]
    fn a_port_is_free_ours_or_anothers() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let exe = std::env::current_exe().unwrap();
        let own = exe.file_name().unwrap().to_str().unwrap();
        assert_eq!(port("port", address, own).verdict, Verdict::Good);
        let others = port("port", address, "paasta-agent");
        assert_eq!(others.verdict, Verdict::Bad);
        let pid = format!("(pid {})", std::process::id());
        assert!(others.text.contains(&pid), "{others:?}");
        drop(held);
        assert_eq!(port("port", address, "x").verdict, Verdict::Good);
        let foreign = port("port", "192.0.2.1:80".parse().unwrap(), "x");
        assert!(
            foreign.text.contains("no address of this host"),
            "{foreign:?}"
        );
    }

    #[test]
    fn a_directory_is_its_owners_only() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("state");
        let verdict = || private_directory("state", &dir).verdict;
        assert_eq!(verdict(), Verdict::Good);
        std::fs::write(&dir, "").unwrap();
        assert_eq!(verdict(), Verdict::Bad);
        std::fs::remove_file(&dir).unwrap();
        std::fs::create_dir(&dir).unwrap();
        for (mode, expected) in [(0o700, Verdict::Good), (0o750, Verdict::Warning)] {
            std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(verdict(), expected, "{mode:o}");
        }
    }

    #[test]
    fn room_is_that_of_the_nearest_directory() {
        let root = tempfile::tempdir().unwrap();
        let finding = space("disk", &root.path().join("not/there"));
        let there = root.path().display().to_string();
        assert!(finding.text.starts_with(&there), "{finding:?}");
        assert_ne!(finding.verdict, Verdict::Bad);
    }

    #[tokio::test]
    async fn a_clock_of_which_nothing_is_known_is_no_error() {
        assert_ne!(clock().await.verdict, Verdict::Bad);
    }
}
