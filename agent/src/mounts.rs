//! Where a container's mounts lead on this host. Coordinators judge `extra_volumes` by their text;
//! only the host can see that a symbolic link in an allowed directory leads out of it.

use std::{
    io::{self, ErrorKind},
    path::{Component, Path, PathBuf},
};

use paasta_agent_core::compose::SANDBOX;
use paasta_common::{app::Volume, config::SystemConfig};

/// Which mounts this host gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts {
    /// The operator's own, which lead wherever the operator means them to.
    given: Vec<Volume>,
    /// The directories that services may mount, with all that is below them.
    allowed: Vec<PathBuf>,
    /// Docker's socket: no service has it, allowed directory or not.
    socket: Option<PathBuf>,
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
    /// Nobody can tell where it leads.
    #[error("host path {path} can not be followed on this host: {source}")]
    Unknown {
        /// As it is written.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
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
        }
    }

    /// Looks where each mount leads. What leads where its text says has been judged already, and
    /// so has what the operator gives to everyone; what leads elsewhere must be allowed there. A
    /// link that is changed after this look and before the engine's own is not noticed.
    ///
    /// # Errors
    /// The first mount that is refused, and why.
    pub fn check(&self, volumes: &[Volume]) -> Result<(), MountError> {
        let asked = volumes.iter().filter(|one| one.container_path != SANDBOX);
        for volume in asked.filter(|one| !self.is_given(one)) {
            let (path, written) = (volume.host_path.clone(), Path::new(&volume.host_path));
            let real = match resolve(written) {
                Ok(real) => real,
                Err(source) => return Err(MountError::Unknown { path, source }),
            };
            if real == written {
                continue;
            }
            let told = real.display().to_string();
            let socket = self.socket.iter().filter_map(|path| resolve(path).ok());
            if socket.into_iter().any(|socket| socket.starts_with(&real)) {
                return Err(MountError::Socket { path, real: told });
            }
            let mut allowed = self.allowed.iter().filter_map(|path| resolve(path).ok());
            if !allowed.any(|directory| real.starts_with(directory)) {
                return Err(MountError::Outside { path, real: told });
            }
        }
        Ok(())
    }

    /// Paths are compared by their parts: `/a//b/` is `/a/b`.
    fn is_given(&self, volume: &Volume) -> bool {
        let same = |a: &str, b: &str| Path::new(a) == Path::new(b);
        self.given.iter().any(|given| {
            same(&given.host_path, &volume.host_path)
                && same(&given.container_path, &volume.container_path)
        })
    }
}

/// Follows every link. What is not there is below what is: the engine makes it, or says that it is
/// not there.
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
            mounts.check(&volumes).map_err(|error| error.to_string())
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
            assert!(told.contains("can not be followed"), "{told}");
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
}
