//! File descriptors: as many as the system grants, and some of them never for connections.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that connections leave to everything else: the store, snapshots, git, watches.
pub const RESERVED: usize = 512;
/// What is assumed where the system does not say.
const ASSUMED: u64 = 1024;

/// Raises the limit of open files to what the system grants, and says how many connections that
/// leaves room for: all but [`RESERVED`], but never less than half.
pub fn raise_limit() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((ASSUMED, ASSUMED));
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            tracing::warn!(%error, limit = soft, "the limit of open files cannot be raised");
            soft
        }
    };
    for_connections(usize::try_from(limit).unwrap_or(usize::MAX))
}

fn for_connections(files: usize) -> usize {
    files.saturating_sub(RESERVED).max(files / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_left_to_everything_else() {
        assert_eq!(for_connections(65_536), 65_024);
        assert_eq!(for_connections(1024), 512);
        assert_eq!(for_connections(256), 128);
        assert!(raise_limit() >= 128);
    }
}
