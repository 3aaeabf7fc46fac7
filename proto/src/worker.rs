//! Work that holds its thread for long, while the runtime's other tasks go on.

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

/// Does `work` on this thread. If it is one of a runtime that has several, another thread takes its
/// other tasks over first. That costs some tens of microseconds. Only what is joined with the work
/// in the same task waits for it, as it would in any case: for work that borrows, and for locks,
/// where `spawn_blocking` cannot be used.
#[expect(
    clippy::disallowed_methods,
    reason = "the one door: in a runtime of one thread, where it must not be called, it is not"
)]
pub fn off_worker<T>(work: impl FnOnce() -> T) -> T {
    let several = |handle: Handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread;
    match Handle::try_current().is_ok_and(several) {
        true => block_in_place(work),
        // There is nothing else on this thread, or, in a simulation, nothing else may run.
        false => work(),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc::sync_channel, time::Duration};

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn the_only_worker_goes_on_meanwhile() {
        let runtime = Builder::new_multi_thread().worker_threads(1).build();
        let runtime = runtime.expect("a runtime starts");
        let (done, other) = sync_channel(1);
        let long = runtime.spawn(async move {
            off_worker(|| {
                let waited = other.recv_timeout(Duration::from_secs(60));
                waited.is_ok()
            })
        });
        runtime.spawn(async move { done.send(()) });
        let seen = runtime.block_on(long);
        assert!(seen.expect("it ends"), "the other task did not run");
    }

    #[test]
    fn it_is_done_wherever_it_is_called() {
        assert_eq!(off_worker(|| 1), 1);
        let single = Builder::new_current_thread().build();
        let single = single.expect("a runtime starts");
        assert_eq!(single.block_on(async { off_worker(|| 2) }), 2);
        let several = Builder::new_multi_thread().worker_threads(1).build();
        let several = several.expect("a runtime starts");
        assert_eq!(several.block_on(async { off_worker(|| 3) }), 3);
        let blocking = several.spawn_blocking(|| off_worker(|| off_worker(|| 4)));
        assert_eq!(several.block_on(blocking).expect("it ends"), 4);
    }
}
