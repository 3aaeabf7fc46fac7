//! The temporary workspace of each run: a directory on the host that is the container's working
//! directory, and stays when the container is gone, within a disk budget. What the run writes to
//! its outputs is kept elsewhere ([`crate::logs`]).

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// How many sandboxes of dead runs are kept, whatever their size.
pub const DEAD_MAX: usize = 1_000;
/// How many files of one sandbox are looked at to learn its size: a run may have made millions.
const FILES_MAX: usize = 10_000;

/// All sandboxes of a host.
#[derive(Debug, Clone)]
pub struct Sandboxes {
    root: PathBuf,
    budget_bytes: u64,
}

impl Sandboxes {
    /// Those below `root`; dead ones may hold `budget_bytes` in all.
    pub fn new(root: impl Into<PathBuf>, budget_bytes: u64) -> Self {
        Self {
            root: root.into(),
            budget_bytes,
        }
    }

    /// Makes the sandbox of a run, empty and writable for the user that the image runs as.
    ///
    /// # Errors
    /// What the file system says.
    pub fn prepare(&self, name: &str) -> io::Result<()> {
        let path = self.root.join(name);
        fs::create_dir_all(&path)?;
        // As /tmp: the image chooses the user, which the host need not know.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o1777))
    }

    /// Removes dead sandboxes, the oldest first, until the rest is within the budget. Returns how
    /// many went.
    ///
    /// # Errors
    /// What the file system says.
    pub fn trim(&self, alive: &BTreeSet<String>) -> io::Result<usize> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        let mut dead: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in entries {
            let entry = entry?;
            if alive.contains(&entry.file_name().to_string_lossy().into_owned()) {
                continue;
            }
            let modified = entry.metadata()?.modified()?;
            dead.push((modified, size(&entry.path()), entry.path()));
        }
        dead.sort_by(|a, b| b.cmp(a));
        let (mut bytes, mut removed) = (0u64, 0);
        for (at, (_, size, path)) in dead.iter().enumerate() {
            bytes = bytes.saturating_add(*size);
            if bytes > self.budget_bytes || at >= DEAD_MAX {
                fs::remove_dir_all(path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Bytes in a directory, links not followed; at most [`FILES_MAX`] files are counted.
fn size(root: &Path) -> u64 {
    let mut waiting = vec![root.to_owned()];
    let (mut bytes, mut files) = (0u64, 0usize);
    while let Some(path) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&path) else {
            continue;
        };
        for entry in entries.flatten() {
            files += 1;
            if files > FILES_MAX {
                return bytes;
            }
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => waiting.push(entry.path()),
                Ok(meta) => bytes = bytes.saturating_add(meta.len()),
                Err(_) => {}
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_sandboxes_go_oldest_first_and_living_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let sandboxes = Sandboxes::new(dir.path(), 250);
        for (age, name) in [(40, "r1-1"), (30, "r1-2"), (20, "r1-3"), (10, "r1-4")] {
            sandboxes.prepare(name).unwrap();
            fs::write(dir.path().join(name).join("core"), "x".repeat(100)).unwrap();
            let path = fs::File::open(dir.path().join(name)).unwrap();
            let then = SystemTime::now() - std::time::Duration::from_secs(age);
            path.set_modified(then).unwrap();
        }
        let alive = BTreeSet::from(["r1-1".to_owned()]);
        assert_eq!(sandboxes.trim(&alive).unwrap(), 1);
        let left = ["r1-1", "r1-2", "r1-3", "r1-4"].map(|name| dir.path().join(name).exists());
        assert_eq!(left, [true, false, true, true]);
        assert_eq!(sandboxes.trim(&alive).unwrap(), 0);
    }

    #[test]
    fn the_user_of_the_image_may_write() {
        let dir = tempfile::tempdir().unwrap();
        let sandboxes = Sandboxes::new(dir.path().join("root"), 0);
        sandboxes.prepare("r1-1").unwrap();
        let inside = dir.path().join("root/r1-1");
        let mode = fs::metadata(&inside).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o1777);
    }
}
