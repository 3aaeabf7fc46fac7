//! `make bench`: what an agent costs its host, beside dockerd and beside the same calls made straight
//! to it. It measures and prints; it fails only when something cannot be measured. Figures depend on
//! the machine: no test asserts them. All but `probes` need dockerd, and remove what they make.
//!
//! `cargo bench -p paasta-agent --bench figures -- [probes|start|restart|idle]...`

#![allow(
    clippy::print_stdout,
    reason = "a program whose purpose is what it prints"
)]
#![allow(clippy::unwrap_used, reason = "what cannot be measured ends it")]

mod coordinator;
mod host;
mod idle;
#[path = "../../tests/docker/image.rs"]
mod image;
mod probes;
mod restart;
mod start;

use std::{env, process::ExitCode};

/// The parts, in the order in which they run when none is named.
const PARTS: [&str; 4] = ["probes", "start", "restart", "idle"];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let result = match args.first().map(String::as_str) {
        Some(probes::ARGUMENT) => probes::serve(),
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
    let runtime = tokio::runtime::Runtime::new()?;
    for part in PARTS {
        if !named.is_empty() && !named.contains(&part) {
            continue;
        }
        match part {
            "probes" => probes::figures()?,
            "start" => runtime.block_on(start::run()),
            "restart" => runtime.block_on(restart::run()),
            _ => runtime.block_on(idle::run()),
        }
    }
    Ok(())
}

/// A figure beside the most it may be.
fn verdict(name: &str, figure: f64, unit: &str, most: f64) {
    let word = if figure <= most { "met" } else { "MISSED" };
    println!("  {name:<58} {figure:>8.2} {unit:<4} target <= {most} {word}");
}

/// The one in the middle.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
