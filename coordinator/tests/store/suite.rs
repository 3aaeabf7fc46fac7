//! openraft's own tests of what a storage must mean.

use std::sync::Arc;

use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use paasta_coordinator::{
    raft::{LogStore, StateMachine, TypeConfig},
    store::{FlushTimer, IoMode, OnVolume, Store, StoreId, StoreOptions},
};

use super::harness::Pairs;

struct Builder(IoMode);

impl StoreBuilder<TypeConfig, LogStore, StateMachine, tempfile::TempDir> for Builder {
    async fn build(
        &self,
    ) -> Result<(tempfile::TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().expect("a directory");
        let options = StoreOptions {
            dir: dir.path().to_owned(),
            node: 0,
            cluster: None,
            fresh: StoreId::from_bits(7),
            io: self.0,
            timer: FlushTimer::default(),
            volume: OnVolume::default(),
        };
        let Store { log, snapshots } = Store::open(&options).expect("an empty store");
        let machine = StateMachine::new(Arc::new(Pairs::default()), snapshots, self.0);
        Ok((dir, LogStore::new(log), machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_threaded_store_passes_the_suite() {
    Suite::test_all(Builder(IoMode::Threaded))
        .await
        .expect("every case passes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_inline_store_passes_the_suite() {
    Suite::test_all(Builder(IoMode::Inline))
        .await
        .expect("every case passes");
}
