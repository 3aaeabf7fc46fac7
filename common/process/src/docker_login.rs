//! Credentials for registries, from docker's own configuration file, and what an image's name
//! says of where it comes from.

use std::{collections::BTreeMap, fmt, path::Path};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use paasta_common::image::{DOCKER_HUB, ImageName};
use serde::Deserialize;

/// The largest configuration file that is read, bytes.
const FILE_MAX: u64 = 1 << 20;

/// Logins by registry, from a docker config.json or a .dockercfg.
#[derive(Debug, Clone, Default)]
pub struct Auths {
    path: String,
    file: ConfigFile,
}

/// What a registry is shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The registry as the file names it.
    pub registry: String,
    /// The user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// A token instead of a password.
    pub identitytoken: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the secrets: this may be logged.
        f.debug_struct("Login")
            .field("registry", &self.registry)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// A credentials file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// It cannot be read.
    #[error("cannot read registry credentials {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("registry credentials {path} are not a docker config.json or .dockercfg")]
    Parse {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A login is spoilt.
    #[error(
        "registry credentials {path}: auths[{registry:?}].auth is not base64 of USER:PASSWORD; run `docker login {registry}` again"
    )]
    Auth {
        /// The file.
        path: String,
        /// Whose login.
        registry: String,
    },
    /// The login is somewhere else.
    #[error(
        "registry credentials {path}: the login of {registry} is with the credential helper {helper:?}, and the agent runs none: put it into auths (`docker login` with neither credsStore nor credHelpers)"
    )]
    Helper {
        /// The file.
        path: String,
        /// Whose login.
        registry: String,
        /// The helper's name.
        helper: String,
    },
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConfigFile {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.auths.keys()).finish()
    }
}

impl Auths {
    /// Reads the file. A missing one means that there are no credentials.
    ///
    /// # Errors
    /// [`AuthError`] when it is there and cannot be used.
    pub fn read(path: &Path) -> Result<Self, AuthError> {
        let name = path.display().to_string();
        let read = |source| AuthError::Read {
            path: name.clone(),
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
        let file = parse(&text).map_err(|source| AuthError::Parse {
            path: name.clone(),
            source,
        })?;
        Ok(Self { path: name, file })
    }

    /// What to show the registry of this image.
    ///
    /// # Errors
    /// [`AuthError`] when the file has a login for it that cannot be used.
    pub fn for_image(&self, image: &str) -> Result<Option<Login>, AuthError> {
        let wanted = registry(image);
        let helper = self.file.cred_helpers.iter();
        if let Some((name, helper)) = helper.into_iter().find(|(name, _)| is(name, &wanted)) {
            return Err(self.helper(name, helper));
        }
        let Some((name, auth)) = self.file.auths.iter().find(|(name, _)| is(name, &wanted)) else {
            return Ok(None);
        };
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (username, password) = match auth.auth.is_empty() {
            true => (given(&auth.username), given(&auth.password)),
            false => {
                let (user, password) = decode(&auth.auth).ok_or_else(|| AuthError::Auth {
                    path: self.path.clone(),
                    registry: name.clone(),
                })?;
                (given(&user), given(&password))
            }
        };
        let identitytoken = given(&auth.identitytoken);
        if password.is_none() && identitytoken.is_none() {
            // So docker writes what its store keeps.
            return match self.file.creds_store.as_str() {
                "" => Ok(None),
                store => Err(self.helper(name, store)),
            };
        }
        Ok(Some(Login {
            registry: name.clone(),
            username,
            password,
            identitytoken,
        }))
    }

    fn helper(&self, registry: &str, helper: &str) -> AuthError {
        AuthError::Helper {
            path: self.path.clone(),
            registry: registry.to_owned(),
            helper: helper.to_owned(),
        }
    }
}

fn parse(text: &[u8]) -> serde_json::Result<ConfigFile> {
    let top: BTreeMap<String, serde_json::Value> = serde_json::from_slice(text)?;
    let newer = ["auths", "credHelpers", "credsStore"];
    if newer.iter().any(|key| top.contains_key(*key)) {
        return serde_json::from_slice(text);
    }
    // The older .dockercfg is the map itself.
    let logins = top.into_iter().filter(|(_, value)| value.is_object());
    let auths = logins.map(|(name, value)| Ok((name, serde_json::from_value(value)?)));
    Ok(ConfigFile {
        auths: auths.collect::<serde_json::Result<_>>()?,
        ..ConfigFile::default()
    })
}

/// Whether a name in the file, `https://HOST/v2/` or `HOST`, is the registry.
fn is(name: &str, registry: &str) -> bool {
    let bare = name
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    let bare = bare.split('/').next().unwrap_or(bare);
    bare == registry || registry == "docker.io" && bare == "index.docker.io"
}

fn decode(auth: &str) -> Option<(String, String)> {
    let bytes = BASE64_STANDARD.decode(auth.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    // Docker pads some with zeros.
    let password = password.trim_end_matches('\0');
    Some((user.to_owned(), password.to_owned()))
}

/// The registry of an image; Docker's own where the name says none.
fn registry(image: &str) -> String {
    let name = ImageName::new(image);
    name.map_or_else(|_| DOCKER_HUB.to_owned(), |name| name.registry().to_owned())
}

/// The repository and the tag (or digest) of an image; `latest` where none is named, or where the
/// text is no name of an image, which the engine then says.
pub fn repository_and_tag(image: &str) -> (&str, &str) {
    const LATEST: &str = "latest";
    let Ok(name) = ImageName::new(image) else {
        return (image, LATEST);
    };
    let end = name.repository().len();
    let after = match (name.digest(), name.tag()) {
        (Some(digest), _) => &image[image.len() - digest.len()..],
        (None, Some(_)) => &image[end + 1..],
        (None, None) => LATEST,
    };
    (&image[..end], after)
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
            (
                "a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                "a",
                "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                "docker.io",
            ),
        ] {
            assert_eq!(repository_and_tag(image), (repository, tag), "{image}");
            assert_eq!(registry(image), from, "{image}");
        }
        assert!(is_immutable("r/services-a:paasta-3f2a9c0d"));
        assert!(is_immutable(
            "a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
        ));
        for image in ["a", "a:latest", "a:paasta-", "a:paasta-main", "a:v1"] {
            assert!(!is_immutable(image), "{image}");
        }
    }

