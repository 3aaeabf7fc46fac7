//! The names of images and of registries, by the grammar of Docker's references:
//! `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`. They are parsed here and nowhere else.

use std::fmt;

use crate::text::beginning;

/// The longest reference without its tag and digest, in bytes, as Docker bounds it.
pub const NAME_MAX: usize = 255;
/// The longest tag, in bytes.
pub const TAG_MAX: usize = 128;
/// The registry of names without a host.
pub const DOCKER_HUB: &str = "docker.io";
/// Where Docker keeps names of one part there.
const LIBRARY: &str = "library";
/// The longest part of a host that is quoted in an error, in characters.
const SHOWN_MAX: usize = 60;

/// The name of an image, as Docker reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    text: String,
    /// Where the path begins in `text`; 0 where no host is written.
    path: usize,
    /// Where the name without tag and digest ends.
    end: usize,
    /// Where the tag is.
    tag: Option<(usize, usize)>,
    /// Where the digest begins; it goes to the end.
    digest: Option<usize>,
}

/// A registry, and perhaps the beginning of a path in it: `HOST[:PORT][/PATH]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Registry(String);

/// A text that Docker would not take for the name of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is not the name of an image: {why}")]
pub struct ImageNameError {
    shown: String,
    why: &'static str,
}

impl ImageNameError {
    /// What is wrong, without the text.
    pub fn why(&self) -> &'static str {
        self.why
    }
}

