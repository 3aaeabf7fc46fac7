//! Bearer tokens of HTTP: the file `http_tokens_file`, a line for each. It has digests only, and is
//! read again for each request that brings a token: a line that is removed counts at once.
//!
//! `ROLE NAME SHA256 EXPIRES`, with blanks between; empty lines and those that begin with `#` are
//! skipped.

use std::{io, os::unix::fs::MetadataExt as _, path::PathBuf, time::SystemTime};

use data_encoding::HEXLOWER_PERMISSIVE;
use paasta_common::{id::ClusterName, text::beginning};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::{fs::File, io::AsyncReadExt as _};

use super::access::{Refusal, moment};
use crate::name::{Identity, Role};

/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 1 << 10;
/// The rights to write that only the owner may have.
const OTHERS_WRITE: u32 = 0o022;
/// The roles that a token may have: those that HTTP has something for.
const ROLES: [Role; 3] = [Role::Deployer, Role::Reader, Role::Metrics];

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("http_tokens_file, {}, cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "http_tokens_file, {}, can be written by others (mode {mode:04o}): chmod go-w", path.display()
    )]
    Mode { path: PathBuf, mode: u32 },
    #[error("http_tokens_file, {}, is larger than {} KiB", path.display(), FILE_BYTES_MAX >> 10)]
    Large { path: PathBuf },
}

/// A line that is no token. It never holds the digest: a token may have been written in its place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number}: {field}: {found}; expected {expected}")]
struct LineError {
    number: usize,
    field: &'static str,
    found: String,
    expected: &'static str,
}

/// A line of the file.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    role: Role,
    name: String,
    digest: [u8; 32],
    expires: SystemTime,
}

/// The file.
#[derive(Debug)]
pub(super) struct Tokens {
    path: PathBuf,
    /// The problems that were logged last: the same ones are not logged again.
    logged: Mutex<String>,
}

impl Tokens {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            logged: Mutex::default(),
        }
    }

    /// Logs what is wrong with it.
    pub(super) async fn check(&self) {
        let _ = self.lines().await;
    }

    /// The identity of a token.
    pub(super) async fn find(
        &self,
        cluster: &ClusterName,
        token: &[u8],
        now: SystemTime,
    ) -> Result<Identity, Refusal> {
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::UnknownToken);
        }
        let lines = self.lines().await.ok_or(Refusal::Tokens)?;
        choose(&lines, cluster, token, now)
    }

    /// The lines that can be used; `None` when the file cannot.
    async fn lines(&self) -> Option<Vec<Line>> {
        let (lines, words) = match self.read().await {
            Ok(text) => {
                let (lines, errors) = parse(&text);
                let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
                (Some(lines), words.join("; "))
            }
            Err(error) => (None, paasta_process::chain::chain(&error)),
        };
        let mut logged = self.logged.lock();
        if *logged != words {
            if !words.is_empty() {
                let file = self.path.display();
                tracing::warn!(%file, problem = words, "bearer tokens of HTTP cannot be used");
            }
            *logged = words;
        }
        lines
    }

    async fn read(&self) -> Result<String, FileError> {
        let path = || self.path.clone();
        let failed = |source| FileError::Read {
            path: self.path.clone(),
            source,
        };
        let file = File::open(&self.path).await.map_err(failed)?;
        let mode = file.metadata().await.map_err(failed)?.mode();
        if mode & OTHERS_WRITE != 0 {
            let mode = mode & 0o7777;
            return Err(FileError::Mode { path: path(), mode });
        }
        let mut text = String::new();
        let mut bounded = file.take(FILE_BYTES_MAX + 1);
        bounded.read_to_string(&mut text).await.map_err(failed)?;
        match text.len() as u64 > FILE_BYTES_MAX {
            true => Err(FileError::Large { path: path() }),
            false => Ok(text),
        }
    }
}

/// The identity of the line with the token's digest. How long that takes tells nothing of the
/// digests.
fn choose(
    lines: &[Line],
    cluster: &ClusterName,
    token: &[u8],
    now: SystemTime,
) -> Result<Identity, Refusal> {
    let digest: [u8; 32] = Sha256::digest(token).into();
    let fits = |line: &&Line| bool::from(line.digest.ct_eq(&digest));
    // Of several the one that lasts longest.
    let found = lines.iter().filter(fits).max_by_key(|line| line.expires);
    let line = found.ok_or(Refusal::UnknownToken)?;
    let identity = Identity::new(cluster.clone(), line.role, &line.name);
    let identity = identity.map_err(|_| Refusal::UnknownToken)?;
    match now < line.expires {
        true => Ok(identity),
        false => Err(Refusal::ExpiredToken {
            identity: identity.short(),
            at: moment(line.expires),
        }),
    }
}

/// The lines that can be used, and what is wrong with the others.
fn parse(text: &str) -> (Vec<Line>, Vec<LineError>) {
    let (mut lines, mut errors) = (Vec::new(), Vec::new());
    for (at, text) in text.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match line(at + 1, text) {
            Ok(line) => lines.push(line),
            Err(error) => errors.push(error),
        }
    }
    (lines, errors)
}

