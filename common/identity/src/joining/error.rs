//! Why a program did not join, in words for the person at its terminal.

use std::{io, path::PathBuf};

use paasta_common::joining::Joiner;

use crate::{authority::AuthorityError, directory::DirectoryError, token::TokenError};

/// Why a program did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The token cannot be read.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The file with the token cannot be read.
    #[error("{}: the join token cannot be read", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file with the token cannot be removed after its use.
    #[error("cannot remove the used join token {}", path.display())]
    UsedToken {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The token is for another kind of program.
    #[error(
        "the join token is for {token}s, and not for {program}s: make another: `paasta token create {program}`"
    )]
    OtherKind {
        /// What the token lets in.
        token: Joiner,
        /// What this program is.
        program: Joiner,
    },
    /// There is an identity already.
    #[error(
        "{} holds an identity already, and nothing was changed; to join anew, move it aside", dir.display()
    )]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// The coordinator is of another cluster than the token.
    #[error(
        "the coordinator at {address} is not of the token's cluster: its authority has another key than the token names; check the address, or use a token of that cluster"
    )]
    OtherCluster {
        /// The address.
        address: String,
    },
    /// This clock is too far off.
    #[error(
        "this machine's clock is {minutes} min {direction} that of the coordinator at {address}: set the clock, then join again"
    )]
    Clock {
        /// How far, whole minutes.
        minutes: u64,
        /// `ahead of` or `behind`.
        direction: &'static str,
        /// The address.
        address: String,
    },
    /// The coordinators refuse.
    #[error("the coordinator at {address} refuses: {words}")]
    Refused {
        /// The address.
        address: String,
        /// Its words.
        words: String,
    },
    /// No coordinator gave an answer.
    #[error("no coordinator answers; {tried}")]
    NoAnswer {
        /// What each address came to.
        tried: String,
    },
    /// The answer cannot be used.
    #[error("the coordinator's answer cannot be used: {what}; are both of one version?")]
    Answer {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The key or the request.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The files.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}
