//! What happens at the limits, on real coordinator processes: disks without room, more connections
//! than there may be, requests larger than they may be, requests that look at thousands of things,
//! repositories that hang.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and the harness of processes blocks its own worker only"
)]

mod limits {
    mod connections;
    mod executor;
    mod gits;
    mod requests;
    mod space;
}
