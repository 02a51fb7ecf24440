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

use self::points::Points;
use self::since::Since;
use super::resource::{resource, scope};
use crate::config::exporters::Temporality;
use crate::event::{Now, WallTime, Window, WorkloadEntry};
use crate::export::metrics::own::{Incidents, Own};
use crate::export::metrics::series::Series;
use crate::export::metrics::settings::Settings;
use crate::export::metrics::table::{Figure, Kind, Metric, Out, metrics};
use crate::status::Status;

/// Points that are sent together, at most. One of a histogram counts for ten.
const MOST_POINTS: usize = 1_000;

/// What a histogram's point takes, in points of other metrics.
const HISTOGRAM_WEIGHT: usize = 10;

/// What windows told, added up, and what of it was sent.
pub(super) struct Metrics {
    node_name: Arc<str>,
    series: Series,
    incidents: Incidents,
    /// When the daemon was started.
    start: WallTime,
    since: Option<Since>,
}

impl Metrics {
    pub(super) fn new(
        settings: &Settings,
        temporality: Temporality,
        node_name: &Arc<str>,
        start: WallTime,
    ) -> Self {
        Self {
            node_name: Arc::clone(node_name),
            series: Series::new(settings),
            incidents: Incidents::default(),
            start,
            since: match temporality {
                Temporality::Cumulative => None,
                Temporality::Delta => Some(Since::default()),
            },
        }
    }

    pub(super) fn add(&mut self, window: &Window, now: Now) {
        self.series.add(window, now);
    }

    pub(super) fn list(&mut self, workloads: &[WorkloadEntry], now: Now) {
        self.series.list(workloads, now);
    }

    pub(super) fn incident(&mut self, incident: &v1::Incident) {
        self.series.incident(incident);
        self.incidents.put(incident);
    }

    pub(super) fn deleted(&mut self, id: &str) {
        self.incidents.delete(id);
    }

    /// All figures as they are now, as requests, each with the number of its points.
    pub(super) fn requests(
        &mut self,
        status: Option<Status>,
        now: WallTime,
    ) -> Vec<(ExportMetricsServiceRequest, u64)> {
        let own = Own {
            status,
            node_name: self.node_name.to_string(),
            incidents: self.incidents.clone(),
            series: self.series.figures(),
        };
        let mut requests = Vec::new();
        let mut told = Vec::new();
        let (mut count, mut weight) = (0, 0);
        for metric in metrics() {
            let points = self.points(metric, &own, now);
            for part in points.parts(MOST_POINTS) {
                if count > 0 && weight + part.weight() > MOST_POINTS {
                    requests.push(self.request(std::mem::take(&mut told), count));
                    (count, weight) = (0, 0);
                }
                count += part.len();
                weight += part.weight();
                told.push(self.told(metric, part));
            }
        }
        if count > 0 {
            requests.push(self.request(told, count));
        }
        if let Some(since) = &mut self.since {
            since.sent(now);
        }
        requests
    }

    fn points(&mut self, metric: &'static Metric, own: &Own, now: WallTime) -> Points {
        let mut points = Points::new(metric, now, &self.node_name);
        let since = &mut self.since;
        match metric.figure {
            Figure::Own(figure) => {
                let start = self.start;
                figure(own, &mut Out::to(&mut |by, value| points.own(by, value, start, since.as_mut())));
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

    fn request(&self, metrics: Vec<Told>, points: usize) -> (ExportMetricsServiceRequest, u64) {
        let scope_metrics = ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() };
        let resource_metrics = ResourceMetrics {
            resource: Some(resource(None, &self.node_name)),
            scope_metrics: vec![scope_metrics],
            ..ResourceMetrics::default()
        };
        (ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }, points as u64)
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

    /// How much of a request it takes.
    const fn weight(&self) -> usize {
        match self {
            Self::Numbers(points) => points.len(),
            Self::Durations(points) => HISTOGRAM_WEIGHT * points.len(),
        }
    }
}
