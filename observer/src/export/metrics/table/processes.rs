//! Metrics of processes and containers.

use observer_proto::v1::TriggerKind;

use super::{EVENTS, Figure, Metric, Out, Unit, Word, counter, gauge, word};
use crate::event::{Ending, signal_name};
use crate::export::metrics::totals::ProcessTotals;

const PROCESSES: Unit = Unit::Things("{process}");
const CONTAINERS: Unit = Unit::Things("{container}");

const EXIT_CODE: Word = word("exit_code", "process.exit.code");
const SIGNAL: Word = word("signal", "process.exit.signal");

/// Tells of processes, as far as there are any.
macro_rules! processes {
    ($take:expr) => {
        Figure::Processes(|seen, out| {
            let take: fn(&ProcessTotals, &mut Out<'_>) = $take;
            if let Some(processes) = seen.processes() {
                take(processes, out);
            }
        })
    };
}

pub(super) const METRICS: &[Metric] = &[
    counter(
        "observer_process_execs_total",
        "process.execs",
        PROCESSES,
        processes!(|of, out| out.count(&[], of.execs)),
    )
    .help("Programs that were executed.")
    .told("Summary.processes.execs"),
    counter("observer_process_exits_total", "process.exits", PROCESSES, processes!(exits))
        .help("Processes that ended, by exit code or signal; both are empty where it is not known how.")
        .told("Summary.processes.exits")
        .by(&[EXIT_CODE, SIGNAL]),
    counter(
        "observer_process_oom_kills_total",
        "process.oom_kills",
        PROCESSES,
        processes!(|of, out| out.count(&[], of.oom_kills)),
    )
    .help("Processes that the kernel killed because memory ran out.")
    .told("Summary.processes.oom_kills")
    .exemplars(&[TriggerKind::OomKill]),
    counter(
        "observer_container_starts_total",
        "container.starts",
        CONTAINERS,
        processes!(|of, out| out.count(&[], of.container_starts)),
    )
    .help("Containers that started.")
    .told("Summary.processes.container_starts"),
    counter(
        "observer_container_stops_total",
        "container.stops",
        CONTAINERS,
        processes!(|of, out| out.count(&[], of.container_stops)),
    )
    .help("Containers that ended.")
    .told("Summary.processes.container_stops")
    .exemplars(&[TriggerKind::ContainerFailure, TriggerKind::CrashLoop]),
    counter(
        "observer_process_folded_events_total",
        "observer.process.folded_events",
        EVENTS,
        processes!(|of, out| out.count(&[], of.folded)),
    )
    .help("Events of these figures that were only counted, since the workload was beyond its budget.")
    .told("Summary.processes.folded_events"),
    gauge(
        "observer_container_restarts",
        "container.restarts",
        Unit::Things("{restart}"),
        Figure::Listed(|seen, out| {
            if let Some(listed) = seen.listed() {
                out.count(&[], listed.restarts);
            }
        }),
    )
    .help("Restarts of the containers that are there, as the runtime counts them or as they were seen. Absent where there was none.")
    .told("WorkloadStatus.restarts_seen, workload.restart_count"),
    gauge(
        "observer_container_crash_loops",
        "container.crash_loops",
        CONTAINERS,
        Figure::Listed(|seen, out| {
            if let Some(listed) = seen.listed() {
                out.count(&[], listed.crash_loops);
            }
        }),
    )
    .help("Containers that end with failure again and again.")
    .told("WorkloadStatus.crash_loop"),
];

fn exits(of: &ProcessTotals, out: &mut Out<'_>) {
    for (ending, count) in &of.exits {
        match ending {
            Ending::Code(code) => out.count(&[&code.to_string(), ""], *count),
            Ending::Signal { signal, core_dumped: _ } => out.count(&["", &signal_name(*signal)], *count),
        }
    }
    if of.other_exits > 0 {
        out.count(&["", ""], of.other_exits);
    }
}
