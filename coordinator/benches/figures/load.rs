//! Clients that write one record after the other, each waiting for its acknowledgement.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{machine::quantile, processes::Client};

/// What came of a load.
pub(crate) struct Served {
    pub(crate) per_second: f64,
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
}

/// Lets the clients write for a while.
pub(crate) async fn run<C: Client>(clients: Vec<C>, span: Duration) -> anyhow::Result<Served> {
    let number = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for client in clients {
        let number = Arc::clone(&number);
        tasks.spawn(async move {
            let mut spans = Vec::new();
            while began.elapsed() < span {
                let sent = Instant::now();
                client.write(number.fetch_add(1, Ordering::Relaxed)).await?;
                spans.push(sent.elapsed());
            }
            anyhow::Ok(spans)
        });
    }
    let mut all = Vec::new();
    while let Some(spans) = tasks.join_next().await {
        all.extend(spans??);
    }
    let per_second = all.len() as f64 / began.elapsed().as_secs_f64();
    Ok(Served {
        per_second,
        median: quantile(&mut all, 0.5),
        p99: quantile(&mut all, 0.99),
    })
}
