//! `make bench`: what an agent costs its host. It measures and prints; it fails only when something
//! cannot be measured. Figures depend on the machine: no test asserts them.
//!
//! `cargo bench -p paasta-agent --bench figures -- [probes]...`

#![allow(
    clippy::print_stdout,
    reason = "a program whose purpose is what it prints"
)]

mod probes;

use std::{env, process::ExitCode};

/// The parts, in the order in which they run when none is named.
const PARTS: [&str; 1] = ["probes"];

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
    for part in PARTS {
        if !named.is_empty() && !named.contains(&part) {
            continue;
        }
        match part {
            "probes" => probes::figures()?,
            other => anyhow::bail!("part {other} is not measured here"),
        }
    }
    Ok(())
}
