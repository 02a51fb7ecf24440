//! `[metrics]`: the labels of metrics, and how many series there may be.

use std::collections::BTreeMap;
use std::time::Duration;

use itertools::Itertools as _;
use serde::{Deserialize, Deserializer};

use super::values;
use crate::export::{LABELS, Label, MetricSettings, metrics};

/// What of the metrics is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Metrics {
    /// The labels of those that have none of their own here.
    labels: Vec<LabelName>,
    /// The labels of some, by Prometheus' names.
    label: BTreeMap<MetricName, Vec<LabelName>>,
    /// So many series at the most.
    #[serde(deserialize_with = "series")]
    max_series: u64,
    /// The series of what is gone end after this.
    #[serde(deserialize_with = "gone_after")]
    gone_after: Duration,
    /// Prometheus is offered native histograms beside classic ones.
    native_histograms: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        let MetricSettings { labels, label: _, max_series, gone_after, native_histograms } =
            MetricSettings::default();
        let labels = labels.into_iter().map(LabelName).collect();
        let max_series = max_series as u64;
        Self { labels, label: BTreeMap::new(), max_series, gone_after, native_histograms }
    }
}

impl Metrics {
    /// As the exporters take it.
    pub(crate) fn settings(&self) -> MetricSettings {
        let plain = |names: &[LabelName]| names.iter().map(|LabelName(label)| *label).collect();
        MetricSettings {
            labels: plain(&self.labels),
            label: self
                .label
                .iter()
                .map(|(MetricName(name), labels)| (name.clone(), plain(labels)))
                .collect(),
            max_series: self.max_series as usize,
            gone_after: self.gone_after,
            native_histograms: self.native_histograms,
        }
    }

    /// What is wrong with all of it together.
    pub(super) fn check(&self) -> Result<(), String> {
        for (MetricName(name), labels) in &self.label {
            let is_of_edges = metrics().any(|metric| metric.name == name && metric.is_of_edges());
            let wrong = labels.iter().find(|LabelName(label)| label.is_of_edge() && !is_of_edges);
            if let Some(LabelName(label)) = wrong {
                return Err(format!("{name} has no label {}: it is no figure of connections", label.name()));
            }
        }
        Ok(())
    }
}

/// A label, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct LabelName(pub(super) Label);

impl TryFrom<String> for LabelName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Label::named(&name).map(Self).ok_or_else(|| {
            let all = LABELS.iter().map(|label| label.name()).join(", ");
            format!("`{name}` is no label; there are {all}")
        })
    }
}

/// A metric's name, as Prometheus has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct MetricName(String);

impl TryFrom<String> for MetricName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let may_have_labels = metrics().any(|metric| metric.name == name && !metric.is_of_daemon());
        may_have_labels
            .then(|| Self(name.clone()))
            .ok_or_else(|| format!("`{name}` is no metric of workloads; docs/metrics.md has all of them"))
    }
}

fn series<'de, D: Deserializer<'de>>(of: D) -> Result<u64, D::Error> {
    values::count(of, &(100..=1_000_000))
}

fn gone_after<'de, D: Deserializer<'de>>(of: D) -> Result<Duration, D::Error> {
    values::duration(of, &(Duration::from_secs(10)..=Duration::from_hours(24)))
}
