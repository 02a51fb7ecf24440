//! The table of all metrics: their names, what they mean, and which figure each is. Prometheus, OTLP and the reference page
//! are made from it, and dashboards and alert rules are checked against it.

#[cfg(test)]
mod deployed;
mod exporters;
mod flow;
mod kernel;
mod own;
mod processes;
mod stores;
mod tcp;
#[cfg(test)]
mod tests;

use observer_proto::v1::TriggerKind;

use super::distribution::Distribution;
use super::own::Own;
use super::subject::{Seen, SeenTcp};
use crate::event::WallTime;
use crate::status::Status;

/// One metric.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    /// Prometheus' name, with unit and `_total`.
    pub(crate) name: &'static str,
    /// OpenTelemetry's name.
    pub(crate) otel: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unit: Unit,
    /// What it means, as one sentence that says the unit.
    pub(crate) help: &'static str,
    /// Where the API has this figure.
    #[allow(dead_code, reason = "the reference page tells it")]
    pub(crate) told: &'static str,
    /// By what it is told apart, beside the labels that are configured.
    pub(crate) by: &'static [Word],
    /// Incidents that these triggers opened are its exemplars.
    pub(crate) exemplars: &'static [TriggerKind],
    pub(crate) figure: Figure,
}

/// How figures go on in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows.
    Counter,
    /// It is so now.
    Gauge,
    /// Durations. The classic buckets end at each so many powers of 2 of a second, from the first to the last.
    Histogram { first: i32, last: i32, step: u8 },
    /// Always 1: the labels tell.
    Info,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Bytes,
    /// Things, which OpenTelemetry wants named: `{connection}`.
    Things(&'static str),
    /// Nothing.
    None,
}

impl Unit {
    /// As it stands in Prometheus' names, where it does.
    pub(crate) const fn suffix(self) -> Option<&'static str> {
        match self {
            Self::Seconds => Some("seconds"),
            Self::Bytes => Some("bytes"),
            Self::Things(_) | Self::None => None,
        }
    }

    /// As OpenTelemetry writes it (UCUM).
    pub(crate) const fn ucum(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Bytes => "By",
            Self::Things(what) => what,
            Self::None => "1",
        }
    }
}

/// A label of a metric's own, and the attribute that it is in OpenTelemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) label: &'static str,
    pub(crate) attribute: &'static str,
}

const fn word(label: &'static str, attribute: &'static str) -> Word {
    Word { label, attribute }
}

/// Which figure a metric is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Figure {
    /// Of connections: of a workload or, where a peer's label is asked for, of its edges.
    Tcp(fn(&Seen<'_>, &mut Out<'_>)),
    /// Of a workload's listeners.
    Listening(fn(&Seen<'_>, &mut Out<'_>)),
    /// Of a workload's processes.
    Processes(fn(&Seen<'_>, &mut Out<'_>)),
    /// Of what the list of workloads says.
    Listed(fn(&Seen<'_>, &mut Out<'_>)),
    /// Of the daemon itself.
    Own(fn(&Own, &mut Out<'_>)),
}

/// A figure as it is now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Count(u64),
    /// A duration, as a counter or a gauge.
    Nanoseconds(u128),
    Durations(&'a Distribution),
}

/// Takes the figures of a metric, each with the values of the metric's own labels.
pub(crate) struct Out<'a>(Take<'a>);

/// Takes the values of the metric's own labels, the figure and, where that did not begin with all others of its subject, when it began.
type Take<'a> = &'a mut dyn FnMut(&[&str], Value<'_>, Option<WallTime>);

impl<'a> Out<'a> {
    pub(crate) fn to(take: Take<'a>) -> Self {
        Self(take)
    }

    pub(crate) fn put(&mut self, by: &[&str], value: Value<'_>) {
        (self.0)(by, value, None);
    }

    /// Of something that began at a time of its own.
    fn count_since(&mut self, by: &[&str], count: u64, start: WallTime) {
        (self.0)(by, Value::Count(count), Some(start));
    }

    fn count(&mut self, by: &[&str], count: u64) {
        self.put(by, Value::Count(count));
    }

    fn nanoseconds(&mut self, by: &[&str], ns: u64) {
        self.put(by, Value::Nanoseconds(u128::from(ns)));
    }

    /// Where it holds something.
    fn durations(&mut self, durations: &Distribution) {
        if durations.count() > 0 {
            self.put(&[], Value::Durations(durations));
        }
    }
}

/// All metrics, in the order in which they are told.
pub(crate) fn metrics() -> impl Iterator<Item = &'static Metric> {
    [
        tcp::METRICS,
        flow::METRICS,
        processes::METRICS,
        own::METRICS,
        kernel::METRICS,
        stores::METRICS,
        exporters::METRICS,
    ]
    .into_iter()
    .flatten()
}