impl ImageName {
    /// Parses a reference.
    ///
    /// # Errors
    /// The first rule of the grammar that the text breaks.
    pub fn new(text: &str) -> Result<Self, ImageNameError> {
        let refuse = |why| ImageNameError {
            shown: beginning(text, SHOWN_MAX).to_owned(),
            why,
        };
        let digest = text.find('@').map(|at| at + 1);
        if digest.is_some_and(|at| !is_digest(&text[at..])) {
            return Err(refuse(
                "after '@' comes a digest, ALGORITHM:HEX with 32 digits at least",
            ));
        }
        let before = digest.map_or(text, |at| &text[..at - 1]);
        let last = before.rfind('/').map_or(0, |at| at + 1);
        // Only in the last part: an earlier colon is a port's.
        let colon = before[last..].find(':').map(|at| last + at);
        let tag = colon.map(|at| (at + 1, before.len()));
        if tag.is_some_and(|(from, to)| !is_tag(&text[from..to])) {
            return Err(refuse(
                "a tag has 1 to 128 letters, digits, '_', '.' and '-', and begins with none of \
                 the last two",
            ));
        }
        let end = colon.unwrap_or(before.len());
        let name = &text[..end];
        let path = host(name).map_or(0, |host| host.len() + 1);
        if name.len() > NAME_MAX {
            return Err(refuse("it is longer than 255 bytes without its tag"));
        }
        if host(name).is_some_and(|host| !is_host(host)) {
            return Err(refuse(
                "before the first '/' stands HOST[:PORT]: letters, digits, '-' and '.', or an \
                 IPv6 address in brackets",
            ));
        }
        if !name[path..].split('/').all(is_part) {
            return Err(refuse(
                "each part of its path has lower-case letters and digits, with '.', '_', '__' or \
                 '-' between them",
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            path,
            end,
            tag,
            digest,
        })
    }

    /// The reference as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The registry's `HOST[:PORT]`; Docker Hub where none is written.
    pub fn registry(&self) -> &str {
        match self.path {
            0 => DOCKER_HUB,
            path => &self.text[..path - 1],
        }
    }

    /// The name without tag and digest, as it was written.
    pub fn repository(&self) -> &str {
        &self.text[..self.end]
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.tag.map(|(from, to)| &self.text[from..to])
    }

    /// The digest, `ALGORITHM:HEX`.
    pub fn digest(&self) -> Option<&str> {
        self.digest.map(|from| &self.text[from..])
    }

    /// The name without tag and digest and with everything that Docker adds in thought: equal for
    /// equal images, however they are written.
    pub fn canonical(&self) -> String {
        let registry = match self.registry() {
            "index.docker.io" => DOCKER_HUB,
            other => other,
        };
        let path = &self.text[self.path..self.end];
        match registry == DOCKER_HUB && !path.contains('/') {
            true => format!("{registry}/{LIBRARY}/{path}"),
            false => format!("{registry}/{path}"),
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Registry {
    /// Parses `HOST[:PORT][/PATH]`; a `/` at the end is dropped.
    ///
    /// # Errors
    /// The rule of the grammar that it breaks.
    pub fn new(text: &str) -> Result<Self, ImageNameError> {
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        let refuse = |why| ImageNameError {
            shown: beginning(text, SHOWN_MAX).to_owned(),
            why,
        };
        if trimmed.contains('@') || trimmed.is_empty() {
            return Err(refuse("expected HOST[:PORT][/PATH]"));
        }
        match ImageName::new(&format!("{trimmed}/x")) {
            Ok(_) => Ok(Self(trimmed.to_owned())),
            Err(error) => Err(refuse(error.why)),
        }
    }

    /// `HOST[:PORT][/PATH]`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The image of that name in it.
    ///
    /// # Errors
    /// The rule of the grammar that the whole breaks.
    pub fn image(&self, name: &str) -> Result<ImageName, ImageNameError> {
        ImageName::new(&format!("{}/{name}", self.0))
    }
}

/// What stands before the first `/`, when Docker takes it for a host.
fn host(name: &str) -> Option<&str> {
    let (first, _) = name.split_once('/')?;
    let upper = first.chars().any(|c| c.is_ascii_uppercase());
    (first.contains(['.', ':']) || first == "localhost" || upper).then_some(first)
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, after)) => {
                let hex = |c: char| c.is_ascii_hexdigit() || c == ':';
                if address.is_empty() || !address.chars().all(hex) {
                    return false;
                }
                return after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
            }
            None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let part = |part: &str| {
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !part.is_empty() && part.chars().all(fine) && !part.starts_with('-') && !part.ends_with('-')
    };
    host.split('.').all(part) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// `[a-z0-9]+`, with `.`, `_`, `__` or any number of `-` between.
fn is_part(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = text.split(alphanumeric).filter(|one| !one.is_empty());
    let ends = [text.chars().next(), text.chars().next_back()];
    ends.iter().all(|end| end.is_some_and(alphanumeric))
        && separators
            .into_iter()
            .all(|one| matches!(one, "." | "_" | "__") || one.bytes().all(|b| b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= TAG_MAX
        && text.starts_with(word)
        && text.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else {
        return false;
    };
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(part)
        && hex.len() >= 32
        && hex.len() <= 1_024
        && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn names_are_taken_apart_as_docker_takes_them_apart() {
        for (text, registry, canonical, tag) in [
            ("busybox", DOCKER_HUB, "docker.io/library/busybox", None),
            ("a/b:1", DOCKER_HUB, "docker.io/a/b", Some("1")),
            ("docker.io/a", DOCKER_HUB, "docker.io/library/a", None),
            ("localhost/a/b:1", "localhost", "localhost/a/b", Some("1")),
            (
                "reg:5000/s-a:paasta-3f2a",
                "reg:5000",
                "reg:5000/s-a",
                Some("paasta-3f2a"),
            ),
            ("Reg/a", "Reg", "Reg/a", None),
            ("[::1]:5000/a", "[::1]:5000", "[::1]:5000/a", None),
            (
                "r.example.com/a__b/c--d.e:X_1.-",
                "r.example.com",
                "r.example.com/a__b/c--d.e",
                Some("X_1.-"),
            ),
        ] {
            let name = ImageName::new(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let found = (name.registry(), name.canonical(), name.tag());
            assert_eq!(found, (registry, canonical.to_owned(), tag), "{text}");
        }
        let pinned = format!("reg:5000/a:t@sha256:{HEX}");
        let pinned = ImageName::new(&pinned).unwrap();
        let digest = format!("sha256:{HEX}");
        assert_eq!(pinned.digest(), Some(digest.as_str()));
        assert_eq!(
            (pinned.repository(), pinned.tag()),
            ("reg:5000/a", Some("t"))
        );
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let long = format!("r.x/{}", "a".repeat(NAME_MAX));
        let tag = format!("a:{}", "t".repeat(TAG_MAX + 1));
        for text in [
            "",
            "A",
            "a/B",
            "a//b",
            "/a",
            "a/",
            "a:",
            "a: b",
            "a b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a:-t",
            "a@sha256:00",
            "a@",
            "reg:port/a",
            "reg:123456/a",
            "-reg.x/a",
            "reg_1:5000/a",
            "http://reg/a",
            "reg.x:5000",
            "[::1/a",
            "[x]:1/a",
            "[]:1/a",
            "a:b:c",
            "ä",
            &long,
            &tag,
        ] {
            let taken = ImageName::new(text);
            let port = text == "reg.x:5000";
            assert_eq!(
                taken.is_ok(),
                port,
                "{text:?}: a host alone reads as a name with a tag"
            );
        }
        let error = ImageName::new(&format!("{}/B", "a".repeat(200))).unwrap_err();
        assert!(error.to_string().len() < 250, "{error}");
    }

    #[test]
    fn a_registry_is_the_beginning_of_a_name() {
        for text in [
            "reg:5000",
            "reg:5000/",
            "localhost",
            "r.example.com/team",
            "acme",
            "127.0.0.1:1",
        ] {
            let registry = Registry::new(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let image = registry.image("services-web:paasta-1").unwrap();
            let written = format!("{}/services-web:paasta-1", text.trim_end_matches('/'));
            assert_eq!(image.as_str(), written);
        }
        for text in [
            "",
            "/",
            "reg//",
            "https://reg",
            "reg:5000/A",
            "reg:5000:1",
            "reg x",
            "reg@x",
            "reg:",
            "reg:tag/",
            "a_b.c",
        ] {
            assert!(Registry::new(text).is_err(), "{text:?}");
        }
    }
}
