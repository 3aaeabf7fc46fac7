//! Ways to misbehave, set by the environment: for slow, crashing and failing versions in tests.

use std::process::{self, ExitCode};
use std::thread;
use std::time::Duration;

/// What this process does besides its work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// `START_DELAY_MS`: nothing listens before this has passed.
    pub start_delay: Duration,
    /// `CRASH_AFTER_MS`: the process dies by itself this long after it has started; 0 is never.
    pub crash_after: Duration,
    /// `EXIT_CODE`: with what it exits, when it crashes (then 0 means 1) and when it is stopped.
    pub exit_code: u8,
    /// `UNHEALTHY`: `/status` answers 503 from the beginning.
    pub unhealthy: bool,
}

impl Behaviour {
    /// Reads it; what is missing or not a number counts as 0.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Self {
        let number = |key: &str| {
            get(key)
                .and_then(|text| text.trim().parse::<u64>().ok())
                .unwrap_or(0)
        };
        Self {
            start_delay: Duration::from_millis(number("START_DELAY_MS")),
            crash_after: Duration::from_millis(number("CRASH_AFTER_MS")),
            exit_code: u8::try_from(number("EXIT_CODE")).unwrap_or(1),
            unhealthy: number("UNHEALTHY") != 0,
        }
    }

    /// Arms the crash, then sleeps through the start delay.
    pub fn start(self) {
        if !self.crash_after.is_zero() {
            let code = if self.exit_code == 0 {
                1
            } else {
                self.exit_code
            };
            let after = self.crash_after;
            thread::spawn(move || {
                thread::sleep(after);
                eprintln!("hello: crashing, as CRASH_AFTER_MS says");
                #[expect(clippy::disallowed_methods, reason = "a crash cleans nothing up")]
                process::exit(i32::from(code));
            });
        }
        thread::sleep(self.start_delay);
    }

    /// What to exit with when stopped in good order.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit_code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_environment_behaves_well() {
        assert_eq!(Behaviour::from_env(|_| None), Behaviour::default());
    }

    #[test]
    fn each_variable_is_read() {
        let behaviour = Behaviour::from_env(|key| {
            Some(match key {
                "START_DELAY_MS" => "1500".into(),
                "CRASH_AFTER_MS" => "20".into(),
                "EXIT_CODE" => "3".into(),
                _ => "1".into(),
            })
        });
        let want = Behaviour {
            start_delay: Duration::from_millis(1500),
            crash_after: Duration::from_millis(20),
            exit_code: 3,
            unhealthy: true,
        };
        assert_eq!(behaviour, want);
    }

    #[test]
    fn an_exit_code_that_does_not_fit_is_a_failure() {
        assert_eq!(Behaviour::from_env(|_| Some("256".into())).exit_code, 1);
    }
}
