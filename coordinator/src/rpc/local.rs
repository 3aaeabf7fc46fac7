//! The local socket of a coordinator: root of this host, and a group that the operator names, are
//! admins there. The kernel proves who connects; no certificate and no principal is needed, so that
//! there is always a way back in.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use nix::unistd::{Group, Uid, User, chown};
use paasta_common::id::HostId;
use paasta_coordinator_core::state::principal::LOCAL;
use paasta_process::chain::chain;
use paasta_proto::worker::off_worker;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::connections::Taken;
use crate::caller::{LOCAL_SOCKET, LocalUser};

/// The mode of the socket: its owner, and the group that the operator names.
const MODE: u32 = 0o660;
/// What others may not do in the directory of the socket.
const WRITABLE: u32 = 0o022;
/// Connections at a time, at most.
const CONNECTIONS_MAX: usize = 64;

/// Where the socket is, and the group whose members are admins there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The directory; without it there is no socket.
    pub dir: PathBuf,
    /// The group; none for root alone.
    pub group: Option<String>,
}

/// Why there is no local socket.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Other users could put a socket of their own in its place.
    #[error(
        "{} can be written by other users than its owner (mode {mode:03o}): make it 0755 or less",
        dir.display()
    )]
    Writable {
        /// The directory.
        dir: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another coordinator of this host has it.
    #[error("another coordinator listens at {}: give this one a coordinator.run_dir of its own", .0.display())]
    Taken(PathBuf),
    /// Something else is there.
    #[error("{} is no socket; remove it", .0.display())]
    NoSocket(PathBuf),
    /// The group does not exist.
    #[error("coordinator.admin_group: there is no group {0} on this host")]
    NoGroup(String),
    /// The system refuses.
    #[error("cannot listen at {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Its words.
        #[source]
        source: io::Error,
    },
}

/// The connections of the local socket. A coordinator without one goes on.
pub fn connections(place: &Place) -> BoxStream<'static, io::Result<Taken>> {
    match Local::bind(place) {
        Ok(Some(local)) => {
            let dir = place.dir.display();
            tracing::info!(%dir, "root of this host is an admin by the local socket");
            local.boxed()
        }
        Ok(None) => stream::pending().boxed(),
        Err(error) => {
            let error = chain(&error);
            tracing::warn!(
                error,
                "there is no local socket: root of this host takes a certificate"
            );
            stream::pending().boxed()
        }
    }
}

/// Connections of the local socket, as they come.
#[derive(Debug)]
pub struct Local {
    listener: UnixListener,
    path: PathBuf,
    /// Whether members of a group may connect.
    group: bool,
    seats: Arc<Semaphore>,
}

/// One connection.
#[derive(Debug)]
pub struct LocalStream {
    stream: UnixStream,
    user: Arc<LocalUser>,
    _seat: OwnedSemaphorePermit,
}

impl Local {
    /// Listens; not where the directory is not there.
    ///
    /// # Errors
    /// [`LocalError`].
    pub fn bind(place: &Place) -> Result<Option<Self>, LocalError> {
        let Ok(metadata) = fs::metadata(&place.dir) else {
            return Ok(None);
        };
        let mode = metadata.mode() & 0o777;
        if mode & WRITABLE != 0 {
            let dir = place.dir.clone();
            return Err(LocalError::Writable { dir, mode });
        }
        let path = place.dir.join(LOCAL_SOCKET);
        let group = place.group.as_deref().map(group).transpose()?;
        clear(&path)?;
        let failed = |source| LocalError::Io {
            path: path.clone(),
            source,
        };
        let listener = UnixListener::bind(&path).map_err(failed)?;
        if let Some(group) = &group {
            chown(&path, None, Some(group.gid)).map_err(|error| failed(error.into()))?;
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(MODE)).map_err(failed)?;
        Ok(Some(Self {
            listener,
            group: group.is_some(),
            seats: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            path,
        }))
    }

