//! Identities and certificates of a cluster: who a program is, how it proves that, and which proofs
//! it accepts. TLS 1.3 with certificates on both sides; a certificate's identity is one URI,
//! `paasta://CLUSTER/ROLE/NAME`. What a role may do is decided by the coordinator.

pub mod accept;
pub mod authority;
pub mod connect;
pub mod credentials;
pub mod name;
pub mod peer;
pub mod pin;
pub mod reason;
pub mod token;

mod key;
mod leaf;
pub mod tls;
mod verify;

pub use credentials::{Credentials, CredentialsError, Files};
pub use name::{Identity, IdentityError, Role};
pub use peer::Peer;
pub use tls::{ClientCertificates, Tls};
