//! The mounts of a container, by descriptor. Coordinators judge `extra_volumes` by their text; only
//! the host can see that a symbolic link in an allowed directory leads out of it, and an author
//! may change it at any time. So what a path leads to is opened once, without following any link
//! after the look, judged, and mounted by that descriptor on a directory of the agent's own
//! ([`private`]): the engine is given that.

pub mod private;

use std::{
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use paasta_agent_core::compose::SANDBOX;
use paasta_common::{
    app::Volume,
    config::SystemConfig,
    soa::within::{Found, Handle, descend},
};

/// Which mounts this host gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts {
    /// The operator's own, which lead wherever the operator means them to.
    given: Vec<Volume>,
    /// The directories that services may mount, with all that is below them.
    allowed: Vec<PathBuf>,
    /// Docker's socket: no service has it, allowed directory or not.
    socket: Option<PathBuf>,
    /// The directory of a coordinator's local socket: no service has it either.
    run_dir: Option<PathBuf>,
}

/// Why a container's mount is refused.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// It leads out of what is allowed.
    #[error(
        "host path {path} leads to {real}, which is not allowed; mount that path itself, or an \
         operator adds it to allowed_extra_volumes in /etc/paasta of this host"
    )]
    Outside {
        /// As it is written.
        path: String,
        /// Where it leads.
        real: String,
    },
    /// It leads to Docker's socket.
    #[error("host path {path} leads to {real}, which would give the container Docker's socket")]
    Socket {
        /// As it is written.
        path: String,
        /// Where it leads.
        real: String,
    },
    /// It leads to the local socket of a coordinator.
    #[error(
        "host path {path} leads to {real}, which would give the container the local socket of a coordinator"
    )]
    RunDir {
        /// As it is written.
        path: String,
        /// Where it leads.
        real: String,
    },
    /// Nobody can tell where it leads.
    #[error("host path {path} cannot be followed on this host: {source}")]
    Unknown {
        /// As it is written.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It was changed between the look and the opening.
    #[error("host path {path} is being changed while it is looked at; it is tried again")]
    Changed {
        /// As it is written.
        path: String,
    },
    /// What was opened cannot be mounted for the engine.
    #[error("host path {path} cannot be mounted at {at}: {source}{hint}")]
    Mount {
        /// As it is written.
        path: String,
        /// Where to.
        at: String,
        /// What the kernel says.
        #[source]
        source: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The engine does not see what the agent mounts.
    #[error(
        "dockerd (process {pid}) does not see the agent's mount {at}: run both in one mount \
         namespace (a systemd unit of the agent without PrivateMounts, PrivateTmp, ProtectSystem, \
         ProtectHome and ReadOnlyPaths)"
    )]
    Unseen {
        /// The engine's process.
        pid: i32,
        /// Where.
        at: String,
    },
}

/// A mount that was judged, held whatever becomes of its path.
#[derive(Debug)]
pub struct Held {
    /// Its place among the container's mounts.
    pub index: usize,
    /// As it is written.
    pub path: String,
    /// What is mounted.
    pub handle: Handle,
}

impl Mounts {
    /// As the host's own configuration says.
    pub fn new(system: &SystemConfig) -> Self {
        Self {
            given: system.volumes.clone(),
            allowed: system
                .allowed_extra_volumes
                .iter()
                .map(PathBuf::from)
                .collect(),
            socket: Some(PathBuf::from(&system.agent.docker_socket)),
            run_dir: Some(PathBuf::from(&system.coordinator.run_dir)),
        }
    }

    /// Opens and judges what the mounts of a container lead to, but for the sandbox and for what
    /// the operator gives to everyone, which lead wherever the operator means. What leads where
    /// its text says has been judged already; what leads elsewhere must be allowed there. What is
    /// not there is made, as the engine would.
    ///
    /// # Errors
    /// The first mount that is refused, and why.
    pub fn hold(&self, volumes: &[Volume]) -> Result<Vec<Held>, MountError> {
        let asked = volumes.iter().enumerate();
        let asked = asked.filter(|(_, one)| one.container_path != SANDBOX && !self.is_given(one));
        asked
            .map(|(index, volume)| {
                let path = volume.host_path.clone();
                let handle = self.open(&path, &mut || {})?;
                Ok(Held {
                    index,
                    path,
                    handle,
                })
            })
            .collect()
    }

