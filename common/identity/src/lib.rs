//! Identities and certificates of a cluster: what a program proves of itself, and which proofs it
//! accepts. TLS 1.3 with certificates on both sides; a certificate's identity is one URI,
//! `paasta://CLUSTER/ROLE/NAME`. What a role may do is decided by the coordinator.

pub mod accept;
pub mod authority;
pub mod checkup;
pub mod connect;
pub mod context;
pub mod credentials;
pub mod directory;
pub mod flood;
pub mod joining;
pub mod late;
pub mod peer;
pub mod pin;
pub mod plain;
pub mod reason;
pub mod renewal;
pub mod renewing;
pub mod tls;
pub mod token;
pub mod web;

mod key;
mod leaf;
mod verify;

pub use credentials::{Credentials, CredentialsError, Files, Pems};
pub use directory::IdentityDir;
pub use key::FileError;
pub use leaf::{LIFE_MAX, LeafError, Validity};
pub use paasta_common::identity::{self as name, Identity, IdentityError, Role};
pub use peer::Peer;
pub use tls::{ClientCertificates, Tls};
pub use verify::VerifierError;
