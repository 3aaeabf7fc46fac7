//! The product end to end: real coordinators, agents, dockerds, a registry, a git remote. Needs
//! root and what `deploy/demo/install.sh` installs. Each test brings up a cluster of its own and
//! tells one long story on it, because bringing one up is what takes the time.

#![expect(
    clippy::print_stderr,
    reason = "a story that takes minutes says where it is"
)]

#[path = "e2e/bad_input.rs"]
mod bad_input;
#[path = "e2e/balanced.rs"]
mod balanced;
#[path = "e2e/claims.rs"]
mod claims;
#[path = "e2e/clocks.rs"]
mod clocks;
#[path = "e2e/control.rs"]
mod control;
#[path = "e2e/deaths.rs"]
mod deaths;
#[path = "e2e/deploys.rs"]
mod deploys;
#[path = "e2e/failures.rs"]
mod failures;
#[path = "e2e/flags.rs"]
mod flags;
#[path = "e2e/logs.rs"]
mod logs;
#[path = "e2e/pulls.rs"]
mod pulls;
#[path = "e2e/refusals.rs"]
mod refusals;
#[path = "e2e/runtime.rs"]
mod runtime;
#[path = "e2e/scene.rs"]
mod scene;
#[path = "e2e/steps.rs"]
mod steps;
