//! The space of a file system.

use std::{io, path::Path};

/// Bytes of a file system, as `df` counts them: what only root may use is neither free nor in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All there are.
    pub total: u64,
    /// In use.
    pub used: u64,
    /// Free for a process without privileges.
    pub free: u64,
}

/// The space of the file system that `path` is on. Blocks.
///
/// # Errors
/// Those of the system.
pub fn of(path: &Path) -> io::Result<Space> {
    let found = nix::sys::statvfs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.fragment_size());
    Ok(Space {
        total: bytes(found.blocks()),
        used: bytes(found.blocks().saturating_sub(found.blocks_free())),
        free: bytes(found.blocks_available()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_and_free_are_no_more_than_all() {
        let here = of(Path::new("/")).unwrap();
        assert!(here.used > 0 && here.used.saturating_add(here.free) <= here.total);
        assert!(of(Path::new("/nonexistent/docker")).is_err());
    }
}