    /// Opens one; `meanwhile` is called between the look at where it leads and the opening.
    fn open(&self, path: &str, meanwhile: &mut dyn FnMut()) -> Result<Handle, MountError> {
        let unknown = |source| MountError::Unknown {
            path: path.to_owned(),
            source,
        };
        let written = Path::new(path);
        let real = resolve(written).map_err(unknown)?;
        self.judge(path, &real)?;
        meanwhile();
        let below = real.strip_prefix("/").unwrap_or(&real);
        match descend(Path::new("/"), below).map_err(unknown)? {
            Found::Here(handle) => {
                self.not_the_socket(path, &real, &handle)?;
                Ok(handle)
            }
            // A part of it is a link now, or is gone.
            Found::Outside | Found::Nothing => Err(MountError::Changed {
                path: path.to_owned(),
            }),
        }
    }

    fn judge(&self, path: &str, real: &Path) -> Result<(), MountError> {
        let (path, told) = (path.to_owned(), real.display().to_string());
        if real == Path::new(&path) {
            return Ok(());
        }
        let socket = self.socket.iter().filter_map(|path| resolve(path).ok());
        if socket.into_iter().any(|socket| socket.starts_with(real)) {
            return Err(MountError::Socket { path, real: told });
        }
        let run_dir = self.run_dir.iter().filter_map(|path| resolve(path).ok());
        let mut run_dir = run_dir.into_iter();
        if run_dir.any(|dir| dir.starts_with(real) || real.starts_with(&dir)) {
            return Err(MountError::RunDir { path, real: told });
        }
        let mut allowed = self.allowed.iter().filter_map(|path| resolve(path).ok());
        match allowed.any(|directory| real.starts_with(directory)) {
            true => Ok(()),
            false => Err(MountError::Outside { path, real: told }),
        }
    }

    /// Docker's socket by another name is Docker's socket.
    fn not_the_socket(&self, path: &str, real: &Path, handle: &Handle) -> Result<(), MountError> {
        let identity = |metadata: io::Result<std::fs::Metadata>| {
            metadata.ok().map(|one| (one.dev(), one.ino()))
        };
        let socket = self.socket.as_deref().map(std::fs::metadata);
        let socket = socket.and_then(identity);
        match socket.is_some() && socket == identity(handle.metadata()) {
            true => Err(MountError::Socket {
                path: path.to_owned(),
                real: real.display().to_string(),
            }),
            false => Ok(()),
        }
    }

    /// Paths are compared by their parts: `/a//b/` is `/a/b`. What is in a directory that services
    /// may write to is not the operator's word alone.
    fn is_given(&self, volume: &Volume) -> bool {
        let same = |a: &str, b: &str| Path::new(a) == Path::new(b);
        let mut given = self.given.iter();
        let given = given.any(|given| {
            same(&given.host_path, &volume.host_path)
                && same(&given.container_path, &volume.container_path)
        });
        let path = Path::new(&volume.host_path);
        given && !self.allowed.iter().any(|one| path.starts_with(one))
    }
}

