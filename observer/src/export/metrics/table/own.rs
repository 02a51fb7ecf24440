//! Metrics of the daemon itself: what runs, what it sees, what it lost.

use super::{EVENTS, Figure, Kind, Metric, Unit, Value, Word, counter, gauge, metric, status, word};
use crate::event::LossSource;

const VERSION: Word = word("version", "service.version");
const KERNEL: Word = word("kernel_release", "os.kernel.release");
const NODE: Word = word("node", "k8s.node.name");
const TYPE: Word = word("type", "observer.event.type");
const SOURCE: Word = word("source", "observer.loss.source");
const KIND: Word = word("kind", "observer.loss.kind");
const CAPABILITY: Word = word("capability", "observer.capability");
const IDENTITIES: Word = word("source", "observer.identity_source");

pub(super) const METRICS: &[Metric] = &[
    metric(
        "observer_build_info",
        "observer.build",
        Kind::Info,
        Unit::None,
        Figure::Own(|own, out| {
            let kernel = own.status.as_ref().map_or("", |status| &status.kernel_release);
            out.put(&[env!("CARGO_PKG_VERSION"), kernel, &own.node_name], Value::Count(1));
        }),
    )
    .help("Always 1: the labels say which version runs on which kernel and node.")
    .told("Status.version, kernel_release, node_name")
    .by(&[VERSION, KERNEL, NODE]),
    gauge(
        "observer_uptime_seconds",
        "observer.uptime",
        Unit::Seconds,
        status!(|of, out| out.nanoseconds(&[], of.uptime_ns)),
    )
    .help("How long the daemon runs, in seconds.")
    .told("Status.uptime_ns"),
    gauge(
        "observer_event_loop_answers",
        "observer.event_loop.answers",
        Unit::None,
        Figure::Own(|own, out| out.count(&[], u64::from(own.status.is_some()))),
    )
    .help(
        "1 where the daemon's event loop answers in time; without that the figures of its status are absent.",
    )
    .told("none"),
    gauge(
        "observer_attach_duration_seconds",
        "observer.attach.duration",
        Unit::Seconds,
        status!(|of, out| out.nanoseconds(&[], of.attach_duration_ns)),
    )
    .help("From the start of the daemon until all probes were attached, in seconds.")
    .told("Status.attach_duration_ns"),
    gauge(
        "observer_capability_available",
        "observer.capability.available",
        Unit::None,
        status!(|of, out| for one in &of.capabilities {
            out.count(&[one.name], u64::from(one.missing.is_none()));
        }),
    )
    .help("1 where the observer can see this, 0 where it cannot; `observer doctor` says why.")
    .told("Status.capabilities")
    .by(&[CAPABILITY]),
    gauge(
        "observer_identity_source_healthy",
        "observer.identity_source.healthy",
        Unit::None,
        status!(|of, out| for one in &of.identity_sources {
            out.count(&[one.name], u64::from(one.healthy));
        }),
    )
    .help("1 where this source of names answers.")
    .told("Status.identity_sources")
    .by(&[IDENTITIES]),
    counter(
        "observer_events_total",
        "observer.events",
        EVENTS,
        status!(|of, out| for (kind, count) in &of.events {
            out.count(&[kind.name()], *count);
        }),
    )
    .help("Events told one by one, by type.")
    .told("Status.events")
    .by(&[TYPE]),
    counter(
        "observer_folded_events_total",
        "observer.events.folded",
        EVENTS,
        status!(|of, out| for (kind, count) in &of.folded {
            out.count(&[kind], *count);
        }),
    )
    .help("Events that were only counted, since their workload was beyond its budget, by type.")
    .told("Status.folded_events")
    .by(&[TYPE]),
    counter(
        "observer_lost_total",
        "observer.lost",
        EVENTS,
        Figure::Own(|own, out| {
            for ((source, kind), count) in own.losses() {
                out.count(&[source_name(source), kind], count);
            }
        }),
    )
    .help("What happened and was not seen, by where and of what kind.")
    .told("Status.losses")
    .by(&[SOURCE, KIND]),
];

const fn source_name(source: LossSource) -> &'static str {
    match source {
        LossSource::Ring => "ring",
        LossSource::Decode => "decode",
        LossSource::Table => "table",
        LossSource::Subscriber => "subscriber",
        LossSource::KernelMap => "kernel_map",
        LossSource::Probe => "probe",
        LossSource::Netns => "netns",
    }
}