const fn metric(name: &'static str, otel: &'static str, kind: Kind, unit: Unit, figure: Figure) -> Metric {
    Metric { name, otel, kind, unit, help: "", told: "", by: &[], exemplars: &[], figure }
}

/// Tells of connections, as far as there are any.
macro_rules! connections {
    ($take:expr) => {
        $crate::export::metrics::table::Figure::Tcp(|seen, out| {
            $crate::export::metrics::table::of_tcp(seen, out, $take);
        })
    };
}
use connections;

/// Tells of the status, where the event loop has answered.
macro_rules! status {
    ($take:expr) => {
        $crate::export::metrics::table::Figure::Own(|own, out| {
            $crate::export::metrics::table::of_status(own, out, $take);
        })
    };
}
use status;

fn of_status(own: &Own, out: &mut Out<'_>, take: fn(&Status, &mut Out<'_>)) {
    if let Some(status) = &own.status {
        take(status, out);
    }
}

fn of_tcp(seen: &Seen<'_>, out: &mut Out<'_>, take: fn(&SeenTcp<'_>, &mut Out<'_>)) {
    if let Some(tcp) = seen.tcp() {
        take(&tcp, out);
    }
}

const fn counter(name: &'static str, otel: &'static str, unit: Unit, figure: Figure) -> Metric {
    metric(name, otel, Kind::Counter, unit, figure)
}

const fn gauge(name: &'static str, otel: &'static str, unit: Unit, figure: Figure) -> Metric {
    metric(name, otel, Kind::Gauge, unit, figure)
}

const CONNECTIONS: Unit = Unit::Things("{connection}");
const EVENTS: Unit = Unit::Things("{event}");
const IO_DIRECTION: Word = word("io_direction", "network.io.direction");

impl Metric {
    const fn help(self, help: &'static str) -> Self {
        Self { help, ..self }
    }

    const fn told(self, told: &'static str) -> Self {
        Self { told, ..self }
    }

    const fn by(self, by: &'static [Word]) -> Self {
        Self { by, ..self }
    }

    const fn exemplars(self, exemplars: &'static [TriggerKind]) -> Self {
        Self { exemplars, ..self }
    }

    /// It is a figure of connections, which edges have as well.
    pub(crate) const fn is_of_edges(&self) -> bool {
        matches!(self.figure, Figure::Tcp(_))
    }

    /// It is a figure of the daemon itself.
    pub(crate) const fn is_of_daemon(&self) -> bool {
        matches!(self.figure, Figure::Own(_))
    }

    /// Prometheus' name without what unit and kind add to it.
    pub(crate) fn stem(&self) -> &'static str {
        let stem = match self.kind {
            Kind::Counter => self.name.strip_suffix("_total"),
            Kind::Info => self.name.strip_suffix("_info"),
            Kind::Gauge | Kind::Histogram { .. } => None,
        };
        let stem = stem.unwrap_or(self.name);
        let unit = self.unit.suffix().and_then(|unit| stem.strip_suffix(unit)?.strip_suffix('_'));
        unit.unwrap_or(stem)
    }

    /// The powers of 2 of a second where its classic buckets end.
    pub(crate) fn powers(&self) -> impl Iterator<Item = i32> + Clone + use<> {
        let (first, last, step) = match self.kind {
            Kind::Histogram { first, last, step } => (first, last, step),
            Kind::Counter | Kind::Gauge | Kind::Info => (0, -1, 1),
        };
        (first..=last).step_by(usize::from(step))
    }
}
