//! What of the metrics is asked for: labels, limits, formats.

use std::collections::BTreeMap;
use std::time::Duration;

use super::labels::{LABELS, Label};
use super::table::{Figure, Metric};

/// Settings of `[metrics]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The labels of metrics that have none of their own here.
    pub(crate) labels: Vec<Label>,
    /// The labels of some metrics, by Prometheus' names.
    pub(crate) label: BTreeMap<String, Vec<Label>>,
    /// So many series at the most; the rest is told together.
    pub(crate) max_series: usize,
    /// The series of what is gone end after this.
    pub(crate) gone_after: Duration,
    /// Prometheus is offered native histograms beside classic ones.
    pub(crate) native_histograms: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            labels: vec![Label::Namespace, Label::Workload, Label::Pod],
            label: BTreeMap::new(),
            max_series: 10_000,
            gone_after: Duration::from_mins(1),
            native_histograms: true,
        }
    }
}

impl Settings {
    /// The labels of a metric, in their order. Those of the other side are for figures of connections alone.
    pub(crate) fn labels(&self, metric: &Metric) -> Vec<Label> {
        let asked = self.label.get(metric.name).unwrap_or(&self.labels);
        let is_of_edges = matches!(metric.figure, Figure::Tcp(_));
        let fits = |label: &Label| asked.contains(label) && (is_of_edges || !label.is_of_edge());
        LABELS.into_iter().filter(fits).collect()
    }
}
