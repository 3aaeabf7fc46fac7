//! The outcome of `check`: what a program needs to run here, each with what was found, or with what
//! is missing and the next step.

mod holder;
mod looks;

use std::{error::Error, fmt};

use serde::Serialize;

pub use looks::{clock, port, private_directory, space};

use crate::chain::chain;

/// What is checked first, and the next step where it is wrong.
pub const CONFIGURATION: &str = "configuration";
const CORRECT: &str = "correct it: docs/reference/configuration.md has every key";

/// How a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it must be.
    Good,
    /// The program runs, and a person should look at it.
    Warning,
    /// The program cannot run.
    Bad,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked, a word or two.
    pub what: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub text: String,
    /// What to do next; none where it is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Finding {
    /// It is as it must be.
    pub fn good(what: &'static str, text: impl fmt::Display) -> Self {
        Self {
            what,
            verdict: Verdict::Good,
            text: text.to_string(),
            next: None,
        }
    }

    /// The program runs, and a person should look at it.
    pub fn warning(
        what: &'static str,
        text: impl fmt::Display,
        next: impl Into<Option<String>>,
    ) -> Self {
        Self {
            verdict: Verdict::Warning,
            next: next.into(),
            ..Self::good(what, text)
        }
    }

    /// The program cannot run.
    pub fn bad(
        what: &'static str,
        text: impl fmt::Display,
        next: impl Into<Option<String>>,
    ) -> Self {
        Self {
            verdict: Verdict::Bad,
            ..Self::warning(what, text, next)
        }
    }
}

/// All that was checked, in the order in which it is printed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// The configuration was read, with these warnings.
    pub fn read(warnings: Vec<String>) -> Self {
        let warning = |text| Finding::warning(CONFIGURATION, text, CORRECT.to_owned());
        Self(warnings.into_iter().map(warning).collect())
    }

    /// The configuration cannot be used, for this reason.
    pub fn misconfigured(&mut self, error: &dyn Error) {
        let next = CORRECT.to_owned();
        self.0.push(Finding::bad(CONFIGURATION, chain(error), next));
    }

    /// The text to print, as JSON for programs; and whether the program can run here, with `strict`
    /// whether nothing is to be looked at either.
    ///
    /// # Errors
    /// That of the JSON.
    pub fn outcome(&self, strict: bool, json: bool) -> serde_json::Result<(String, bool)> {
        let text = match json {
            true => serde_json::to_string_pretty(self)?,
            false => self.to_string().trim_end().to_owned(),
        };
        let allowed = match strict {
            true => Verdict::Good,
            false => Verdict::Warning,
        };
        Ok((text, self.worst() <= allowed))
    }

    /// The worst verdict; [`Verdict::Good`] when nothing was checked.
    pub fn worst(&self) -> Verdict {
        let verdicts = self.0.iter().map(|one| one.verdict);
        verdicts.max().unwrap_or(Verdict::Good)
    }
}

/// A line each: the verdict's sign, what was checked, what was found; the next step below it.
impl fmt::Display for Findings {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|one| one.what.len()).max().unwrap_or(0);
        for one in &self.0 {
            let sign = match one.verdict {
                Verdict::Good => '✓',
                Verdict::Warning => '!',
                Verdict::Bad => '✗',
            };
            let mut lines = one.text.lines();
            let first = lines.next().unwrap_or_default();
            writeln!(to, "{sign} {:width$}  {first}", one.what)?;
            for line in lines {
                writeln!(to, "  {:width$}  {line}", "")?;
            }
            if let Some(next) = &one.next {
                writeln!(to, "  {:width$}  Next: {next}", "")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_its_next_step_another() {
        let findings = Findings(vec![
            Finding::good("disk", "12 GB free"),
            Finding::bad("port", "taken", "ss -ltnp".to_owned()),
            Finding::warning("clock", "one\ntwo", None),
        ]);
        let text = "\
✓ disk   12 GB free
✗ port   taken
         Next: ss -ltnp
! clock  one
         two
";
        assert_eq!(findings.to_string(), text);
        assert_eq!(findings.worst(), Verdict::Bad);
        assert_eq!(Findings::default().worst(), Verdict::Good);
    }
}
