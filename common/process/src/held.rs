//! What another process or thread still holds and is about to release: a thread that ends late, or a child
//! process that has not got to its own program yet, keeps a lock for a moment longer than its owner
//! lived.

use std::{
    error::Error,
    thread,
    time::{Duration, Instant},
};

/// How long a previous owner may take to end.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked.
const POLL: Duration = Duration::from_millis(10);

/// Takes what `take` takes, again and again for up to [`PATIENCE`] while `is_held` says that the
/// failure is just that. Blocks the thread.
///
/// # Errors
/// The last one of `take`: at once when it is another failure.
pub fn wait_for<T, E>(
    mut take: impl FnMut() -> Result<T, E>,
    is_held: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let until = Instant::now() + PATIENCE;
    loop {
        match take() {
            Err(error) if is_held(&error) && Instant::now() < until => thread::sleep(POLL),
            taken => return taken,
        }
    }
}

/// Whether a database did not open because another has its file's lock; its library says so in
/// words only.
pub fn is_lock(error: &impl Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_go_of_is_taken_and_anything_else_is_said_at_once() {
        let mut held = 3;
        let taken = wait_for(
            || {
                held -= 1;
                match held {
                    0 => Ok("taken"),
                    left => Err(left),
                }
            },
            |_| true,
        );
        assert_eq!(taken, Ok("taken"));
        let mut tries = 0;
        let refused: Result<(), &str> = wait_for(
            || {
                tries += 1;
                Err("damaged")
            },
            |error| *error == "held",
        );
        assert_eq!((refused, tries), (Err("damaged"), 1));
    }
}