    fn auths(text: &str) -> Result<Auths, AuthError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        Auths::read(&path)
    }

    #[test]
    fn credentials_are_found_by_registry_in_both_formats() {
        let inner = r#"{"https://reg.example.com/v2/": {"auth": "dTpwOnc="}, "reg:5000": {},
            "token:1": {"auth": "dTo=", "identitytoken": "t"},
            "https://index.docker.io/v1/": {"username": "a", "password": "b"}}"#;
        for text in [format!(r#"{{"auths": {inner}}}"#), inner.to_owned()] {
            let auths = auths(&text).unwrap();
            let found = |image| auths.for_image(image).unwrap();
            let login = found("reg.example.com/a:1").unwrap();
            assert_eq!(login.registry, "https://reg.example.com/v2/");
            assert_eq!(
                (login.username.as_deref(), login.password.as_deref()),
                (Some("u"), Some("p:w"))
            );
            assert!(!format!("{login:?}").contains("p:w"));
            let token = found("token:1/a").unwrap();
            assert_eq!(
                (token.identitytoken.as_deref(), token.password),
                (Some("t"), None)
            );
            assert_eq!(found("busybox").unwrap().password.as_deref(), Some("b"));
            assert!(found("reg:5000/a").is_none() && found("reg:5001/a").is_none());
        }
        let nowhere = Auths::read(Path::new("/nonexistent/config.json")).unwrap();
        assert!(nowhere.for_image("a").unwrap().is_none());
        assert!(auths(r#"{"detachKeys": "ctrl-e"}"#).is_ok());
    }

    #[test]
    fn what_can_not_be_used_says_what_to_do() {
        for spoilt in ["[]", "{", r#"{"auths": 1}"#] {
            assert!(
                matches!(auths(spoilt), Err(AuthError::Parse { .. })),
                "{spoilt}"
            );
        }
        for (text, said) in [
            (r#"{"auths": {"r:1": {"auth": "?"}}}"#, "docker login r:1"),
            (r#"{"auths": {"r:1": {"auth": "dQ=="}}}"#, "USER:PASSWORD"),
            (r#"{"credHelpers": {"r:1": "ecr-login"}}"#, "\"ecr-login\""),
            (
                r#"{"auths": {"r:1": {}}, "credsStore": "pass"}"#,
                "the credential helper \"pass\"",
            ),
        ] {
            let error = auths(text).unwrap().for_image("r:1/a").unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            assert!(auths(text).unwrap().for_image("r:2/a").unwrap().is_none());
        }
    }
}
