//! Faults of one coordinator, or of the ways between them, on real processes: while each lasts and
//! until all is well again registers stay registers, no replica has two containers, and bounces
//! keep their floors.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the harness of processes blocks its own worker only, and a fault's figures are printed"
)]

mod hostile {
    pub(crate) mod abuse;
    pub(crate) mod colour;
    pub(crate) mod faults;
    pub(crate) mod stage;
    pub(crate) mod stores;
}

use anyhow::Result;
use hostile::{colour::unhappy_is_red, faults::Fault, stage::Stage};
use paasta_tests::hostile::report::{save, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registers_replicas_and_floors_hold_through_every_fault() -> Result<()> {
    let mut stage = Stage::set().await?;
    let mut rows = Vec::new();
    for fault in Fault::ALL {
        match stage.play(fault).await {
            Ok(row) => rows.push(row),
            Err(error) => {
                println!("{}", table(&rows));
                return Err(error.context(fault.name()).context(stage.arena.tails()));
            }
        }
    }
    println!("{}", table(&rows));
    println!(
        "{} calls, linearizable; also in {}",
        stage.calls,
        save(&rows)?.display()
    );
    stage.end().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unhappy_replica_is_red_on_a_terminal() -> Result<()> {
    let stage = Stage::set().await?;
    tokio::task::block_in_place(|| unhappy_is_red(&stage))?;
    stage.end().await;
    Ok(())
}
