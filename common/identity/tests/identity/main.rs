//! Identities over real connections: what is accepted, and what is refused with which words.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod contexts;
mod files;
mod half_open;
mod handshakes;
mod joining;
mod pki;
mod renewing;
mod strangers;
