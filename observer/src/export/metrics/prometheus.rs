//! Prometheus' formats: text, OpenMetrics, and protobuf with native histograms.

#[cfg(test)]
mod churn;
mod started;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabel as _, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NativeHistogram,
    NativeHistogramBuckets, NoLabelSet, prometheus_protobuf, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::{CounterWithExemplar, Exemplar};
use prometheus_client::registry::{Registry, Unit as Suffix};

use super::distribution::Distribution;
use super::keeper::{Picture, Reading};
use super::labels::values;
use super::series::Point;
use super::table::{Kind, Metric, Unit, Value, metrics};
use crate::aggregate::Histogram;
use crate::event::WallTime;

/// The label of series that hold what found no room.
const OVERFLOW: &str = "overflow";
/// The label of an exemplar.
const INCIDENT: &str = "incident_id";

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' own text, version 0.0.4.
    Text,
    /// OpenMetrics' text, version 1.0.0.
    OpenMetrics,
    /// Prometheus' protobuf messages, each after its length.
    Protobuf,
}

impl Format {
    /// How it is called in HTTP.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// Why a picture cannot be written: never by what is in it.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the metrics")]
pub(crate) struct EncodeError(#[from] fmt::Error);

/// Writes it; native histograms where the format has them and they are wanted. May take a while, and waits for the series.
pub(crate) fn encode(picture: Picture, format: Format, native: bool) -> Result<Vec<u8>, EncodeError> {
    encode_from(Source::Kept(Box::new(picture)), format, native)
}

fn encode_from(source: Source, format: Format, native: bool) -> Result<Vec<u8>, EncodeError> {
    let mut registry = Registry::default();
    let starts = Arc::new(Mutex::new(Vec::new()));
    registry.register_collector(Box::new(All { source, format, native, starts: Arc::clone(&starts) }));
    let mut out = String::new();
    match format {
        Format::Text => text::encode_registry(&mut out, &registry)?,
        Format::OpenMetrics => text::encode(&mut out, &registry)?,
        Format::Protobuf => {
            let mut families = prometheus_protobuf::encode(&registry)?;
            let starts = starts.lock().unwrap_or_else(PoisonError::into_inner);
            started::put(&mut families, &starts);
            return Ok(families.iter().flat_map(prost::Message::encode_length_delimited_to_vec).collect());
        }
    }
    Ok(out.into_bytes())
}

/// Where the figures are.
#[derive(Debug)]
enum Source {
    Kept(Box<Picture>),
    #[cfg(test)]
    Given(Arc<(super::series::Series, super::own::Own)>),
}

impl Source {
    fn read<T>(&self, read: impl FnOnce(&Reading<'_>) -> T) -> T {
        match self {
            Self::Kept(picture) => picture.read(read),
            #[cfg(test)]
            Self::Given(given) => read(&Reading { series: &given.0, own: &given.1, start: WallTime(0) }),
        }
    }
}

/// All metrics, as the library asks for them.
#[derive(Debug)]
struct All {
    source: Source,
    format: Format,
    native: bool,
    /// When each series began, in the order in which they are told: the library tells that of native histograms alone.
    starts: Arc<Mutex<Vec<WallTime>>>,
}

impl Collector for All {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.source.read(|reading| {
            for metric in metrics() {
                let mut is_told = false;
                reading.each(metric, &mut |_| is_told = true);
                if is_told {
                    self.family(metric, reading, &mut encoder)?;
                }
            }
            Ok(())
        })
    }
}

impl All {
    /// All series of a metric.
    fn family(
        &self,
        metric: &'static Metric,
        reading: &Reading<'_>,
        encoder: &mut DescriptorEncoder<'_>,
    ) -> Result<(), fmt::Error> {
        let is_text = self.format == Format::Text;
        let kind = match metric.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Histogram { .. } => MetricType::Histogram,
            Kind::Info if !is_text => MetricType::Info,
            Kind::Gauge | Kind::Info => MetricType::Gauge,
        };
        let unit = match metric.unit {
            Unit::Seconds => Some(Suffix::Seconds),
            Unit::Bytes => Some(Suffix::Bytes),
            Unit::Things(_) | Unit::None => None,
        };
        // The older text has whole names, and no units.
        let (name, unit) = if is_text { (metric.name, None) } else { (metric.stem(), unit) };
        let mut family = encoder.encode_descriptor(name, metric.help, unit.as_ref(), kind)?;
        let bounds: Vec<f64> = metric.powers().map(|power| f64::from(power).exp2()).collect();
        let mut told = Ok(());
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        reading.each(metric, &mut |point| {
            starts.push(point.start);
            if told.is_ok() {
                told = self.point(metric, point, &bounds, &mut family);
            }
        });
        told
    }

    fn point(
        &self,
        metric: &Metric,
        point: &Point<'_>,
        bounds: &[f64],
        family: &mut MetricEncoder<'_>,
    ) -> Result<(), fmt::Error> {
        let labels = Labels { metric, point };
        if metric.kind == Kind::Info && self.format != Format::Text {
            return family.encode_info(&labels);
        }
        if point.labels.is_empty() && point.by.is_empty() && !point.overflow {
            return self.value(metric, point, bounds, family);
        }
        self.value(metric, point, bounds, &mut family.encode_family(&labels)?)
    }

    fn value(
        &self,
        metric: &Metric,
        point: &Point<'_>,
        bounds: &[f64],
        series: &mut MetricEncoder<'_>,
    ) -> Result<(), fmt::Error> {
        let is_counter = metric.kind == Kind::Counter && self.format != Format::Text;
        match point.value {
            Value::Durations(durations) => self.durations(metric, durations, point.start, bounds, series),
            Value::Count(count) if is_counter => counter(series, &count, point),
            Value::Nanoseconds(ns) if is_counter => counter(series, &seconds(ns), point),
            Value::Count(count) => series.encode_gauge(&count),
            Value::Nanoseconds(ns) => series.encode_gauge(&seconds(ns)),
        }
    }

    fn durations(
        &self,
        metric: &Metric,
        durations: &Distribution,
        start: WallTime,
        bounds: &[f64],
        series: &mut MetricEncoder<'_>,
    ) -> Result<(), fmt::Error> {
        let ends = bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = ends.zip(durations.between(metric.powers())).collect();
        let (sum, count) = (seconds(durations.sum_ns()), durations.count());
        let none = None::<&HashMap<usize, Exemplar<NoLabelSet, f64>>>;
        if !self.native || self.format != Format::Protobuf {
            return series.encode_histogram(sum, count, &buckets, none);
        }
        let (spans, deltas) = sparse(durations);
        let native = NativeHistogram {
            schema: Histogram::scale(),
            zero_threshold: 0.0,
            zero_count: durations.zero_count(),
            negative: NativeHistogramBuckets { spans: &[], deltas: &[] },
            positive: NativeHistogramBuckets { spans: &spans, deltas: &deltas },
            created: Some(system(start)),
        };
        series.encode_histogram_with_native(sum, count, &buckets, none, native)
    }
}

/// A counter, with the incident that is behind it.
fn counter<V>(series: &mut MetricEncoder<'_>, value: &V, point: &Point<'_>) -> Result<(), fmt::Error>
where
    V: prometheus_client::encoding::EncodeCounterValue,
{
    let with = CounterWithExemplar::<[(&str, String); 1]>::default();
    if let Some(exemplar) = point.exemplar {
        let labels = [(INCIDENT, exemplar.incident.clone())];
        with.inc_by(exemplar.count, Some(labels), Some(system(exemplar.time)));
    }
    let (_, exemplar) = with.get();
    series.encode_counter(value, exemplar.as_ref())
}

/// The buckets as runs, each by the gap before it and its length, and how each bucket differs from the one before. Prometheus'
/// bucket i ends at base^i, where OpenTelemetry's begins there.
fn sparse(durations: &Distribution) -> (Vec<(i32, u32)>, Vec<i64>) {
    let (mut spans, mut deltas) = (Vec::<(i32, u32)>::new(), Vec::new());
    let (mut next, mut before) = (0, 0);
    for (index, count) in durations.buckets() {
        let index = index + 1;
        match spans.last_mut() {
            Some((_, length)) if index == next => *length += 1,
            Some(_) | None => spans.push((index - next, 1)),
        }
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        deltas.push(count - before);
        (next, before) = (index + 1, count);
    }
    (spans, deltas)
}

fn seconds(ns: u128) -> f64 {
    ns as f64 / 1e9
}

fn system(time: WallTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(time.0)
}

/// The labels of a series.
#[derive(Clone, Copy)]
struct Labels<'a> {
    metric: &'a Metric,
    point: &'a Point<'a>,
}

impl fmt::Debug for Labels<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.point.key)
    }
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        let Point { labels, key, overflow, by, .. } = self.point;
        for (label, value) in labels.iter().zip(values(key)) {
            (label.name(), value).encode(encoder.encode_label())?;
        }
        if *overflow {
            (OVERFLOW, "true").encode(encoder.encode_label())?;
        }
        for (word, value) in self.metric.by.iter().zip(*by) {
            (word.label, *value).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}