    /// The user of a connection, if it is an admin here. The mode of the socket keeps out all but
    /// root, its owner and its group: who is neither of the first two is in the group.
    fn admit(&self, stream: &UnixStream) -> Option<LocalUser> {
        let uid = Uid::from_raw(stream.peer_cred().ok()?.uid());
        let owner = Uid::effective();
        match uid.is_root() || (self.group && uid != owner) {
            true => Some(LocalUser::new(off_worker(|| name(uid)))),
            false => {
                tracing::warn!(%uid, "a user may not use the local socket: it is for root, and for the members of coordinator.admin_group");
                None
            }
        }
    }
}

impl Stream for Local {
    type Item = io::Result<Taken>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let stream = match self.listener.poll_accept(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Ok((stream, _))) => stream,
            };
            let Some(user) = self.admit(&stream) else {
                continue;
            };
            // One too many is closed.
            if let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() {
                return Poll::Ready(Some(Ok(Taken::Local(LocalStream {
                    stream,
                    user: Arc::new(user),
                    _seat: seat,
                }))));
            }
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // A socket that stays is found to be without a listener at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

impl LocalStream {
    /// Its user.
    pub fn user(&self) -> Arc<LocalUser> {
        Arc::clone(&self.user)
    }
}

fn group(name: &str) -> Result<Group, LocalError> {
    let found = Group::from_name(name).ok().flatten();
    found.ok_or_else(|| LocalError::NoGroup(name.to_owned()))
}

/// The name of a user, where it can be part of an identity; its number otherwise.
fn name(uid: Uid) -> String {
    let known = User::from_uid(uid).ok().flatten().map(|user| user.name);
    let known = known.filter(|name| HostId::new(&format!("{LOCAL}{name}")).is_ok());
    known.unwrap_or_else(|| format!("uid{uid}"))
}

/// Removes a socket that a coordinator has left.
fn clear(path: &Path) -> Result<(), LocalError> {
    let failed = |source| LocalError::Io {
        path: path.to_owned(),
        source,
    };
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata.map_err(failed)?,
    };
    if !metadata.file_type().is_socket() {
        return Err(LocalError::NoSocket(path.to_owned()));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Ok(_) | Err(_) => Err(LocalError::Taken(path.to_owned())),
    }
}

impl AsyncRead for LocalStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for LocalStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener as Blocking;

    use tempfile::TempDir;

    use super::*;

    fn place(dir: &TempDir) -> Place {
        Place {
            dir: dir.path().to_owned(),
            group: None,
        }
    }

    #[tokio::test]
    async fn there_is_a_socket_where_its_directory_is_and_is_its_owners() {
        let dir = TempDir::new().unwrap();
        let socket = dir.path().join(LOCAL_SOCKET);
        let nowhere = Place {
            dir: dir.path().join("nowhere"),
            group: None,
        };
        assert!(Local::bind(&nowhere).unwrap().is_none());
        let local = Local::bind(&place(&dir)).unwrap().unwrap();
        let mode = fs::metadata(&socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let taken = Local::bind(&place(&dir)).unwrap_err();
        assert!(matches!(taken, LocalError::Taken(_)), "{taken}");
        drop(local);
        assert!(!socket.exists());
        // A coordinator that was killed leaves one.
        drop(Blocking::bind(&socket).unwrap());
        assert!(Local::bind(&place(&dir)).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_place_that_others_can_change_is_refused() {
        let dir = TempDir::new().unwrap();
        let open = fs::Permissions::from_mode(0o777);
        fs::set_permissions(dir.path(), open).unwrap();
        let refused = Local::bind(&place(&dir)).unwrap_err().to_string();
        assert!(refused.contains("mode 777"), "{refused}");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.path().join(LOCAL_SOCKET), "a file").unwrap();
        let refused = Local::bind(&place(&dir)).unwrap_err();
        assert!(matches!(refused, LocalError::NoSocket(_)), "{refused}");
        let group = Place {
            group: Some("no-such-group".to_owned()),
            ..place(&dir)
        };
        let refused = Local::bind(&group).unwrap_err().to_string();
        assert!(
            refused.contains("there is no group no-such-group"),
            "{refused}"
        );
    }
}
