//! `[otlp.NAME]`: metrics, logs and traces to one of OpenTelemetry's receivers.

mod preset;
mod receiver;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use self::preset::Preset;
use super::metrics::LabelName;
use super::select::{List, Selection, check, selection};
use super::values::{self, Many};
use crate::export::{Label, MetricSettings};

pub(crate) use self::receiver::{Receiver, Tls};

/// One exporter of OTLP, as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Otlp {
    preset: Option<Preset>,
    endpoint: Option<String>,
    protocol: Option<Protocol>,
    /// Headers that anybody may see.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Headers whose values are secrets in files.
    #[serde(default)]
    header_files: BTreeMap<String, PathBuf>,
    /// Headers whose values are secrets in variables of the environment.
    #[serde(default)]
    header_env: BTreeMap<String, String>,
    tls_ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    tls_server_name: Option<String>,
    /// Plain text to another machine is meant.
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    compression: Compression,
    #[serde(default = "ten_seconds", deserialize_with = "timeout")]
    timeout: Duration,
    metrics: Option<bool>,
    logs: Option<bool>,
    traces: Option<bool>,
    temporality: Option<Temporality>,
    /// Metrics are sent once in so long.
    #[serde(default = "a_quarter_minute", deserialize_with = "interval")]
    pub(crate) interval: Duration,
    /// So much may wait to be sent.
    #[serde(default = "four_mebibytes", deserialize_with = "bytes")]
    pub(crate) queue_bytes: u64,
    /// Connections that took so long to be established are told as spans.
    #[serde(default = "a_second", deserialize_with = "slow")]
    pub(crate) slow_connect: Option<Duration>,
    /// The same of such a round-trip time.
    #[serde(default = "a_second", deserialize_with = "slow")]
    pub(crate) slow_rtt: Option<Duration>,
    /// Metrics are told by these.
    #[serde(default)]
    labels: Many<LabelName>,
    #[serde(default)]
    allow: List,
    #[serde(default)]
    deny: List,
}

/// How it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Protocol {
    #[serde(rename = "grpc")]
    Grpc,
    #[serde(rename = "http/protobuf")]
    Http,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compression {
    #[default]
    Gzip,
    None,
}

/// What counters and histograms of metrics tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Temporality {
    /// All since the series began.
    Cumulative,
    /// What came since the last time.
    Delta,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signals {
    pub(crate) metrics: bool,
    pub(crate) logs: bool,
    pub(crate) traces: bool,
}

impl Otlp {
    /// What is sent: what is asked for, else what the preset's receivers take.
    pub(crate) fn signals(&self) -> Signals {
        let Signals { metrics, logs, traces } = self.preset.map_or(Signals::ALL, Preset::takes);
        Signals {
            metrics: self.metrics.unwrap_or(metrics),
            logs: self.logs.unwrap_or(logs),
            traces: self.traces.unwrap_or(traces),
        }
    }

    /// What counters tell.
    pub(crate) fn temporality(&self) -> Temporality {
        let usual = self.preset.map_or(Temporality::Cumulative, Preset::temporality);
        self.temporality.unwrap_or(usual)
    }

    /// What of the metrics is asked for: as of all, with labels of its own where it has some.
    pub(crate) fn metric_settings(&self, of_all: &MetricSettings) -> MetricSettings {
        let labels: Vec<Label> = self.labels.0.iter().map(|LabelName(label)| *label).collect();
        if labels.is_empty() {
            return of_all.clone();
        }
        MetricSettings { labels, label: BTreeMap::new(), ..of_all.clone() }
    }

    /// Which events are told as logs.
    pub(crate) fn selection(&self) -> Selection {
        selection(&self.allow, &self.deny)
    }

    /// Where to.
    pub(crate) fn receiver(&self) -> Result<Receiver, String> {
        receiver::of(self)
    }

    /// What is wrong with all of it together.
    pub(super) fn check(&self) -> Result<(), String> {
        self.receiver()?;
        if self.signals() == (Signals { metrics: false, logs: false, traces: false }) {
            return Err("it would send nothing: set one of metrics, logs and traces".to_owned());
        }
        if let Some(preset) = self.preset.filter(|preset| preset.takes_traces_alone()) {
            let asked = [("metrics", self.metrics), ("logs", self.logs)];
            if let Some((signal, _)) = asked.iter().find(|(_, asked)| *asked == Some(true)) {
                return Err(format!("{signal} = true is not allowed: {} takes traces alone", preset.name()));
            }
        }
        check(&self.selection())
    }
}

impl Signals {
    const ALL: Self = Self { metrics: true, logs: true, traces: true };
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn a_quarter_minute() -> Duration {
    Duration::from_secs(15)
}

fn four_mebibytes() -> u64 {
    4 << 20
}

#[allow(clippy::unnecessary_wraps, reason = "serde asks for the field's type")]
fn a_second() -> Option<Duration> {
    Some(Duration::from_secs(1))
}

fn timeout<'de, D: Deserializer<'de>>(of: D) -> Result<Duration, D::Error> {
    values::duration(of, &(Duration::from_millis(100)..=Duration::from_mins(2)))
}

fn interval<'de, D: Deserializer<'de>>(of: D) -> Result<Duration, D::Error> {
    values::duration(of, &(Duration::from_secs(1)..=Duration::from_hours(1)))
}

fn slow<'de, D: Deserializer<'de>>(of: D) -> Result<Option<Duration>, D::Error> {
    values::duration_or_off(of, &(Duration::from_millis(1)..=Duration::from_hours(1)))
}

fn bytes<'de, D: Deserializer<'de>>(of: D) -> Result<u64, D::Error> {
    values::bytes(of, &(1 << 20..=1 << 30))
}
