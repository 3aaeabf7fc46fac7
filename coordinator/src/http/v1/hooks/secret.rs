//! Whether a hook comes from somebody who knows the secret: by a signature of its body, as GitHub
//! and Gitea make it, or by the secret itself, as GitLab sends it.

use std::{
    io,
    path::{Path, PathBuf},
};

use axum::http::HeaderMap;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use tokio::io::AsyncReadExt as _;

/// The longest secret, in bytes.
const SECRET_BYTES_MAX: u64 = 4 << 10;
const SIGNATURE: &str = "x-hub-signature-256";
const TOKEN: &str = "x-gitlab-token";

/// The secret.
pub(super) struct Secret(Vec<u8>);

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    #[error("cannot read deployments.hook_secret_file, {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("deployments.hook_secret_file, {}, is empty: write the secret into it", path.display())]
    Empty { path: PathBuf },
}

/// Why a hook is not believed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "give X-Hub-Signature-256: sha256=HMAC, or X-Gitlab-Token: the secret of \
         deployments.hook_secret_file"
    )]
    Unsigned,
    #[error("the {0} is not that of the secret in deployments.hook_secret_file")]
    Wrong(&'static str),
}

/// Reads the secret, which ends with the file's first 4 KiB; blanks and lines' ends around it are
/// not part of it.
pub(super) async fn read(path: &Path) -> Result<Secret, SecretError> {
    let failed = |source| SecretError::Read {
        path: path.to_owned(),
        source,
    };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    let mut file = file.take(SECRET_BYTES_MAX);
    file.read_to_end(&mut bytes).await.map_err(failed)?;
    match bytes.trim_ascii() {
        [] => Err(SecretError::Empty {
            path: path.to_owned(),
        }),
        secret => Ok(Secret(secret.to_vec())),
    }
}

impl Secret {
    /// Believes a hook, or says why not. How long that takes tells nothing of the secret.
    pub(super) fn judge(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        if let Some(given) = headers.get(SIGNATURE) {
            let given = given
                .to_str()
                .ok()
                .and_then(|text| text.strip_prefix("sha256="));
            let given = given.and_then(unhex).ok_or(Refused::Wrong("signature"))?;
            let right = self
                .mac(body)
                .is_some_and(|mac| mac.verify_slice(&given).is_ok());
            return right.then_some(()).ok_or(Refused::Wrong("signature"));
        }
        let given = headers.get(TOKEN).ok_or(Refused::Unsigned)?;
        // Compared as signatures, which are of one length whatever the secrets' are.
        let theirs = Self(given.as_bytes().to_vec()).mac(TOKEN.as_bytes());
        let right = self
            .mac(TOKEN.as_bytes())
            .zip(theirs)
            .is_some_and(|(ours, theirs)| {
                ours.verify_slice(&theirs.finalize().into_bytes()).is_ok()
            });
        right.then_some(()).ok_or(Refused::Wrong("token"))
    }

    /// None is never the case: HMAC takes a key of any length.
    fn mac(&self, of: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(of);
        Some(mac)
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let pairs = digits.filter(|digits| digits.len() == 64)?;
    let bytes = pairs.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]);
    Some(bytes.collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    /// The example that GitHub publishes for its webhooks.
    const RIGHT: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn judge(name: &'static str, value: &str, body: &[u8]) -> Result<(), Refused> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        Secret(SECRET.as_bytes().to_vec()).judge(&headers, body)
    }

    #[test]
    fn a_signature_is_of_this_body_by_this_secret() {
        let wrong = Err(Refused::Wrong("signature"));
        assert_eq!(judge(SIGNATURE, RIGHT, BODY), Ok(()));
        assert_eq!(judge(SIGNATURE, RIGHT, b"Hello, World?"), wrong);
        assert_eq!(judge(SIGNATURE, &RIGHT.replace('7', "8"), BODY), wrong);
        for spoilt in [
            "",
            "sha256=",
            "sha256=zz",
            &RIGHT[7..],
            &RIGHT[..69],
            SECRET,
        ] {
            assert_eq!(judge(SIGNATURE, spoilt, BODY), wrong, "{spoilt}");
        }
        let nothing = Secret(b"x".to_vec()).judge(&HeaderMap::new(), BODY);
        assert_eq!(nothing, Err(Refused::Unsigned));
    }

    #[test]
    fn a_token_is_the_whole_secret() {
        assert_eq!(judge(TOKEN, SECRET, BODY), Ok(()));
        for wrong in ["", "It's a Secret", "it's a secret to everybody", RIGHT] {
            assert_eq!(
                judge(TOKEN, wrong, BODY),
                Err(Refused::Wrong("token")),
                "{wrong}"
            );
        }
        // A wrong signature is not made good by a right token.
        let mut headers = HeaderMap::new();
        headers.insert(TOKEN, SECRET.parse().unwrap());
        headers.insert(SIGNATURE, "sha256=00".parse().unwrap());
        let both = Secret(SECRET.as_bytes().to_vec()).judge(&headers, BODY);
        assert_eq!(both, Err(Refused::Wrong("signature")));
    }

    #[tokio::test]
    async fn the_secret_is_the_file_without_its_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let missing = read(&path).await.err().unwrap().to_string();
        assert!(
            missing.contains("cannot read deployments.hook_secret_file"),
            "{missing}"
        );
        fs::write(&path, " \n").unwrap();
        let empty = read(&path).await.err().unwrap().to_string();
        assert!(empty.contains("is empty: write the secret"), "{empty}");
        fs::write(&path, "s3cret\n").unwrap();
        assert_eq!(read(&path).await.ok().unwrap().0, b"s3cret");
    }
}
