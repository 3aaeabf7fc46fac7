//! Credentials for registries, from docker's own configuration file, and what an image's name
//! says of where it comes from.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

/// The largest configuration file that is read, bytes.
const FILE_MAX: u64 = 1 << 20;

/// `auths` of a docker config.json or a .dockercfg, by registry.
#[derive(Debug, Clone, Default)]
pub struct Auths {
    by_registry: BTreeMap<String, Auth>,
}

/// What a registry wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Auth {
    /// base64 of `user:password`.
    pub auth: Option<String>,
    /// The user, where it is given apart.
    pub username: Option<String>,
    /// The password, where it is given apart.
    pub password: Option<String>,
    /// A token instead of both.
    pub identitytoken: Option<String>,
}

/// A credentials file that can not be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// It can not be read.
    #[error("cannot read registry credentials {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("registry credentials {path} are not a docker config.json")]
    Parse {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct ConfigFile {
    auths: BTreeMap<String, Auth>,
}

impl Auths {
    /// Reads the file. A missing one means that there are no credentials.
    ///
    /// # Errors
    /// [`AuthError`] when it is there and can not be used.
    pub fn read(path: &Path) -> Result<Self, AuthError> {
        let name = || path.display().to_string();
        let read = |source| AuthError::Read {
            path: name(),
            source,
        };
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(source) => return Err(read(source)),
            Ok(meta) if meta.len() > FILE_MAX => {
                return Err(read(std::io::Error::other("it is larger than 1 MiB")));
            }
            Ok(_) => {}
        }
        let text = std::fs::read(path).map_err(read)?;
        let by_registry = serde_json::from_slice::<ConfigFile>(&text)
            .map(|file| file.auths)
            // The older .dockercfg is the map itself.
            .or_else(|_| serde_json::from_slice::<BTreeMap<String, Auth>>(&text))
            .map_err(|source| AuthError::Parse {
                path: name(),
                source,
            })?;
        Ok(Self { by_registry })
    }

    /// What to show the registry of this image, and its name.
    pub fn for_image(&self, image: &str) -> Option<(&str, &Auth)> {
        let registry = registry(image);
        self.by_registry.iter().find_map(|(name, auth)| {
            let bare = name
                .trim_start_matches("https://")
                .trim_start_matches("http://");
            let bare = bare.split('/').next().unwrap_or(bare);
            let hub = registry == "docker.io" && bare.ends_with("docker.io");
            (bare == registry || hub).then_some((name.as_str(), auth))
        })
    }
}

/// The registry of an image: what stands before the first `/` if it looks like a host.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

/// The repository and the tag (or digest) of an image; `latest` where none is named.
pub fn repository_and_tag(image: &str) -> (&str, &str) {
    if let Some((repository, digest)) = image.split_once('@') {
        return (repository, digest);
    }
    match image.rsplit_once(':') {
        // A colon before a slash is the registry's port.
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (image, "latest"),
    }
}

/// Whether the name can only ever mean one image: a digest, or PaaSTA's tag made of a git sha.
/// Such an image is used without asking its registry when it is here.
pub fn is_immutable(image: &str) -> bool {
    let (_, tag) = repository_and_tag(image);
    let sha = |text: &str| text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    tag.starts_with("sha256:") || tag.strip_prefix("paasta-").is_some_and(sha)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        for (image, repository, tag, from) in [
            (
                "reg:5000/services-a:paasta-3f2a9c0d",
                "reg:5000/services-a",
                "paasta-3f2a9c0d",
                "reg:5000",
            ),
            (
                "reg.example.com/a",
                "reg.example.com/a",
                "latest",
                "reg.example.com",
            ),
            ("localhost/a/b:1", "localhost/a/b", "1", "localhost"),
            ("busybox", "busybox", "latest", "docker.io"),
            ("library/busybox:1", "library/busybox", "1", "docker.io"),
            ("a@sha256:00", "a", "sha256:00", "docker.io"),
        ] {
            assert_eq!(repository_and_tag(image), (repository, tag), "{image}");
            assert_eq!(registry(image), from, "{image}");
        }
        assert!(is_immutable("r/services-a:paasta-3f2a9c0d"));
        assert!(is_immutable("a@sha256:00"));
        for image in ["a", "a:latest", "a:paasta-", "a:paasta-main", "a:v1"] {
            assert!(!is_immutable(image), "{image}");
        }
    }

    #[test]
    fn credentials_are_found_by_registry_in_both_formats() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        let inner = r#"{"https://reg.example.com/v2/": {"auth": "dTpw"}, "reg:5000": {}}"#;
        for text in [
            format!(r#"{{"auths": {inner}, "credsStore": "x"}}"#),
            inner.to_owned(),
        ] {
            std::fs::write(&path, text).unwrap();
            let auths = Auths::read(&path).unwrap();
            let (name, auth) = auths.for_image("reg.example.com/a:1").unwrap();
            assert_eq!(
                (name, auth.auth.as_deref()),
                ("https://reg.example.com/v2/", Some("dTpw"))
            );
            assert!(auths.for_image("reg:5000/a").is_some());
            assert!(auths.for_image("reg:5001/a").is_none());
            assert!(auths.for_image("busybox").is_none());
        }
        assert!(
            Auths::read(&dir.path().join("none"))
                .unwrap()
                .for_image("a")
                .is_none()
        );
        std::fs::write(&path, "[]").unwrap();
        assert!(Auths::read(&path).is_err());
    }
}
