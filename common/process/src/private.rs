//! Directories and files that nobody but their owner may read: state, logs and backups hold the
//! environment of every service.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use nix::sys::stat::{Mode, umask};

/// The mode of a directory.
const DIRECTORY: u32 = 0o700;
/// What a file is denied.
const DENIED: u32 = 0o077;

/// The umask with which the process was started.
static STARTED_WITH: OnceLock<u32> = OnceLock::new();

/// What was open to others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tightened {
    /// How many directories and files.
    pub entries: usize,
    /// The first of them.
    pub first: Option<PathBuf>,
}

/// From now on the files and directories of this process are its user's only, but for those that
/// are written for others (`shared`). Called once, before there are threads.
pub fn keep() {
    let before = umask(Mode::from_bits_truncate(DENIED));
    let _ = STARTED_WITH.set(before.bits());
}

/// The mode of a file that others may read, less the umask with which the process was started;
/// `None` where the umask was left alone, and does it.
pub(crate) fn shared(mode: u32) -> Option<u32> {
    let before = STARTED_WITH.get()?;
    (mode & DENIED != 0).then_some(mode & !before)
}

/// Makes the directory, and those above it, unless it is there; it is its owner's only.
///
/// # Errors
/// What the file system says.
pub fn directory(path: &Path) -> io::Result<()> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    match DirBuilder::new().mode(DIRECTORY).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

/// Takes the rights of others away from the directory and everything in it. Links are not
/// followed; what is in the directories called `theirs` at the top is left alone.
///
/// # Errors
/// What the file system says; a file that vanishes meanwhile is no error.
pub fn tighten(root: &Path, theirs: &[&str]) -> io::Result<Tightened> {
    let mut found = Tightened::default();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        if !metadata.is_dir() && !metadata.is_file() {
            continue;
        }
        let mode = metadata.permissions().mode();
        if mode & DENIED != 0 {
            fs::set_permissions(&path, Permissions::from_mode(mode & 0o7777 & !DENIED))?;
            found.entries += 1;
            found.first.get_or_insert_with(|| path.clone());
        }
        let own = path.strip_prefix(root).is_ok_and(|below| {
            let name = below.to_str().unwrap_or_default();
            !theirs.contains(&name)
        });
        if metadata.is_dir() && own {
            for entry in fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        }
    }
    Ok(found)
}

/// Makes the directory, tightens what is there, and says in the log what was open. Rights that
/// cannot be changed are said, too, and are no reason not to run.
///
/// # Errors
/// The directory cannot be made.
pub fn own(root: &Path, theirs: &[&str]) -> io::Result<()> {
    directory(root)?;
    match tighten(root, theirs) {
        Ok(Tightened { entries, first }) => {
            if let Some(first) = first {
                tracing::warn!(
                    directory = %root.display(),
                    entries,
                    first = %first.display(),
                    "was open to other users; now only its owner may read it"
                );
            }
        }
        Err(error) => tracing::warn!(
            directory = %root.display(),
            %error,
            "may be open to other users: its mode cannot be changed"
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_open_is_closed_once_and_what_is_theirs_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/state");
        directory(&root).unwrap();
        assert_eq!(mode(&root), 0o700);
        directory(&root).unwrap();
        let outside = dir.path().join("outside");
        for (path, bits) in [
            ("db", 0o644),
            ("logs/s/f", 0o664),
            ("tool", 0o755),
            ("sandboxes/r1/f", 0o666),
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(bits)).unwrap();
        }
        fs::set_permissions(root.join("sandboxes/r1"), Permissions::from_mode(0o777)).unwrap();
        fs::write(&outside, "x").unwrap();
        fs::set_permissions(&outside, Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        let found = tighten(&root, &["sandboxes"]).unwrap();
        assert!(found.entries >= 3 && found.first.is_some(), "{found:?}");
        let modes = [
            "db",
            "logs/s/f",
            "tool",
            "sandboxes/r1/f",
            "logs",
            "sandboxes",
        ];
        let modes = modes.map(|path| mode(&root.join(path)));
        assert_eq!(modes, [0o600, 0o600, 0o700, 0o666, 0o700, 0o700]);
        assert_eq!(
            (mode(&outside), mode(&root.join("sandboxes/r1"))),
            (0o644, 0o777)
        );
        assert_eq!(
            tighten(&root, &["sandboxes"]).unwrap(),
            Tightened::default()
        );
        assert!(directory(&outside).is_err(), "a file is in the way");
    }
}
