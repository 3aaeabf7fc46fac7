//! What is in the body of a hook, of whichever git server: GitHub, GitLab and Gitea name the
//! repository's URLs differently, and nothing else is needed.

use paasta_common::id::{ServiceName, cut};
use serde_json::Value;

/// Bytes of one URL, at most.
const URL_BYTES_MAX: usize = 2_048;

/// Where the URLs of the repository stand.
const URLS: [(&str, &[&str]); 2] = [
    (
        "repository",
        &[
            "clone_url",
            "ssh_url",
            "git_url",
            "html_url",
            "url",
            "git_http_url",
            "git_ssh_url",
        ],
    ),
    (
        "project",
        &[
            "git_http_url",
            "git_ssh_url",
            "http_url",
            "ssh_url",
            "web_url",
        ],
    ),
];

/// What was pushed to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// The repository of a service, by the service's name.
    Service(ServiceName),
    /// A repository, by its URLs.
    Repository(Vec<String>),
}

/// Reads the body.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn read(body: &[u8]) -> Result<Pushed, String> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| format!("the body is not JSON (set the content type to it): {error}"))?;
    if let Some(service) = value.get("service") {
        let name = service.as_str().ok_or("service: expected text")?;
        let name = ServiceName::new(name).map_err(|error| error.to_string())?;
        return Ok(Pushed::Service(name));
    }
    let mut urls: Vec<String> = Vec::new();
    for (part, fields) in URLS {
        let given = fields
            .iter()
            .filter_map(|field| value[part][*field].as_str());
        for url in given.filter(|url| !url.is_empty()) {
            if url.len() > URL_BYTES_MAX {
                return Err(format!(
                    "{part}: a URL of {} bytes is longer than the {URL_BYTES_MAX} that it may have; it begins {:?}",
                    url.len(),
                    cut(url)
                ));
            }
            if !urls.iter().any(|known| known == url) {
                urls.push(url.to_owned());
            }
        }
    }
    match urls.is_empty() {
        true => Err(
            "the body names no repository: expected a push event of GitHub, GitLab or Gitea, or \
             {\"service\": NAME}"
                .to_owned(),
        ),
        false => Ok(Pushed::Repository(urls)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_found_in_what_each_server_sends() {
        for (body, expected) in [
            (
                r#"{"ref": "refs/tags/a", "repository": {"clone_url": "https://h/a.git",
                    "ssh_url": "git@h:a.git", "url": "https://h/a.git"}}"#,
                &["https://h/a.git", "git@h:a.git"][..],
            ),
            (
                r#"{"object_kind": "push", "project": {"git_ssh_url": "git@h:a.git"},
                    "repository": {"git_http_url": "http://h/a.git"}}"#,
                &["http://h/a.git", "git@h:a.git"],
            ),
        ] {
            let urls = expected.iter().map(|url| (*url).to_owned()).collect();
            assert_eq!(read(body.as_bytes()), Ok(Pushed::Repository(urls)));
        }
        let hello = Pushed::Service("hello".parse().unwrap());
        assert_eq!(read(br#"{"service": "hello"}"#), Ok(hello));
    }

    #[test]
    fn a_url_has_a_bound() {
        let body = |length| {
            let url = "a".repeat(length);
            serde_json::json!({ "repository": { "clone_url": url } }).to_string()
        };
        assert!(read(body(URL_BYTES_MAX).as_bytes()).is_ok());
        let error = read(body(URL_BYTES_MAX + 1).as_bytes()).unwrap_err();
        assert!(error.contains("2049 bytes") && error.len() < 250, "{error}");
    }

    #[test]
    fn what_names_nothing_is_refused_in_words() {
        for (body, words) in [
            ("", "not JSON"),
            ("payload=%7B%7D", "content type"),
            ("[]", "names no repository"),
            (
                r#"{"repository": {"clone_url": ""}}"#,
                "names no repository",
            ),
            (r#"{"repository": "https://h/a"}"#, "names no repository"),
            (r#"{"service": 5}"#, "expected text"),
            (r#"{"service": "a/b"}"#, "is not valid"),
        ] {
            let error = read(body.as_bytes()).unwrap_err();
            assert!(error.contains(words), "{body}: {error}");
        }
    }
}
