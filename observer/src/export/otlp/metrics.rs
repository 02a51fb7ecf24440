//! Metrics as OTLP has them: sums, gauges, and exponential histograms with the very buckets of ours.

mod points;
mod since;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use observer_proto::v1;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Metric as Told,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use prost::Message as _;

use self::points::Points;
use self::since::Since;
use super::resource::{resource, scope};
use crate::config::exporters::Temporality;
use crate::event::{BootTime, Now, WallTime, Window, WorkloadEntry};
use crate::export::metrics::own::{Incidents, Own};
use crate::export::metrics::series::Series;
use crate::export::metrics::settings::Settings;
use crate::export::metrics::table::{Figure, Kind, Metric, Out, Value, metrics};
use crate::status::Status;

/// What windows told, added up, and what of it was sent.
pub(super) struct Metrics {
    node_name: Arc<str>,
    series: Series,
    incidents: Incidents,
    /// When the daemon was started.
    start: WallTime,
    since: Option<Since>,
    /// When figures were sent last.
    told: BootTime,
    /// The bytes of a request, at most.
    most_bytes: usize,
}

impl Metrics {
    pub(super) fn new(
        settings: &Settings,
        temporality: Temporality,
        node_name: &Arc<str>,
        start: WallTime,
        most_bytes: usize,
    ) -> Self {
        Self {
            node_name: Arc::clone(node_name),
            series: Series::new(settings),
            incidents: Incidents::default(),
            start,
            told: BootTime::default(),
            most_bytes,
            since: match temporality {
                Temporality::Cumulative => None,
                Temporality::Delta => Some(Since::default()),
            },
        }
    }

    pub(super) fn add(&mut self, window: &Window, now: Now) {
        self.series.add(window, now);
    }

    /// What there is now. Series of what has been gone for a while end, once what they counted was sent.
    pub(super) fn list(&mut self, workloads: &[WorkloadEntry], now: Now) {
        self.series.list(workloads, Now { boot: now.boot.min(self.told), ..now });
    }

    pub(super) fn incident(&mut self, incident: &v1::Incident) {
        self.series.incident(incident);
        self.incidents.put(incident);
    }

    pub(super) fn deleted(&mut self, id: &str) {
        self.incidents.delete(id);
    }

    pub(super) fn missed(&mut self, known: &[Arc<v1::Incident>]) {
        self.incidents.missed(known);
    }

    /// Gives all figures as they are now, as requests, each with the number of its points. This takes a while where there are
    /// many.
    pub(super) fn tell(
        &mut self,
        status: Option<Status>,
        now: Now,
        mut give: impl FnMut(&ExportMetricsServiceRequest, u64),
    ) {
        let Now { boot, wall: now } = now;
        self.told = boot;
        let is_all = status.is_some();
        let own = Own {
            status,
            node_name: self.node_name.to_string(),
            incidents: self.incidents.clone(),
            series: self.series.figures(),
        };
        let mut told = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        for metric in metrics() {
            let points = self.points(metric, &own, now);
            // Half of it leaves room for the metric's name and words.
            for part in points.parts(self.most_bytes / 2) {
                let points = part.len();
                let part = self.told(metric, part);
                let size = part.encoded_len();
                if count > 0 && bytes + size > self.most_bytes {
                    give(&self.request(std::mem::take(&mut told)), count);
                    (count, bytes) = (0, 0);
                }
                count += points as u64;
                bytes += size;
                told.push(part);
            }
        }
        if count > 0 {
            give(&self.request(told), count);
        }
        if let Some(since) = &mut self.since {
            since.sent(now, is_all);
        }
    }

    fn points(&mut self, metric: &'static Metric, own: &Own, now: WallTime) -> Points {
        let mut points = Points::new(metric, now, &self.node_name);
        let since = &mut self.since;
        match metric.figure {
            Figure::Own(figure) => {
                let start = self.start;
                let mut put = |by: &[&str], value: Value<'_>, _: Option<WallTime>| {
                    let by_trigger = by.first().filter(|_| !metric.exemplars.is_empty());
                    let exemplar = by_trigger.and_then(|trigger| own.incidents.exemplar(trigger));
                    points.own(by, value, start, exemplar, since.as_mut());
                };
                figure(own, &mut Out::to(&mut put));
            }
            Figure::Tcp(_) | Figure::Listening(_) | Figure::Processes(_) | Figure::Listed(_) => {
                self.series.each(metric, &mut |point| points.add(point, since.as_mut()));
            }
        }
        points
    }

    fn told(&self, metric: &Metric, part: Part) -> Told {
        let temporality = match self.since {
            None => AggregationTemporality::Cumulative,
            Some(_) => AggregationTemporality::Delta,
        };
        let data = match part {
            Part::Durations(data_points) => Data::ExponentialHistogram(ExponentialHistogram {
                data_points,
                aggregation_temporality: temporality.into(),
            }),
            Part::Numbers(data_points) if metric.kind == Kind::Counter => Data::Sum(Sum {
                data_points,
                aggregation_temporality: temporality.into(),
                is_monotonic: true,
            }),
            Part::Numbers(data_points) => Data::Gauge(Gauge { data_points }),
        };
        Told {
            name: metric.otel.to_owned(),
            description: metric.help.to_owned(),
            unit: metric.unit.ucum().to_owned(),
            data: Some(data),
            ..Told::default()
        }
    }

    fn request(&self, metrics: Vec<Told>) -> ExportMetricsServiceRequest {
        let scope_metrics = ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() };
        let resource_metrics = ResourceMetrics {
            resource: Some(resource(None, &self.node_name)),
            scope_metrics: vec![scope_metrics],
            ..ResourceMetrics::default()
        };
        ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }
    }
}

/// Some points of a metric.
pub(super) enum Part {
    Numbers(Vec<NumberDataPoint>),
    Durations(Vec<ExponentialHistogramDataPoint>),
}

impl Part {
    const fn len(&self) -> usize {
        match self {
            Self::Numbers(points) => points.len(),
            Self::Durations(points) => points.len(),
        }
    }
}
