//! Images of programs of this machine and the libraries that they need, and nothing else; built by
//! the machine's own dockerd.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::run::{bounded, text};

const COMMAND: Duration = Duration::from_secs(300);

/// Builds the image `tag` from programs, each with its path in the image.
pub fn build(tag: &str, programs: &[(PathBuf, &str)]) -> Result<()> {
    let context = tempfile::tempdir()?;
    let root = context.path().join("root");
    for (program, path) in programs {
        let program = fs::canonicalize(program)
            .with_context(|| format!("{} is not here", program.display()))?;
        let to = place(Path::new(path), &root)?;
        // Programs with everything that a debugger wants are too large for an image.
        text(bounded(COMMAND, "strip").arg("-o").args([&to, &program]))?;
        let libraries = text(bounded(COMMAND, "ldd").arg(&program))?;
        for word in libraries.split_ascii_whitespace() {
            let library = Path::new(word);
            if library.is_absolute() {
                fs::copy(library, place(library, &root)?)?;
            }
        }
    }
    let file = "FROM scratch\nCOPY root/ /\n";
    fs::write(context.path().join("Dockerfile"), file)?;
    let build = ["build", "-q", "-t", tag];
    text(bounded(COMMAND, "docker").args(build).arg(context.path()))?;
    Ok(())
}

/// A path below `root`, its directory made.
fn place(path: &Path, root: &Path) -> Result<PathBuf> {
    let below = root.join(path.strip_prefix("/")?);
    let dir = below.parent().context("a file is in a directory")?;
    fs::create_dir_all(dir)?;
    Ok(below)
}
