//! What happens at the limits, on real coordinator processes: disks without room, more connections
//! than there may be, requests larger than they may be, repositories that hang.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and the harness of processes blocks its own worker only"
)]

mod limits {
    mod connections;
    mod gits;
    mod requests;
    mod space;
}
