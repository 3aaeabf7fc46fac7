//! How late a task of the runtime is woken: what holds the threads that answer and replicate shows
//! here first.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Metrics;

/// How long the task sleeps.
const BEAT: Duration = Duration::from_millis(5);
/// Bounds of the histogram, in seconds. No request holds a thread for longer than 0.05 s.
pub(super) const BOUNDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5,
];

impl Metrics {
    /// Measures until it is dropped. It must run as a task of its own: what is polled together
    /// with other work sees that work only.
    pub async fn beat(self) {
        let none: &[&str] = &[];
        let late = self.executor_late.with_label_values(none);
        loop {
            let due = Instant::now() + BEAT;
            sleep_until(due).await;
            late.observe(due.elapsed().as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hint;

    use tokio::task::yield_now;

    use super::*;

    /// Beats that were no later than this many seconds, and all.
    fn beats(metrics: &Metrics, bound: &str) -> (u64, u64) {
        let text = metrics
            .meters()
            .text(super::super::Page::new("coordinator"));
        let text = text.unwrap();
        let count = |line: &str| {
            let found = text.lines().find_map(|one| one.strip_prefix(line));
            found.map_or(0, |count| count.trim().parse().unwrap())
        };
        let name = "paasta_executor_late_seconds_bucket";
        let bucket = format!("{name}{{le=\"{bound}\"}} ");
        (count(&bucket), count("paasta_executor_late_seconds_count "))
    }

    #[tokio::test]
    async fn a_thread_that_is_held_is_seen() {
        let metrics = Metrics::new();
        let beating = tokio::spawn(metrics.clone().beat());
        while beats(&metrics, "0.05").1 == 0 {
            yield_now().await;
        }
        let (before, _) = beats(&metrics, "0.075");
        let held = Instant::now();
        while held.elapsed() < Duration::from_millis(120) {
            hint::spin_loop();
        }
        let all = loop {
            let (within, all) = beats(&metrics, "0.075");
            if all > within {
                break all;
            }
            assert!(within < before + 1_000, "it is not seen");
            yield_now().await;
        };
        assert!(all > before);
        beating.abort();
    }
}
