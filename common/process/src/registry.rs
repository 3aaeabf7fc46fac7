//! Asking an image registry whether it has a version, by the registry HTTP API V2
//! (<https://distribution.github.io/distribution/spec/api/>). Not here: pulling and pushing, which
//! Docker does.
//!
//! The questions block: ask them on a thread that may wait.

use std::{fmt, net::IpAddr, time::Duration};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ureq::{
    Agent, Body,
    http::{Response, StatusCode},
};

use crate::{
    docker_login::Login,
    https::{self, Trust},
};

/// What a registry may answer with: docker's own and OCI's manifests, of one image or of several.
const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
/// The largest answer of a token server that is read, bytes.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// An image by its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image<'a> {
    /// `HOST[:PORT]`.
    pub registry: &'a str,
    /// As `services-hello`.
    pub repository: &'a str,
    /// As `paasta-SHA`.
    pub tag: &'a str,
}

impl fmt::Display for Image<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.repository, self.tag)
    }
}

/// Why a registry did not say whether it has an image.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It cannot be reached, over TLS or otherwise.
    #[error(
        "cannot ask the registry {registry} for {image}; check docker_registry and the network"
    )]
    Unreachable {
        /// The registry.
        registry: String,
        /// What was asked for.
        image: String,
        /// What the network says.
        #[source]
        source: Box<ureq::Error>,
    },
    /// It needs a login, or refuses this one.
    #[error(
        "the registry {registry} refuses to say whether it has {image} ({status}); `docker login {registry}` on this machine"
    )]
    Denied {
        /// The registry.
        registry: String,
        /// What was asked for.
        image: String,
        /// Its answer.
        status: u16,
    },
    /// It answers something that is no answer.
    #[error("the registry {registry} answered {status} when asked for {image}; look at its logs")]
    Odd {
        /// The registry.
        registry: String,
        /// What was asked for.
        image: String,
        /// Its answer.
        status: u16,
    },
}

/// Whether the registry has the image. It is asked over TLS; when that fails and there is no login
/// that could be overheard, without. Answers within `limit`, or twice that without TLS.
///
/// # Errors
/// [`RegistryError`]: not knowing is never taken for a no.
pub fn has(
    image: &Image<'_>,
    login: Option<&Login>,
    limit: Duration,
) -> Result<bool, RegistryError> {
    let agent = https::client(limit, Trust::Authorities);
    let found = ask(&agent, "https", image, login);
    let found = match found {
        Err(RegistryError::Unreachable { .. }) if login.is_none() || local(image.registry) => {
            // Of two failures the first is told: most registries speak TLS.
            ask(&agent, "http", image, login).or(found)
        }
        found => found,
    }?;
    let status = found.status();
    let (registry, what) = (image.registry.to_owned(), image.to_string());
    match status {
        StatusCode::OK => Ok(true),
        StatusCode::NOT_FOUND => Ok(false),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(RegistryError::Denied {
            registry,
            image: what,
            status: status.as_u16(),
        }),
        _ => Err(RegistryError::Odd {
            registry,
            image: what,
            status: status.as_u16(),
        }),
    }
}

/// Whether it is on this machine, where nobody listens in: what docker calls insecure by default.
fn local(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

/// Asks as nobody, then as the registry wants to be asked.
fn ask(
    agent: &Agent,
    scheme: &str,
    image: &Image<'_>,
    login: Option<&Login>,
) -> Result<Response<Body>, RegistryError> {
    let unreachable = |source: ureq::Error| RegistryError::Unreachable {
        registry: image.registry.to_owned(),
        image: image.to_string(),
        source: Box::new(source),
    };
    let Image {
        registry,
        repository,
        tag,
    } = image;
    let url = format!("{scheme}://{registry}/v2/{repository}/manifests/{tag}");
    let head = |authorization: Option<&str>| {
        let mut request = agent.head(&url).header("Accept", ACCEPT);
        if let Some(value) = authorization {
            request = request.header("Authorization", value);
        }
        request.call().map_err(unreachable)
    };
    let answer = head(None)?;
    if answer.status() != StatusCode::UNAUTHORIZED {
        return Ok(answer);
    }
    let wanted = answer.headers().get("www-authenticate");
    let wanted = wanted
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let authorization = match (Challenge::parse(wanted), login) {
        (Some(Challenge::Bearer(server)), _) => token(agent, &server, login)
            .map_err(unreachable)?
            .map(|token| format!("Bearer {token}")),
        (Some(Challenge::Basic), Some(login)) => basic(login),
        _ => None,
    };
    match authorization {
        Some(value) => head(Some(&value)),
        None => Ok(answer),
    }
}

/// How a registry wants to be told who asks.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    /// The URL where a token is got.
    Bearer(String),
}

impl Challenge {
    fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let value = |name: &str| {
            let at = rest.find(&format!("{name}=\""))? + name.len() + 2;
            let (value, _) = rest.get(at..)?.split_once('"')?;
            Some(value)
        };
        let mut url = value("realm")?.to_owned();
        let mut mark = if url.contains('?') { '&' } else { '?' };
        for name in ["service", "scope"] {
            if let Some(value) = value(name) {
                url = format!("{url}{mark}{name}={}", escaped(value));
                mark = '&';
            }
        }
        Some(Self::Bearer(url))
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A token for the question; none when the server does not give this one any.
fn token(agent: &Agent, url: &str, login: Option<&Login>) -> Result<Option<String>, ureq::Error> {
    let mut request = agent.get(url);
    if let Some(value) = login.and_then(basic) {
        request = request.header("Authorization", value);
    }
    let mut answer = request.call()?;
    if !answer.status().is_success() {
        return Ok(None);
    }
    let text = answer
        .body_mut()
        .with_config()
        .limit(TOKEN_BYTES_MAX)
        .read_to_string()?;
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let token = ["token", "access_token"]
        .into_iter()
        .find_map(|name| json[name].as_str());
    Ok(token.map(str::to_owned))
}

/// User and password; none where there is a token instead, which only Docker can use.
fn basic(login: &Login) -> Option<String> {
    let (username, password) = (login.username.as_ref()?, login.password.as_ref()?);
    let encoded = BASE64_STANDARD.encode(format!("{username}:{password}"));
    Some(format!("Basic {encoded}"))
}

#[cfg(test)]
mod tests;
