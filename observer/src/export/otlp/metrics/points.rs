//! Points: a figure with its attributes and times.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar as ToldExemplar, ExponentialHistogramDataPoint, NumberDataPoint, exemplar,
};
use prost::Message;

use super::Part;
use super::since::{Key, Since};
use crate::aggregate::Histogram;
use crate::event::WallTime;
use crate::export::metrics::distribution::Distribution;
use crate::export::metrics::labels;
use crate::export::metrics::series::Point;
use crate::export::metrics::subject::Exemplar;
use crate::export::metrics::table::{Kind, Metric, Value};
use crate::export::otlp::attributes::Attributes;
use crate::export::otlp::ids::incident;

/// What a point takes beside its own bytes: a tag and its length.
const OVERHEAD: usize = 6;

/// The points of one metric.
pub(super) struct Points {
    metric: &'static Metric,
    now: WallTime,
    node_name: Arc<str>,
    numbers: Vec<NumberDataPoint>,
    durations: Vec<ExponentialHistogramDataPoint>,
}

/// What a point is beside its value.
struct About<'a> {
    attributes: Vec<KeyValue>,
    key: Key,
    start: WallTime,
    exemplar: Option<&'a Exemplar>,
}

impl Points {
    pub(super) fn new(metric: &'static Metric, now: WallTime, node_name: &Arc<str>) -> Self {
        Self { metric, now, node_name: Arc::clone(node_name), numbers: Vec::new(), durations: Vec::new() }
    }

    /// A figure of a series.
    pub(super) fn add(&mut self, point: &Point<'_>, since: Option<&mut Since>) {
        let Point { labels: names, key, overflow, by, value, start, exemplar } = *point;
        let mut attributes = Attributes::default();
        for (label, value) in names.iter().zip(labels::values(key)) {
            attributes.text(label.attribute(), value);
        }
        attributes.flag("otel.metric.overflow", overflow);
        self.words(&mut attributes, by);
        let whole = format!("{overflow}\0{key}\0\0{}", by.join("\0"));
        let attributes = attributes.into_inner();
        self.put(About { attributes, key: (self.metric.name, whole), start, exemplar }, value, since);
    }

    /// A figure of the daemon's own.
    pub(super) fn own(
        &mut self,
        by: &[&str],
        value: Value<'_>,
        start: WallTime,
        exemplar: Option<&Exemplar>,
        since: Option<&mut Since>,
    ) {
        let mut attributes = Attributes::default();
        self.words(&mut attributes, by);
        let attributes = attributes.into_inner();
        let key = (self.metric.name, by.join("\0"));
        self.put(About { attributes, key, start, exemplar }, value, since);
    }

    /// The points, so many bytes at a time.
    pub(super) fn parts(self, most_bytes: usize) -> Vec<Part> {
        let numbers = cut(self.numbers, most_bytes).into_iter().map(Part::Numbers);
        numbers.chain(cut(self.durations, most_bytes).into_iter().map(Part::Durations)).collect()
    }

    fn words(&self, attributes: &mut Attributes, by: &[&str]) {
        for (word, value) in self.metric.by.iter().zip(by) {
            attributes.text(word.attribute, value);
        }
    }