/// Follows every link. What is not there is below what is.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it holds `..`"));
    }
    for there in path.ancestors() {
        match there.canonicalize() {
            Ok(real) => {
                let below = path.strip_prefix(there).unwrap_or(Path::new(""));
                return Ok(real.join(below));
            }
            // A link to nowhere would lead there once somebody makes it.
            Err(error) if error.kind() != ErrorKind::NotFound || there.is_symlink() => {
                return Err(error);
            }
            Err(_) => {}
        }
    }
    Err(io::Error::from(ErrorKind::NotFound))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    /// `allowed` and `secret`, and in the first one links to both.
    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new() -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            fs::create_dir_all(tree.at("allowed/data")).unwrap();
            fs::create_dir_all(tree.at("secret/run")).unwrap();
            symlink(tree.at("secret"), tree.at("allowed/out")).unwrap();
            symlink("data", tree.at("allowed/in")).unwrap();
            symlink(tree.at("nowhere"), tree.at("allowed/dangling")).unwrap();
            tree
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.path().canonicalize().unwrap().join(path)
        }

        fn volume(&self, path: &str) -> Volume {
            Volume {
                container_path: "/inside".to_owned(),
                host_path: self.at(path).to_string_lossy().into_owned(),
                read_only: true,
            }
        }

        fn check(&self, mounts: &Mounts, path: &str) -> Result<(), String> {
            let volumes = [self.volume(path)];
            let held = mounts.hold(&volumes);
            held.map(drop).map_err(|error| error.to_string())
        }
    }

    #[test]
    fn a_link_must_stay_in_what_is_allowed() {
        let tree = Tree::new();
        let mounts = Mounts {
            allowed: vec![tree.at("allowed")],
            ..Mounts::default()
        };
        for fine in ["allowed", "allowed/data", "allowed/in", "allowed/in/new"] {
            assert_eq!(tree.check(&mounts, fine), Ok(()));
        }
        for bad in ["allowed/out", "allowed/out/run", "allowed/out/not/there"] {
            let told = tree.check(&mounts, bad).unwrap_err();
            let real = tree.at(&bad.replace("allowed/out", "secret"));
            assert!(
                told.contains(&format!("leads to {}", real.display())),
                "{told}"
            );
            assert!(told.contains("allowed_extra_volumes"), "{told}");
        }
        for bad in [
            "allowed/dangling",
            "allowed/dangling/x",
            "allowed/x/../../secret",
        ] {
            let told = tree.check(&mounts, bad).unwrap_err();
            assert!(told.contains("cannot be followed"), "{told}");
        }
    }

    #[test]
    fn what_the_operator_gives_and_what_has_no_links_needs_no_list() {
        let tree = Tree::new();
        let none = Mounts::default();
        assert_eq!(tree.check(&none, "secret"), Ok(()), "judged by its text");
        assert!(tree.check(&none, "allowed/in").is_err());
        let given = Mounts {
            given: vec![tree.volume("allowed/out/")],
            ..Mounts::default()
        };
        assert_eq!(tree.check(&given, "allowed/out"), Ok(()));
        assert!(tree.check(&given, "allowed/out/run").is_err());
    }

    #[test]
    fn the_socket_is_nobodys_wherever_it_is() {
        let tree = Tree::new();
        fs::write(tree.at("secret/run/docker.sock"), "").unwrap();
        let mounts = Mounts {
            allowed: vec![tree.at("")],
            socket: Some(tree.at("allowed/out/run/docker.sock")),
            ..Mounts::default()
        };
        for bad in [
            "allowed/out",
            "allowed/out/run",
            "allowed/out/run/docker.sock",
        ] {
            let told = tree.check(&mounts, bad).unwrap_err();
            assert!(told.contains("Docker's socket"), "{told}");
        }
        assert_eq!(tree.check(&mounts, "allowed/in"), Ok(()));
    }

    #[test]
    fn what_the_operator_gives_in_a_directory_of_services_is_judged() {
        let tree = Tree::new();
        let mounts = Mounts {
            given: vec![tree.volume("allowed/out"), tree.volume("allowed/in")],
            allowed: vec![tree.at("allowed")],
            ..Mounts::default()
        };
        assert!(tree.check(&mounts, "allowed/out").is_err());
        assert_eq!(tree.check(&mounts, "allowed/in"), Ok(()));
    }

    #[test]
    fn what_is_swapped_after_the_look_is_not_opened() {
        let tree = Tree::new();
        fs::create_dir_all(tree.at("allowed/a/b")).unwrap();
        fs::create_dir_all(tree.at("secret/b")).unwrap();
        let mounts = Mounts {
            allowed: vec![tree.at("allowed")],
            ..Mounts::default()
        };
        let path = |name: &str| tree.at(name).to_string_lossy().into_owned();
        for (asked, swapped) in [("allowed/a/b", "allowed/a"), ("allowed/a", "allowed/a")] {
            let mut swap = || {
                fs::rename(tree.at(swapped), tree.at("allowed/aside")).unwrap();
                symlink(tree.at("secret"), tree.at(swapped)).unwrap();
            };
            let found = mounts.open(&path(asked), &mut swap);
            assert!(
                matches!(found, Err(MountError::Changed { .. })),
                "{found:?}"
            );
            fs::remove_file(tree.at(swapped)).unwrap();
            fs::rename(tree.at("allowed/aside"), tree.at(swapped)).unwrap();
        }
        // What was opened stays what it was.
        let held = mounts.open(&path("allowed/a"), &mut || {}).unwrap();
        fs::write(tree.at("allowed/a/mine"), "").unwrap();
        fs::rename(tree.at("allowed/a"), tree.at("allowed/aside")).unwrap();
        symlink(tree.at("secret"), tree.at("allowed/a")).unwrap();
        let names: Vec<_> = held
            .names()
            .unwrap()
            .map(|one| one.unwrap().file_name())
            .collect();
        assert!(names.contains(&"mine".into()), "{names:?}");
    }

    #[test]
    fn what_is_not_there_is_made() {
        let tree = Tree::new();
        let mounts = Mounts {
            allowed: vec![tree.at("allowed")],
            ..Mounts::default()
        };
        assert_eq!(tree.check(&mounts, "allowed/in/new/dir"), Ok(()));
        assert!(tree.at("allowed/data/new/dir").is_dir());
    }
}
