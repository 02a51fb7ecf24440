//! Metrics of the exporters, those of other formats as well.

use super::{Metric, Unit, Word, counter, gauge, status, word};
use crate::status::ExporterState;

const UPDATES: Unit = Unit::Things("{update}");

const EXPORTER: Word = word("exporter", "observer.exporter.name");
const KIND: Word = word("kind", "observer.exporter.kind");
const STATE: Word = word("state", "observer.exporter.state");
const REASON: Word = word("reason", "observer.loss.reason");

const STATES: [(ExporterState, &str); 3] = [
    (ExporterState::Starting, "starting"),
    (ExporterState::Running, "running"),
    (ExporterState::Retrying, "retrying"),
];

pub(super) const METRICS: &[Metric] = &[
    gauge(
        "observer_exporter_running",
        "observer.exporter.running",
        Unit::None,
        status!(|of, out| for one in &of.exporters {
            out.count(&[&one.name, one.kind], u64::from(one.state == ExporterState::Running));
        }),
    )
    .help("1 where nothing keeps an exporter from sending, 0 where it has sent nothing yet, or tries again.")
    .told("Status.exporters.state")
    .by(&[EXPORTER, KIND]),
    gauge(
        "observer_exporter_state",
        "observer.exporter.state",
        Unit::None,
        status!(|of, out| for one in &of.exporters {
            for (state, name) in STATES {
                out.count(&[&one.name, one.kind, name], u64::from(one.state == state));
            }
        }),
    )
    .help("1 for the state that an exporter is in, 0 for the others: starting, running, retrying.")
    .told("Status.exporters.state")
    .by(&[EXPORTER, KIND, STATE]),
    gauge(
        "observer_exporter_queued",
        "observer.exporter.queued",
        UPDATES,
        status!(|of, out| for one in &of.exporters {
            out.count(&[&one.name, one.kind], one.queued);
        }),
    )
    .help("Updates that wait in an exporter's queue.")
    .told("Status.exporters.queued")
    .by(&[EXPORTER, KIND]),
    counter(
        "observer_exporter_sent_total",
        "observer.exporter.sent",
        UPDATES,
        status!(|of, out| for one in &of.exporters {
            out.count(&[&one.name, one.kind], one.sent);
        }),
    )
    .help("What was taken from an exporter: lines, messages, records, scrapes.")
    .told("Status.exporters.sent")
    .by(&[EXPORTER, KIND]),
    counter(
        "observer_exporter_lost_total",
        "observer.exporter.lost",
        UPDATES,
        status!(|of, out| for one in &of.exporters {
            for (reason, count) in &one.lost {
                out.count(&[&one.name, one.kind, reason], *count);
            }
        }),
    )
    .help("What an exporter will never send, by reason.")
    .told("Status.exporters.lost")
    .by(&[EXPORTER, KIND, REASON]),
    counter(
        "observer_exporter_retries_total",
        "observer.exporter.retries",
        Unit::Things("{retry}"),
        status!(|of, out| for one in &of.exporters {
            out.count(&[&one.name, one.kind], one.retries);
        }),
    )
    .help("How often an exporter tried again.")
    .told("Status.exporters.retries")
    .by(&[EXPORTER, KIND]),
    gauge(
        "observer_exporter_last_success_timestamp_seconds",
        "observer.exporter.last_success",
        Unit::Seconds,
        status!(|of, out| for one in &of.exporters {
            if let Some(time) = one.last_success {
                out.nanoseconds(&[&one.name, one.kind], time.0);
            }
        }),
    )
    .help("When something was last taken from an exporter, in seconds since 1970.")
    .told("Status.exporters.last_success")
    .by(&[EXPORTER, KIND]),
];
