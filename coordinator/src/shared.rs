//! A value that many look at and few change. A long look holds those that wait for it, and not the
//! threads of the runtime that they are on.

use paasta_proto::worker::off_worker;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The value, behind its lock.
#[derive(Debug, Default)]
pub struct Shared<T>(RwLock<T>);

impl<T> Shared<T> {
    /// This value.
    pub fn new(value: T) -> Self {
        Self(RwLock::new(value))
    }

    /// The value to look at. Keep the guard short and never across an await.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        let free = self.0.try_read();
        free.unwrap_or_else(|| off_worker(|| self.0.read()))
    }

    /// The value to change, when no one looks at it.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        let free = self.0.try_write();
        free.unwrap_or_else(|| off_worker(|| self.0.write()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc::sync_channel};

    use super::*;

    #[test]
    fn the_only_worker_goes_on_while_a_change_waits() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build();
        let runtime = runtime.expect("a runtime starts");
        let shared = Arc::new(Shared::new(1));
        let look = shared.read();
        let (waiting, waits) = sync_channel(1);
        let own = Arc::clone(&shared);
        let change = runtime.spawn(async move {
            waiting.send(()).expect("the test waits");
            *own.write() += 1;
        });
        waits.recv().expect("the change begins");
        let other = runtime.spawn(async { 7 });
        assert_eq!(runtime.block_on(other).expect("it runs"), 7);
        assert_eq!(*look, 1);
        drop(look);
        runtime.block_on(change).expect("it ends");
        assert_eq!(*shared.read(), 2);
    }
}
