//! Mounts of the agent's own, `mounts/RUN/N` below its state directory, which nobody else may
//! enter: each is a bind mount of a descriptor, and what the engine is given as a container's
//! source. They are needed until the container has started, which then has mounts of its own.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use paasta_common::container::ContainerSpec;
use paasta_process::private;
use parking_lot::Mutex;
use rustix::{
    io::Errno,
    mount::{MountPropagationFlags, UnmountFlags, mount_bind_recursive, mount_change, unmount},
};

use super::{Held, MountError, Mounts};

/// What to do when the kernel forbids to mount.
const NOT_PERMITTED: &str = "; extra_volumes need an agent that may mount (root, CAP_SYS_ADMIN)";

/// The private mounts of a host.
#[derive(Debug, Clone)]
pub struct PrivateMounts {
    mounts: Mounts,
    root: PathBuf,
    /// Runs whose mounts may be needed: what they wait for is not known to have started.
    held: Arc<Mutex<BTreeSet<String>>>,
}

impl PrivateMounts {
    /// Those below `state_dir`.
    pub fn new(mounts: Mounts, state_dir: &Path) -> Self {
        Self {
            mounts,
            root: state_dir.join("mounts"),
            held: Arc::default(),
        }
    }

    /// The container with private mounts in the place of what its author asked for. Repeated for
    /// the same run it begins again.
    ///
    /// # Errors
    /// Why one of them is refused; nothing of the run is mounted then.
    pub fn prepare(&self, run: &str, spec: &ContainerSpec) -> Result<ContainerSpec, MountError> {
        self.release(run);
        let held = self.mounts.hold(&spec.mounts)?;
        let mut prepared = spec.clone();
        if held.is_empty() {
            return Ok(prepared);
        }
        self.held.lock().insert(run.to_owned());
        for one in &held {
            match self.mount(run, one) {
                Ok(at) => prepared.mounts[one.index].host_path = at,
                Err(error) => {
                    self.release(run);
                    return Err(error);
                }
            }
        }
        Ok(prepared)
    }

    fn mount(&self, run: &str, held: &Held) -> Result<String, MountError> {
        let at = self.root.join(run).join(held.index.to_string());
        let text = at.display().to_string();
        let refuse = |source: io::Error| MountError::Mount {
            path: held.path.clone(),
            at: text.clone(),
            hint: match source.kind() {
                io::ErrorKind::PermissionDenied => NOT_PERMITTED,
                _ => "",
            },
            source,
        };
        let metadata = held.handle.metadata().map_err(refuse)?;
        private::directory(&self.root).map_err(refuse)?;
        private::directory(&self.root.join(run)).map_err(refuse)?;
        match metadata.is_dir() {
            true => private::directory(&at).map_err(refuse)?,
            false => fs::File::create(&at).map(drop).map_err(refuse)?,
        }
        let mounted = mount_bind_recursive(held.handle.path(), &at);
        // What is unmounted here must not be unmounted where it came from.
        let mounted = mounted.and_then(|()| mount_change(&at, private_all()));
        mounted.map_err(|error| refuse(error.into()))?;
        self.seen(&at, &metadata)?;
        Ok(text)
    }

    /// Whether the engine, which may live in another mount namespace, sees what was mounted. Where
    /// it cannot be asked it has the last word itself.
    fn seen(&self, at: &Path, expected: &fs::Metadata) -> Result<(), MountError> {
        let Some(pid) = self.mounts.socket.as_deref().and_then(engine_process) else {
            return Ok(());
        };
        let below = at.strip_prefix("/").unwrap_or(at);
        let theirs = Path::new("/proc")
            .join(pid.to_string())
            .join("root")
            .join(below);
        match fs::metadata(&theirs) {
            Ok(found) if (found.dev(), found.ino()) == (expected.dev(), expected.ino()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            _ => Err(MountError::Unseen {
                pid,
                at: at.display().to_string(),
            }),
        }
    }

    /// Takes the mounts of a run away; what was started with them keeps its own.
    pub fn release(&self, run: &str) {
        self.held.lock().remove(run);
        if let Err(error) = take_away(&self.root.join(run)) {
            tracing::warn!(run, %error, "the private mounts of a run cannot be taken away");
        }
    }

    /// Takes away what a former process left: the mounts of all runs but those that may not have
    /// started yet. Returns of how many runs.
    ///
    /// # Errors
    /// What the file system says.
    pub fn trim(&self, starting: &BTreeSet<String>) -> io::Result<usize> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        let mut gone = 0;
        for entry in entries {
            let entry = entry?;
            let run = entry.file_name().to_string_lossy().into_owned();
            // Held all the time: a run that begins meanwhile is in it before it is mounted.
            let held = self.held.lock();
            if starting.contains(&run) || held.contains(&run) {
                continue;
            }
            take_away(&entry.path())?;
            gone += 1;
        }
        Ok(gone)
    }
}

fn private_all() -> MountPropagationFlags {
    MountPropagationFlags::PRIVATE.union(MountPropagationFlags::REC)
}

/// Unmounts everything in the directory of a run and removes the empty places. Nothing is ever
/// removed recursively: what is still mounted is somebody's data.
fn take_away(run: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(run) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let at = entry?.path();
        // As often as something is mounted there: a killed agent may have begun twice.
        loop {
            match mount_change(&at, private_all()) {
                Err(Errno::INVAL) => break,
                changed => changed?,
            }
            match unmount(&at, UnmountFlags::DETACH.union(UnmountFlags::NOFOLLOW)) {
                Err(Errno::INVAL) => break,
                done => done?,
            }
        }
        match fs::symlink_metadata(&at)?.is_dir() {
            true => fs::remove_dir(&at)?,
            false => fs::remove_file(&at)?,
        }
    }
    fs::remove_dir(run)
}

/// The process that listens at the socket, in this process's own numbers.
fn engine_process(socket: &Path) -> Option<i32> {
    let stream = UnixStream::connect(socket).ok()?;
    let peer = getsockopt(&stream, PeerCredentials).ok()?;
    (peer.pid() > 0).then_some(peer.pid())
}

#[cfg(test)]
mod tests;
