//! Running programs to their end, never for longer than a limit.

use std::ffi::OsStr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How often a condition that is waited for is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A command that is killed when it runs for longer than `limit` (coreutils' `timeout` sees to it).
pub fn bounded(limit: Duration, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command
        .arg("--kill-after=5")
        .arg(limit.as_secs_f64().to_string())
        .arg(program);
    command
}

/// Runs it and returns what it wrote to stdout, without white space around it. The error of a
/// command that fails holds the command line and what it wrote to stderr.
pub fn text(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}\n{}", output.status, said.trim());
    }
    Ok(String::from_utf8(output.stdout)
        .context("the output is not text")?
        .trim()
        .to_owned())
}

/// Tries until it succeeds; after `limit` the error is that of the last try, with `what` in front.
pub fn eventually<T>(
    limit: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context(format!("{what}: not within {limit:?}")));
            }
            Err(_) => thread::sleep(LOOK_INTERVAL),
        }
    }
}

/// Looks for all of `window` and fails as soon as `check` does, with `what` in front.
pub fn throughout(
    window: Duration,
    what: &str,
    mut check: impl FnMut() -> Result<()>,
) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < window {
        check().with_context(|| format!("{what}: not any more after {:?}", started.elapsed()))?;
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn the_error_says_what_failed_and_why() {
        let error =
            text(bounded(LIMIT, "sh").args(["-c", "echo because >&2; exit 3"])).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("because") && message.contains("exit status: 3"),
            "{message}"
        );
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        let started = Instant::now();
        assert!(text(bounded(Duration::from_millis(100), "sleep").arg("60")).is_err());
        assert!(started.elapsed() < LIMIT);
    }

    #[test]
    fn throughout_sees_what_fails_late() {
        let window = Duration::from_millis(300);
        let started = Instant::now();
        throughout(window, "a thing", || Ok(())).unwrap();
        assert!(started.elapsed() >= window);
        let mut looks = 0;
        let error = throughout(LIMIT, "a thing", || {
            looks += 1;
            if looks == 3 {
                bail!("look {looks}")
            } else {
                Ok(())
            }
        });
        assert!(format!("{:#}", error.unwrap_err()).ends_with("look 3"));
    }

    #[test]
    fn eventually_gives_the_last_error_up() {
        let mut tries = 0;
        let value = eventually(LIMIT, "three tries", || {
            tries += 1;
            if tries < 3 {
                bail!("try {tries}")
            } else {
                Ok(tries)
            }
        });
        assert_eq!(value.unwrap(), 3);
        let error = eventually(Duration::ZERO, "a thing", || -> Result<()> { bail!("no") });
        assert!(format!("{:#}", error.unwrap_err()).ends_with("0ns: no"));
    }
}
