//! `make bench`: how fast the planner and the replicated state are on this machine, beside the
//! targets they are held to and an etcd cluster on the same disk. It measures and prints; it fails
//! only when something cannot be measured. Figures depend on the machine: no test asserts them.
//!
//! `cargo bench -p paasta-coordinator --bench figures -- [planner|state|reading|replicated|failover]...`

#![allow(
    clippy::print_stdout,
    reason = "a program whose purpose is what it prints"
)]

mod disk;
mod etcd;
mod failover;
mod load;
mod machine;
mod member;
mod planner;
mod processes;
mod reading;
mod replicated;
mod state;
mod world;

use std::{env, process::ExitCode};

/// The parts, in the order in which they run when none is named.
const PARTS: [&str; 5] = ["planner", "state", "reading", "replicated", "failover"];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let result = match args.first().map(String::as_str) {
        Some(member::ARGUMENT) => member::run(&args[1..]),
        Some(disk::ARGUMENT) => disk::measure(&args[1..]),
        Some(state::ARGUMENT) => state::measure_restored(&args[1..]),
        _ => figures(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cannot be measured: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn figures(args: &[String]) -> anyhow::Result<()> {
    // `cargo bench` adds arguments of its own.
    let named: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    if let Some(unknown) = named.iter().find(|name| !PARTS.contains(name)) {
        anyhow::bail!(
            "there is no part {unknown:?}; choose of {}",
            PARTS.join(", ")
        );
    }
    println!("{}", machine::describe());
    for part in PARTS {
        if !named.is_empty() && !named.contains(&part) {
            continue;
        }
        println!();
        match part {
            "planner" => planner::run(),
            "state" => state::run()?,
            "reading" => reading::run()?,
            "replicated" => replicated::run()?,
            _ => failover::run()?,
        }
    }
    Ok(())
}
