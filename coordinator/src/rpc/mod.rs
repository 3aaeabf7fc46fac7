//! What the coordinator answers over gRPC: one file per service, and the only mapping of errors
//! to gRPC status codes in [`status`]. Nothing here decides; reads are views, writes are proposals.

pub mod access;
pub mod admin;
pub mod agents;
pub mod authority;
pub mod bounces;
pub mod cluster;
pub mod connections;
pub mod deploys;
pub mod effects;
pub mod exec;
pub mod follow;
pub mod gate;
pub mod guard;
pub mod joining;
pub mod local;
pub mod logs;
pub mod looks;
pub mod members;
pub mod objects;
pub mod operate;
mod passing;
pub mod principals;
mod relay;
pub mod revocations;
pub mod rights;
pub mod roles;
pub mod server;
pub mod settings;
pub mod snapshots;
pub mod status;
pub mod tokens;
pub mod view;

use crate::peers;
