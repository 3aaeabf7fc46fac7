//! What a simulation fixes for its whole process, one seed for each: chance follows from the seed,
//! and a task that writes to the disk waits for it, as virtual time must not run on meanwhile.
//! Production fixes nothing. The chance of consensus is its own (`raft::fix_randomness`).

use std::sync::{Mutex, OnceLock, PoisonError};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::task::JoinError;

static FIXED: OnceLock<Mutex<StdRng>> = OnceLock::new();

/// From now on, and for the rest of this process, chance follows from `seed` and no work is given
/// to other threads. A later call changes nothing.
pub fn fix(seed: u64) {
    FIXED.get_or_init(|| Mutex::new(StdRng::seed_from_u64(seed)));
}

/// Whether [`fix`] was called.
pub fn is_fixed() -> bool {
    FIXED.get().is_some()
}

/// A number from 0 to 1, by chance.
pub fn chance() -> f64 {
    match FIXED.get() {
        Some(fixed) => {
            let mut fixed = fixed.lock().unwrap_or_else(PoisonError::into_inner);
            fixed.random()
        }
        None => rand::random(),
    }
}

/// Does work that blocks, on a thread that may; in a simulation at once.
///
/// # Errors
/// The thread's panic.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    match FIXED.get() {
        Some(_) => Ok(work()),
        None => tokio::task::spawn_blocking(work).await,
    }
}
