//! Metrics of what the daemon keeps and tells: subscribers, the recorder, incidents, series.

use super::{EVENTS, Figure, Metric, Out, Unit, Word, counter, gauge, status, word};
use crate::export::metrics::own::{Own, TRIGGERS, trigger_name};
use crate::status::{Recorder, RecorderState};

const INCIDENTS: Unit = Unit::Things("{incident}");
const SERIES: Unit = Unit::Things("{series}");

const TRIGGER: Word = word("trigger", "observer.incident.trigger");

/// Tells of the recorder, where it is not turned off.
macro_rules! recorder {
    ($take:expr) => {
        status!(|of, out| {
            let take: fn(&Recorder, &mut super::Out<'_>) = $take;
            if of.recorder.state != RecorderState::Off {
                take(&of.recorder, out);
            }
        })
    };
}

pub(super) const METRICS: &[Metric] = &[
    gauge(
        "observer_subscribers",
        "observer.subscribers",
        Unit::Things("{subscriber}"),
        status!(|of, out| out.count(&[], u64::from(of.subscribers))),
    )
    .help("Streams that are followed now, those of exporters among them.")
    .told("Status.subscribers"),
    gauge(
        "observer_subscriber_queued",
        "observer.subscribers.queued",
        Unit::Things("{update}"),
        status!(|of, out| out.count(&[], of.queued_updates)),
    )
    .help("Updates that wait in the queues of subscribers, exporters' among them.")
    .told("Status.queued_updates"),
    gauge("observer_stored_events", "observer.events.stored", EVENTS, status!(|of, out| out.count(&[], of.events_stored)))
        .help("Events in memory.")
        .told("Status.events_stored"),
    gauge(
        "observer_debug_sessions",
        "observer.debug_sessions",
        Unit::Things("{session}"),
        status!(|of, out| out.count(&[], of.debug_sessions.len() as u64)),
    )
    .help("Debugging sessions that are open.")
    .told("Status.debug_sessions"),
    gauge(
        "observer_recorder_recording",
        "observer.recorder.recording",
        Unit::None,
        recorder!(|of, out| out.count(&[], u64::from(of.state == RecorderState::Recording))),
    )
    .help("1 where the flight recorder records, 0 where something keeps it from that; absent where it is turned off.")
    .told("Status.recorder.state"),
    gauge("observer_recorder_events", "observer.recorder.events", EVENTS, recorder!(|of, out| out.count(&[], of.events)))
        .help("Events in the recording.")
        .told("Status.recorder.events"),
    gauge("observer_recorder_size_bytes", "observer.recorder.size", Unit::Bytes, recorder!(|of, out| out.count(&[], of.bytes)))
        .help("What the recording takes on disk, in bytes.")
        .told("Status.recorder.bytes"),
    gauge(
        "observer_recorder_limit_bytes",
        "observer.recorder.limit",
        Unit::Bytes,
        recorder!(|of, out| out.count(&[], of.most_bytes)),
    )
    .help("What the recording may take on disk (record_bytes), in bytes.")
    .told("Status.recorder.most_bytes"),
    gauge(
        "observer_recorder_reach_seconds",
        "observer.recorder.reach",
        Unit::Seconds,
        recorder!(|of, out| out.nanoseconds(&[], of.reach_seconds.saturating_mul(1_000_000_000))),
    )
    .help("How far the recording reaches back, in seconds.")
    .told("Status.recorder.reach_seconds"),
    counter(
        "observer_recorder_commits_total",
        "observer.recorder.commits",
        Unit::Things("{commit}"),
        recorder!(|of, out| out.count(&[], of.commits)),
    )
    .help("How often something was written to the recording.")
    .told("Status.recorder.commits"),
    counter(
        "observer_recorder_errors_total",
        "observer.recorder.errors",
        Unit::Things("{error}"),
        recorder!(|of, out| out.count(&[], of.errors)),
    )
    .help("How often writing to the recording failed.")
    .told("Status.recorder.errors"),
    counter(
        "observer_recorder_missed_events_total",
        "observer.recorder.missed_events",
        EVENTS,
        recorder!(|of, out| out.count(&[], of.missed_events)),
    )
    .help("Events that are not in the recording: it was paused, or fell behind.")
    .told("Status.recorder.missed_events"),
    counter("observer_incidents_opened_total", "observer.incidents.opened", INCIDENTS, Figure::Own(opened))
        .help("Incidents that were opened since the daemon began, by what opened them.")
        .told("Incident.firings")
        .by(&[TRIGGER])
        .exemplars(&TRIGGERS),
    gauge(
        "observer_incidents_open",
        "observer.incidents.open",
        INCIDENTS,
        Figure::Own(|own, out| {
            for (trigger, count) in own.incidents.each() {
                out.count(&[trigger_name(trigger)], count.open);
            }
        }),
    )
    .help("Incidents that are open now, by what opened them.")
    .told("Incident.state")
    .by(&[TRIGGER]),
    gauge("observer_series", "observer.series", SERIES, Figure::Own(|own, out| out.count(&[], own.series.series as u64)))
        .help("Series of workloads and edges that are told.")
        .told("none"),
    gauge("observer_series_limit", "observer.series.limit", SERIES, Figure::Own(|own, out| out.count(&[], own.series.most as u64)))
        .help("How many there may be (max_series).")
        .told("none"),
    counter(
        "observer_series_overflows_total",
        "observer.series.overflows",
        Unit::Things("{figure}"),
        Figure::Own(|own, out| out.count(&[], own.series.overflows)),
    )
    .help("Figures of a second that found no room for series of their own, and are told in those with overflow=\"true\".")
    .told("none"),
    counter(
        "observer_windows_total",
        "observer.windows",
        Unit::Things("{window}"),
        Figure::Own(|own, out| out.count(&[], own.series.windows)),
    )
    .help("Windows of a second that these series are made of.")
    .told("WindowEnd"),
    counter(
        "observer_window_lost_events_total",
        "observer.windows.lost_events",
        EVENTS,
        Figure::Own(|own, out| out.count(&[], own.series.lost_events)),
    )
    .help("Events known to be lost within these windows: their figures lack them.")
    .told("WindowEnd.lost_events"),
];

fn opened(own: &Own, out: &mut Out<'_>) {
    for (trigger, count) in own.incidents.each() {
        out.count(&[trigger_name(trigger)], count.opened);
    }
}
