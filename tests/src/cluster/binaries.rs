//! Where the programs under test are. They are built first, so that none is older than its source.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::run::{bounded, text};
use crate::tidy::root;

/// A build from nothing, on a small machine.
const BUILD_LIMIT: Duration = Duration::from_secs(1800);
/// A directory with programs to test instead of those of this tree.
const OTHER: &str = "PAASTA_TESTS_BINARIES";
const PROGRAMS: [&str; 3] = ["paasta", "paasta-agent", "paasta-coordinator"];

/// The directory that holds `paasta`, `paasta-agent` and `paasta-coordinator`.
pub fn binaries() -> Result<&'static Path> {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found);
    }
    let dir = match std::env::var_os(OTHER) {
        Some(other) => PathBuf::from(other),
        None => build()?,
    };
    for program in PROGRAMS {
        let path = dir.join(program);
        ensure!(path.is_file(), "{} does not exist", path.display());
    }
    Ok(FOUND.get_or_init(|| dir))
}

/// How the names of the variables begin by which cargo describes a package to its programs.
const OF_PACKAGE: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// The command is that of `make build`, so there is nothing to do after it.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = bounded(BUILD_LIMIT, cargo);
    command.current_dir(root());
    command.args(["build", "--quiet", "--workspace", "--locked", "--bins"]);
    // What cargo gives to a test, and build scripts depend on: with it ring, and all that needs it,
    // would be built anew here, and once more by the next command outside.
    for (name, _) in std::env::vars_os() {
        let of_package = |name: &str| OF_PACKAGE.iter().any(|begin| name.starts_with(begin));
        if name.to_str().is_some_and(of_package) {
            command.env_remove(name);
        }
    }
    text(&mut command)?;
    let own = std::env::current_exe().context("where this test is")?;
    let dir = own.parent().and_then(Path::parent);
    Ok(dir.context("a test is in target/debug/deps")?.to_owned())
}
