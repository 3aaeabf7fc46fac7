//! Finding a file below a directory, by descriptor: no symbolic link leads out of it, not even one
//! that is changed meanwhile. Not here: what the file holds.

use std::{
    fs::{self, File, Metadata},
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2},
    io::Errno,
};

/// What is found under a name.
#[derive(Debug)]
pub enum Found {
    /// A file, a directory or something else, in the directory.
    Here(Handle),
    /// Nothing.
    Nothing,
    /// A link leads out of the directory.
    Outside,
}

/// Something that was found, which stays the same whatever becomes of its name.
#[derive(Debug)]
pub struct Handle(OwnedFd);

impl Handle {
    /// What it is.
    ///
    /// # Errors
    /// What the file system says.
    pub fn metadata(&self) -> io::Result<Metadata> {
        fs::metadata(self.path())
    }

    /// Opens it for reading.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(&self) -> io::Result<File> {
        File::open(self.path())
    }

    /// The names in it, when it is a directory.
    ///
    /// # Errors
    /// What the file system says.
    pub fn names(&self) -> io::Result<fs::ReadDir> {
        fs::read_dir(self.path())
    }

    /// A path to exactly this, as long as the handle lives and in this process only.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Opens without reading and without waiting: what is found may be a pipe.
const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// What `path` leads to, wherever that is.
///
/// # Errors
/// What the file system says, but for what is not there.
pub fn anywhere(path: &Path) -> io::Result<Found> {
    taken(openat(CWD, path, LOOK, Mode::empty()))
}

/// What `root/name` leads to, when that is in `root`. Links within it are followed, relative and
/// absolute ones.
///
/// # Errors
/// What the file system says, but for what is not there.
pub fn find(root: &Path, name: &str) -> io::Result<Found> {
    let top = openat(CWD, root, LOOK.union(OFlags::DIRECTORY), Mode::empty())?;
    let beneath = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
    match openat2(&top, name, LOOK, Mode::empty(), beneath) {
        // An absolute link, which may lead back in, or a kernel that is older than the call.
        Err(Errno::XDEV | Errno::NOSYS | Errno::PERM | Errno::AGAIN) => {}
        found => return taken(found),
    }
    let real = |path: &Path| match path.canonicalize() {
        Ok(real) => Ok(Some(real)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let Some(whole) = real(root)? else {
        return Ok(Found::Nothing);
    };
    let written = root.join(name);
    let Some(found) = real(&written)? else {
        // Whether it exists there is nobody's business.
        return Ok(match written.is_symlink() {
            true => Found::Outside,
            false => Found::Nothing,
        });
    };
    match found.strip_prefix(&whole) {
        Ok(below) => taken(walk(top, below)),
        Err(_) => Ok(Found::Outside),
    }
}

/// Goes down part by part and follows no link: one that is there now was not there at the look.
pub(crate) fn walk(top: OwnedFd, below: &Path) -> Result<OwnedFd, Errno> {
    let mut at = top;
    for part in below.components() {
        let Component::Normal(name) = part else {
            return Err(Errno::XDEV);
        };
        at = openat(&at, name, LOOK.union(OFlags::NOFOLLOW), Mode::empty())?;
    }
    match FileType::from_raw_mode(fstat(&at)?.st_mode) {
        FileType::Symlink => Err(Errno::LOOP),
        _ => Ok(at),
    }
}

/// Opens `top/below`, part by part and without following any link. Directories that are not there
/// are made, as root's own.
///
/// # Errors
/// What the file system says; a part that is a link is [`Found::Outside`].
pub fn descend(top: &Path, below: &Path) -> io::Result<Found> {
    let look = LOOK.union(OFlags::NOFOLLOW);
    let mut at = openat(CWD, top, LOOK.union(OFlags::DIRECTORY), Mode::empty())?;
    for part in below.components() {
        let Component::Normal(name) = part else {
            return Ok(Found::Outside);
        };
        let next = match openat(&at, name, look, Mode::empty()) {
            Err(Errno::NOENT) => {
                match mkdirat(&at, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                openat(&at, name, look, Mode::empty())
            }
            opened => opened,
        };
        at = match next {
            Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => return Ok(Found::Outside),
            opened => opened?,
        };
        if FileType::from_raw_mode(fstat(&at)?.st_mode) == FileType::Symlink {
            return Ok(Found::Outside);
        }
    }
    Ok(Found::Here(Handle(at)))
}

fn taken(opened: Result<OwnedFd, Errno>) -> io::Result<Found> {
    match opened {
        Ok(fd) => Ok(Found::Here(Handle(fd))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(Found::Nothing),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_within_and_never_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("soa");
        fs::create_dir_all(root.join("web")).unwrap();
        fs::create_dir_all(root.join("other")).unwrap();
        fs::write(root.join("web/f"), "in").unwrap();
        fs::write(dir.path().join("secret"), "out").unwrap();
        symlink("f", root.join("web/sibling")).unwrap();
        symlink("../web/f", root.join("other/up")).unwrap();
        symlink(root.join("web/f"), root.join("other/absolute")).unwrap();
        symlink(root.join("web"), root.join("again")).unwrap();
        symlink("../../secret", root.join("web/out")).unwrap();
        symlink("/etc/hostname", root.join("web/etc")).unwrap();
        symlink("/nowhere/at/all", root.join("web/void")).unwrap();
        symlink("/etc", root.join("host")).unwrap();
        symlink("gone", root.join("web/dangling")).unwrap();
        symlink("/proc/self/root/etc/hostname", root.join("web/magic")).unwrap();
        // The directory itself may be reached by a link.
        let by_link = dir.path().join("link");
        symlink(&root, &by_link).unwrap();
        for root in [&root, &by_link] {
            for name in [
                "web/f",
                "web/sibling",
                "other/up",
                "other/absolute",
                "again/f",
            ] {
                let Found::Here(handle) = find(root, name).unwrap() else {
                    panic!("{name}");
                };
                let text = io::read_to_string(handle.open().unwrap()).unwrap();
                assert_eq!(text, "in", "{name}");
            }
            for name in [
                "web/out",
                "web/etc",
                "web/void",
                "host/hostname",
                "host",
                "web/magic",
            ] {
                let found = find(root, name).unwrap();
                assert!(matches!(found, Found::Outside), "{name}: {found:?}");
            }
            for name in ["web/none", "none/f", "web/dangling", "web/f/x"] {
                let found = find(root, name).unwrap();
                assert!(matches!(found, Found::Nothing), "{name}: {found:?}");
            }
        }
    }
}
