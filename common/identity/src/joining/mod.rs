//! The side of a program that joins: it has a token and addresses of coordinators, and gets the
//! files of an identity. The key is made here and never leaves. A join whose answer was lost, or
//! that was killed, is repeated with the same key, and takes no second use of the token.

mod call;
mod error;

use std::{path::Path, time::Duration};

use paasta_common::joining::Joiner;
use paasta_proto::v1::JoinResponse;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};

pub use error::JoinError;

use crate::{
    authority::{self, Request},
    directory::IdentityDir,
    leaf,
    name::Identity,
    pin::Pin,
    token::Token,
};
use call::{Failure, ask};

/// How long the coordinators are tried.
const TRIES: Duration = Duration::from_secs(45);
/// Between two rounds over their addresses.
const ROUND: Duration = Duration::from_millis(500);

/// What a program wants to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What it is.
    pub joiner: Joiner,
    /// Its name: a host's id or a coordinator's; empty for a person, whose token names it.
    pub name: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The identity that the program has now.
    pub identity: Identity,
    /// The addresses of the coordinators.
    pub coordinators: Vec<String>,
}

/// Joins the cluster of the token by any of the coordinators at `addresses`, and writes the files
/// of the identity to the directory, the certificate last.
///
/// # Errors
/// [`JoinError`] in words. After every one of them it can be tried again.
pub async fn join(
    dir: &IdentityDir,
    token: &Token,
    wanted: &Wanted,
    addresses: &[String],
) -> Result<Joined, JoinError> {
    if token.joiner != wanted.joiner {
        return Err(JoinError::OtherKind {
            token: token.joiner,
            program: wanted.joiner,
        });
    }
    if dir.is_complete() {
        return Err(JoinError::Exists {
            dir: dir.path().to_owned(),
        });
    }
    dir.make()?;
    let request = request(dir)?;
    let answer = answer(token, wanted, &request, addresses).await?;
    let identity = check(&answer, token.pin, wanted, &request)?;
    write(dir, &request, &answer)?;
    Ok(Joined {
        identity,
        coordinators: answer.coordinators,
    })
}

/// The request of a key that is made once and kept until the join succeeds.
fn request(dir: &IdentityDir) -> Result<Request, JoinError> {
    let path = dir.new_key();
    if let Some(pem) = dir.read_secret(&path)? {
        return Ok(Request::of_key(&pem)?);
    }
    let request = Request::create()?;
    dir.write(&path, &request.key_pem())?;
    Ok(request)
}

/// Asks the coordinators in turn until one answers for all.
async fn answer(
    token: &Token,
    wanted: &Wanted,
    request: &Request,
    addresses: &[String],
) -> Result<JoinResponse, JoinError> {
    let until = Instant::now() + TRIES;
    let mut tried: Vec<String> = vec!["no address was given".to_owned()];
    loop {
        let mut words = Vec::new();
        for address in addresses {
            let asked = ask(address, token, wanted, request.pem());
            match timeout_at(until, asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Failure::Final(error))) => return Err(*error),
                Ok(Err(Failure::Next(why))) => words.push(format!("{address}: {why}")),
                Err(_) => words.push(format!("{address}: no answer in time")),
            }
        }
        if !words.is_empty() {
            tried = words;
        }
        if Instant::now() + ROUND >= until || addresses.is_empty() {
            return Err(JoinError::NoAnswer {
                tried: tried.join("; "),
            });
        }
        sleep(ROUND).await;
    }
}

/// Checks that the answer is a certificate for this key and this name, of the pinned authority.
fn check(
    answer: &JoinResponse,
    pin: Pin,
    wanted: &Wanted,
    request: &Request,
) -> Result<Identity, JoinError> {
    let wrong = |what: &'static str| JoinError::Answer { what };
    let leaf = CertificateDer::from_pem_slice(answer.certificate.as_bytes());
    let leaf = leaf.map_err(|_| wrong("its certificate is not PEM"))?;
    let leaf::Proven { identity, key, .. } =
        leaf::proven(&leaf).map_err(|_| wrong("its certificate has no name"))?;
    if key != authority::key_of(request.pem())? {
        return Err(wrong("its certificate is for another key"));
    }
    let named = match wanted.joiner.role() {
        Some(role) => identity.role() == role && identity.name() == wanted.name,
        None => identity.to_string() == answer.identity,
    };
    if !named {
        return Err(wrong("its certificate has another name"));
    }
    let bundle: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(answer.authorities.as_bytes()).collect();
    let bundle = bundle.map_err(|_| wrong("its authorities are not PEM"))?;
    match bundle.iter().any(|one| Pin::of(one) == Some(pin)) {
        true => Ok(identity),
        false => Err(wrong("its authorities are not those of the token")),
    }
}

fn write(dir: &IdentityDir, request: &Request, answer: &JoinResponse) -> Result<(), JoinError> {
    let files = dir.files();
    dir.write(&files.ca, &answer.authorities)?;
    let mut addresses = answer.coordinators.join("\n");
    addresses.push('\n');
    dir.write(&dir.coordinators(), &addresses)?;
    dir.write(&files.key, &request.key_pem())?;
    dir.write(&files.certificate, &answer.certificate)?;
    dir.remove(&dir.new_key())?;
    Ok(())
}

/// Whether a join by a file with a token is due: the file is there, and an identity is not.
#[must_use]
pub fn is_due(file: Option<&Path>, dir: &IdentityDir) -> bool {
    file.is_some_and(Path::exists) && !dir.is_complete()
}

/// Joins by the token in a file that configuration management laid, where no identity is yet, and
/// removes the file. Without the file there is nothing to do. `wanted` is used for a join only.
///
/// # Errors
/// That of `wanted`, or [`JoinError`], which never holds the file's text.
pub async fn by_file<E: From<JoinError>>(
    file: &Path,
    dir: &IdentityDir,
    wanted: impl FnOnce() -> Result<Wanted, E>,
    addresses: &[String],
) -> Result<(), E> {
    if !file.exists() {
        return Ok(());
    }
    if is_due(Some(file), dir) {
        let token = read_token(file)?;
        let joined = join(dir, &token, &wanted()?, addresses).await?;
        tracing::info!(identity = %joined.identity, "joined by the token in join_token_file");
    }
    std::fs::remove_file(file).map_err(|source| {
        let path = file.to_owned();
        E::from(JoinError::UsedToken { path, source })
    })
}

fn read_token(path: &Path) -> Result<Token, JoinError> {
    let text = std::fs::read_to_string(path).map_err(|source| JoinError::TokenFile {
        path: path.to_owned(),
        source,
    })?;
    Ok(text.parse()?)
}
