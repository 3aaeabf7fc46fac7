//! `paasta version`.

use serde_json::json;

use super::Context;
use crate::exit::Exit;

/// Prints the version.
///
/// # Errors
/// Standard output is gone.
pub fn run(context: &Context) -> anyhow::Result<Exit> {
    let version = env!("CARGO_PKG_VERSION");
    match context.global.json {
        true => context.print_json(&json!({ "version": version }))?,
        false => context.print(&format!("paasta {version}\n"))?,
    }
    Ok(Exit::Ok)
}