fn line(number: usize, text: &str) -> Result<Line, LineError> {
    let error = |field, found: String, expected| LineError {
        number,
        field,
        found,
        expected,
    };
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [role, name, digest, expires] = words[..] else {
        let found = format!("has {} words", words.len());
        return Err(error("line", found, "ROLE NAME SHA256 EXPIRES"));
    };
    let known = ROLES.into_iter().find(|known| known.as_str() == role);
    let expected = "deployer, reader or metrics";
    let role = known.ok_or_else(|| error("ROLE", format!("{:?}", cut(role)), expected))?;
    let any = ClusterName::new("any").ok();
    if any.is_none_or(|any| Identity::new(any, role, name).is_err()) {
        let expected = "letters, digits, '.', '_' and '-', at most 64";
        return Err(error("NAME", format!("{:?}", cut(name)), expected));
    }
    let bytes = HEXLOWER_PERMISSIVE.decode(digest.as_bytes()).ok();
    let digest = bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| {
            let found = format!("has {} characters", digest.len());
            error(
                "SHA256",
                found,
                "the SHA-256 digest of the token, 64 hexadecimal digits",
            )
        })?;
    let moment = expires.parse::<jiff::Timestamp>().ok();
    let expires = moment
        .and_then(|at| SystemTime::try_from(at).ok())
        .ok_or_else(|| {
            let found = format!("{:?}", cut(expires));
            error("EXPIRES", found, "a moment, as 2027-01-31T00:00:00Z")
        })?;
    Ok(Line {
        role,
        name: name.to_owned(),
        digest,
        expires,
    })
}

/// The beginning of a word, for a message.
fn cut(word: &str) -> String {
    beginning(word, 64).to_owned()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

    use super::*;

    fn digest(token: &str) -> String {
        HEXLOWER_PERMISSIVE.encode(&Sha256::digest(token.as_bytes()))
    }

    fn prod() -> ClusterName {
        ClusterName::new("prod").unwrap()
    }

    #[test]
    fn lines_are_read_and_wrong_ones_are_named_without_their_digest() {
        let good = digest("s3cret");
        let text = format!(
            "# tokens\n\nreader bob {good} 2027-01-31T00:00:00Z\nadmin eve {good} 2027-01-31T00:00:00Z\n\
             reader bob\nreader bob s3cret 2027-01-31T00:00:00Z\nmetrics m {good} soon\nreader .. {good} 2027-01-31T00:00:00Z\n"
        );
        let (lines, errors) = parse(&text);
        assert_eq!((lines.len(), errors.len()), (1, 5), "{errors:?}");
        let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(words[0].starts_with("line 4: ROLE: \"admin\"; expected deployer"));
        assert!(words[1].contains("line 5: line: has 2 words"));
        assert!(words[2].contains("line 6: SHA256: has 6 characters"));
        assert!(words[3].contains("line 7: EXPIRES: \"soon\""));
        assert!(words[4].contains("line 8: NAME"));
        let all = words.join("\n");
        assert!(!all.contains("s3cret") && !all.contains(&good), "{all}");
    }

    #[test]
    fn a_token_is_known_by_its_digest_until_it_expires() {
        let (lines, _) = parse(&format!(
            "reader bob {} 2027-01-31T00:00:00Z\nmetrics m {} 2028-01-31T00:00:00Z\n",
            digest("one"),
            digest("two")
        ));
        let end = lines[0].expires;
        let at = |token: &str, now| {
            choose(&lines, &prod(), token.as_bytes(), now).map(|found| found.short())
        };
        let before = end - Duration::from_secs(1);
        assert_eq!(at("one", before).unwrap(), "reader/bob");
        assert_eq!(at("two", before).unwrap(), "metrics/m");
        assert_eq!(at("three", before), Err(Refusal::UnknownToken));
        assert_eq!(at(&digest("one"), before), Err(Refusal::UnknownToken));
        let expired = at("one", end).unwrap_err().to_string();
        assert!(
            expired.contains("reader/bob expired at 2027-01-31T00:00:00Z"),
            "{expired}"
        );
        assert_eq!(at("two", end).unwrap(), "metrics/m");
    }

    #[tokio::test]
    async fn the_file_is_read_each_time_and_refused_when_others_can_write_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let tokens = Tokens::new(path.clone());
        let now = SystemTime::UNIX_EPOCH;
        let find = async |token: &[u8]| tokens.find(&prod(), token, now).await;
        assert_eq!(find(b"one").await, Err(Refusal::Tokens), "no file");
        fs::write(
            &path,
            format!("reader bob {} 2027-01-31T00:00:00Z\n", digest("one")),
        )
        .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(find(b"one").await.unwrap().short(), "reader/bob");
        assert_eq!(find(b"").await, Err(Refusal::UnknownToken));
        assert_eq!(find(&[b'x'; 2_000]).await, Err(Refusal::UnknownToken));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        assert_eq!(find(b"one").await, Err(Refusal::Tokens), "others may write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "# nothing\n").unwrap();
        assert_eq!(find(b"one").await, Err(Refusal::UnknownToken), "removed");
        fs::write(&path, "x".repeat(70 << 10)).unwrap();
        assert_eq!(find(b"one").await, Err(Refusal::Tokens), "too large");
    }
}