    fn put(&mut self, about: About<'_>, value: Value<'_>, since: Option<&mut Since>) {
        let mut since = since.filter(|_| matches!(self.metric.kind, Kind::Counter | Kind::Histogram { .. }));
        let series = about.start;
        let start = since.as_ref().map_or(series, |since| since.start(&about.key, series));
        // What was told with an earlier delta is no part of this one.
        let is_news = |of: &&Exemplar| since.as_mut().is_none_or(|since| since.is_news(&about.key, of));
        let exemplar = about.exemplar.filter(is_news).map(|of| self.exemplar(of));
        let number = match (value, since) {
            (Value::Durations(durations), since) => {
                let before = since.map(|since| since.durations(about.key, series, durations));
                self.durations.push(histogram(
                    durations,
                    before.as_ref(),
                    about.attributes,
                    [start, self.now],
                ));
                return;
            }
            (Value::Count(count), None) => Number::AsInt(whole(count)),
            (Value::Count(count), Some(since)) => Number::AsInt(whole(since.count(about.key, series, count))),
            (Value::Nanoseconds(ns), None) => Number::AsDouble(ns as f64 / 1e9),
            (Value::Nanoseconds(ns), Some(since)) => {
                Number::AsDouble(since.seconds(about.key, series, ns as f64 / 1e9))
            }
        };
        let is_sum = self.metric.kind == Kind::Counter;
        self.numbers.push(NumberDataPoint {
            attributes: about.attributes,
            start_time_unix_nano: if is_sum { start.0 } else { 0 },
            time_unix_nano: self.now.0,
            exemplars: exemplar.into_iter().collect(),
            value: Some(number),
            ..NumberDataPoint::default()
        });
    }

    /// The incident behind a figure, by its span.
    fn exemplar(&self, of: &Exemplar) -> ToldExemplar {
        let name = incident(&of.incident, &self.node_name);
        let mut attributes = Attributes::default();
        attributes.text("observer.incident.id", &of.incident);
        ToldExemplar {
            filtered_attributes: attributes.into_inner(),
            time_unix_nano: of.time.0,
            span_id: name.span.0.to_vec(),
            trace_id: name.trace.0.to_vec(),
            value: Some(exemplar::Value::AsInt(whole(of.count))),
        }
    }
}

/// Cuts points into parts of so many bytes; one that is larger is a part of its own.
fn cut<T: Message>(points: Vec<T>, most_bytes: usize) -> Vec<Vec<T>> {
    let mut parts = Vec::new();
    let (mut part, mut bytes) = (Vec::new(), 0);
    for point in points {
        let size = point.encoded_len() + OVERHEAD;
        if !part.is_empty() && bytes + size > most_bytes {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += size;
        part.push(point);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// The same buckets, in seconds; less those of another time.
fn histogram(
    durations: &Distribution,
    before: Option<&Distribution>,
    attributes: Vec<KeyValue>,
    [start, now]: [WallTime; 2],
) -> ExponentialHistogramDataPoint {
    let less = |of: fn(&Distribution) -> u64| of(durations) - before.map_or(0, of).min(of(durations));
    let seconds = |ns: u128| ns as f64 / 1e9;
    let sum = durations.sum_ns() - before.map_or(0, Distribution::sum_ns).min(durations.sum_ns());
    // Of what came since the last time the extremes are not known.
    let extreme = |ns: u64| before.is_none_or(|before| before.count() == 0).then(|| seconds(ns.into()));
    ExponentialHistogramDataPoint {
        attributes,
        start_time_unix_nano: start.0,
        time_unix_nano: now.0,
        count: less(Distribution::count),
        sum: Some(seconds(sum)),
        scale: Histogram::scale(),
        zero_count: less(Distribution::zero_count),
        positive: Some(buckets(durations, before)),
        min: extreme(durations.min_ns()),
        max: extreme(durations.max_ns()),
        ..ExponentialHistogramDataPoint::default()
    }
}

fn buckets(durations: &Distribution, before: Option<&Distribution>) -> Buckets {
    let grown: Vec<(i32, u64)> = durations
        .buckets()
        .iter()
        .map(|(index, count)| {
            let before = before.and_then(|before| before.buckets().get(index)).copied().unwrap_or(0);
            (*index, count.saturating_sub(before))
        })
        .filter(|(_, count)| *count > 0)
        .collect();
    let (Some((first, _)), Some((last, _))) = (grown.first(), grown.last()) else {
        return Buckets::default();
    };
    let mut bucket_counts = vec![0; (last - first + 1) as usize];
    for (index, count) in &grown {
        if let Some(bucket) = bucket_counts.get_mut((index - first) as usize) {
            *bucket = *count;
        }
    }
    Buckets { offset: *first, bucket_counts }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
