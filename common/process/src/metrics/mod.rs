//! What `/metrics` says, in Prometheus' text format: counters and histograms that count as things
//! happen ([`Meters`]), and a page of figures that are read off when somebody asks ([`Page`]).
//! Which names there are is in the daemon's own `metrics` room, all of them in one place.

mod page;
mod process;

use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use prometheus::{
    Gauge, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder, core::Collector,
};

pub use page::Page;
/// A figure that its owner sets.
pub use prometheus::Gauge as Level;
/// A histogram, split by labels.
pub use prometheus::HistogramVec as Durations;
/// A counter, split by labels.
pub use prometheus::IntCounterVec as Counts;

use crate::http::Problem;

/// Bounds in seconds for what a disk or a network answers: half a millisecond to ten seconds.
pub const FAST: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Bounds in seconds for what a container engine does: ten milliseconds to ten minutes.
pub const SLOW: [f64; 12] = [
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0,
];

/// Counters and histograms of one daemon. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    registry: Registry,
}

impl Meters {
    /// A counter; its name ends in `_total`. Labels must take few values.
    ///
    /// # Panics
    /// The name is malformed or taken: a mistake that the first start shows.
    pub fn counts(&self, name: &str, help: &str, labels: &[&str]) -> Counts {
        let counts = IntCounterVec::new(Opts::new(name, help), labels);
        self.registered(counts)
    }

    /// A figure that is set when it changes, without labels. What can be read off when it is asked
    /// for belongs on the [`Page`].
    ///
    /// # Panics
    /// The name is malformed or taken: a mistake that the first start shows.
    pub fn level(&self, name: &str, help: &str) -> Level {
        self.registered(Gauge::with_opts(Opts::new(name, help)))
    }

    /// A histogram of seconds; its name ends in `_seconds`. Labels must take few values.
    ///
    /// # Panics
    /// The name is malformed or taken: a mistake that the first start shows.
    pub fn durations(&self, name: &str, help: &str, labels: &[&str], bounds: &[f64]) -> Durations {
        let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        self.registered(HistogramVec::new(options, labels))
    }

    /// Everything counted so far and everything on the page, as text.
    ///
    /// # Errors
    /// None that a page made by [`Page`] could cause.
    pub fn text(&self, page: Page) -> Result<String, prometheus::Error> {
        let mut families = self.registry.gather();
        families.extend(page.families());
        TextEncoder::new().encode_to_string(&families)
    }

    /// The answer to a scrape.
    pub fn answer(&self, page: Page) -> Response {
        match self.text(page) {
            Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
            Err(error) => {
                Problem::new(500, format!("the metrics cannot be written: {error}")).into_response()
            }
        }
    }

    fn registered<C: Collector + Clone + 'static>(&self, made: Result<C, prometheus::Error>) -> C {
        let made = made.and_then(|made| {
            self.registry.register(Box::new(made.clone()))?;
            Ok(made)
        });
        made.expect("the name is well formed and not taken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_and_what_is_are_one_text() {
        let meters = Meters::default();
        let asked = meters.counts("paasta_test_asks_total", "Asks.", &["kind"]);
        asked.with_label_values(&["a\"b"]).inc();
        let took = meters.durations("paasta_test_seconds", "Took.", &[], &FAST);
        took.with_label_values(&[] as &[&str]).observe(0.02);
        let mut page = Page::new("test");
        page.gauge("paasta_test_level", "Level.", 2.5);
        page.gauges(
            "paasta_test_parts",
            "Parts.",
            ["part"],
            [(["x"], 1.0), (["y"], 2.0)],
        );
        let text = meters.text(page).unwrap();
        for line in [
            "# TYPE paasta_test_asks_total counter",
            r#"paasta_test_asks_total{kind="a\"b"} 1"#,
            r#"paasta_test_seconds_bucket{le="0.025"} 1"#,
            "paasta_test_level 2.5",
            r#"paasta_test_parts{part="y"} 2"#,
            "# HELP process_resident_memory_bytes",
            r#"paasta_build_info{component="test""#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
