//! Figures that are read off when somebody asks.

use prometheus::{CounterVec, GaugeVec, Opts, core::Collector, proto::MetricFamily};

use super::process;

/// Figures as of now. Begins with those that every process has.
#[derive(Debug)]
pub struct Page {
    families: Vec<MetricFamily>,
}

impl Page {
    /// The figures of this process, which is a `component` of paasta.
    pub fn new(component: &str) -> Self {
        let mut page = Self {
            families: Vec::new(),
        };
        let version = env!("CARGO_PKG_VERSION");
        page.gauges(
            "paasta_build_info",
            "Always 1; which component of which version this is.",
            ["component", "version"],
            [([component, version], 1.0)],
        );
        process::add(&mut page);
        page
    }

    /// One figure.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.gauges(name, help, [], [([], value)]);
    }

    /// One figure that may not be known.
    pub fn gauge_if(&mut self, name: &str, help: &str, value: Option<f64>) {
        self.gauges(name, help, [], value.map(|value| ([], value)));
    }

    /// Figures split by labels. No samples: the name is not there at all.
    pub fn gauges<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        samples: impl IntoIterator<Item = ([&'a str; N], f64)>,
    ) {
        // Names and labels are literals; a malformed one would be missing, which a test sees.
        let Ok(made) = GaugeVec::new(Opts::new(name, help), &labels) else {
            return;
        };
        for (values, value) in samples {
            made.with_label_values(&values).set(value);
        }
        self.take(&made);
    }

    /// A figure that only grows while the process lives; its name ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: f64) {
        let Ok(made) = CounterVec::new(Opts::new(name, help), &[]) else {
            return;
        };
        made.with_label_values(&[] as &[&str])
            .inc_by(value.max(0.0));
        self.take(&made);
    }

    pub(super) fn families(self) -> Vec<MetricFamily> {
        self.families
    }

    fn take(&mut self, made: &impl Collector) {
        let full = |family: &MetricFamily| !family.get_metric().is_empty();
        self.families
            .extend(made.collect().into_iter().filter(full));
    }
}
