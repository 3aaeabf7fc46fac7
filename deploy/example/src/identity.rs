//! Who answers: service, instance, version and host name, as paasta tells them in the environment.

use std::{fmt, fs};

/// What `GET /` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `PAASTA_SERVICE`.
    pub service: String,
    /// `PAASTA_INSTANCE`.
    pub instance: String,
    /// First 8 characters of the git sha in `PAASTA_DOCKER_IMAGE`, or this program's version.
    pub version: String,
    /// The container's host name.
    pub hostname: String,
}

impl Identity {
    /// Reads it; outside of paasta it says what it can.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Self {
        let known = |key: &str| get(key).filter(|text| !text.is_empty());
        let hostname = known("HOSTNAME")
            .or_else(|| fs::read_to_string("/proc/sys/kernel/hostname").ok())
            .map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned());
        Self {
            service: known("PAASTA_SERVICE").unwrap_or_else(|| "hello".to_owned()),
            instance: known("PAASTA_INSTANCE").unwrap_or_else(|| "none".to_owned()),
            version: known("PAASTA_DOCKER_IMAGE")
                .and_then(|image| short_sha(&image))
                .unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
            hostname,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            instance,
            version,
            hostname,
        } = self;
        write!(
            f,
            "service={service} instance={instance} version={version} hostname={hostname}"
        )
    }
}

/// `REGISTRY/services-hello:paasta-SHA` has the sha after the last dash of its last path piece.
fn short_sha(image: &str) -> Option<String> {
    let (_, sha) = image.rsplit('/').next()?.rsplit_once('-')?;
    (!sha.is_empty()).then(|| sha.chars().take(8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_short_sha_of_the_image() {
        let image = "10.77.0.1:5000/services-hello:paasta-0123456789abcdef0123456789abcdef01234567";
        assert_eq!(short_sha(image).as_deref(), Some("01234567"));
    }

    #[test]
    fn an_image_without_sha_has_no_short_sha() {
        assert_eq!(short_sha("registry-1/hello"), None);
        assert_eq!(short_sha("hello-"), None);
    }

    #[test]
    fn outside_of_paasta_it_still_answers() {
        let identity = Identity::from_env(|_| None);
        assert_eq!(identity.service, "hello");
        assert_eq!(identity.version, env!("CARGO_PKG_VERSION"));
    }
}
