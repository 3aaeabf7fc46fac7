//! How much disk a directory that a container writes to takes. The container may change it at any
//! time: no link is followed, the walk stays on one file system, and it has bounds.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, statat},
    io::Errno,
};

/// How many files and directories are looked at.
pub const ENTRIES_MAX: usize = 500_000;
/// How long a walk may take.
pub const WALK_MAX: Duration = Duration::from_secs(10);
/// The size of the blocks that the kernel counts in, bytes.
const BLOCK: u64 = 512;
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Bytes that a directory and all below it take on the disk: a file with several names counts once,
/// a sparse one for what it holds. Beyond the bounds, [`ENTRIES_MAX`] and [`WALK_MAX`], what was
/// counted until then: at least as much is in use.
///
/// # Errors
/// What the file system says of the directory itself.
pub fn bytes_in(root: &Path) -> io::Result<u64> {
    bytes_within(root, ENTRIES_MAX, WALK_MAX)
}

fn bytes_within(root: &Path, entries_max: usize, walk_max: Duration) -> io::Result<u64> {
    let deadline = Instant::now() + walk_max;
    let top = openat(CWD, root, DIRECTORY, Mode::empty())?;
    let device = fstat(&top)?.st_dev;
    let mut waiting = VecDeque::from([PathBuf::new()]);
    let mut several_names = BTreeSet::new();
    let (mut bytes, mut entries) = (0u64, 0usize);
    while let Some(below) = waiting.pop_front() {
        // What the container has removed or replaced meanwhile takes nothing.
        let Ok(fd) = descend(&top, &below) else {
            continue;
        };
        let Ok(dir) = Dir::read_from(&fd) else {
            continue;
        };
        for entry in dir.flatten() {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            entries += 1;
            if entries > entries_max || Instant::now() >= deadline {
                return Ok(bytes);
            }
            let Ok(found) = statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            if found.st_dev != device {
                continue;
            }
            let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
            if is_directory {
                let name = std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes());
                waiting.push_back(below.join::<&std::ffi::OsStr>(name));
            } else if found.st_nlink > 1 && !several_names.insert(found.st_ino) {
                continue;
            }
            let blocks = u64::try_from(found.st_blocks).unwrap_or(0);
            bytes = bytes.saturating_add(blocks.saturating_mul(BLOCK));
        }
    }
    Ok(bytes)
}

/// The directory `top/below`, reached without following a link.
fn descend(top: &OwnedFd, below: &Path) -> Result<OwnedFd, Errno> {
    let mut at = openat(top, ".", DIRECTORY, Mode::empty())?;
    for name in below {
        at = openat(&at, name, DIRECTORY, Mode::empty())?;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn all(root: &Path) -> u64 {
        bytes_in(root).unwrap()
    }

    #[test]
    fn what_is_on_the_disk_counts_once_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("big"), vec![1; 1 << 20]).unwrap();
        let root = dir.path().join("sandbox");
        fs::create_dir_all(root.join("a/b/c")).unwrap();
        let empty = all(&root);
        assert!(empty < 100_000, "{empty}");
        symlink(other.path(), root.join("a/elsewhere")).unwrap();
        symlink(&root, root.join("a/b/loop")).unwrap();
        fs::write(root.join("a/b/c/file"), vec![1; 300_000]).unwrap();
        let one = all(&root);
        assert!((empty + 290_000..empty + 400_000).contains(&one), "{one}");
        fs::hard_link(root.join("a/b/c/file"), root.join("again")).unwrap();
        assert_eq!(all(&root), one);
        let sparse = fs::File::create(root.join("sparse")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        assert!(all(&root) < one + 100_000);
        assert!(bytes_in(&root.join("none")).is_err());
        assert!(bytes_in(&root.join("a/elsewhere")).is_err(), "a link");
    }

    #[test]
    fn a_walk_ends_at_its_bounds_with_what_it_has_found() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..50 {
            fs::write(dir.path().join(number.to_string()), vec![1; 4096]).unwrap();
        }
        let whole = all(dir.path());
        let part = bytes_within(dir.path(), 10, WALK_MAX).unwrap();
        assert!(part > 0 && part < whole / 2, "{part} of {whole}");
        let none = bytes_within(dir.path(), ENTRIES_MAX, Duration::ZERO).unwrap();
        assert_eq!(none, 0);
    }
}
