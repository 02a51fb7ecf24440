//! What Prometheus is asked of a pod, and what the summaries call it.

use anyhow::Result;
use observer_tests::wait::PATIENCE;
use observer_tests::{Prometheus, eventually};

use super::told::{Figures, Told};

/// Where the pods are.
pub(crate) const NAMESPACE: &str = "prometheus";

/// The metric's selector of a pod.
pub(crate) fn of(metric: &str, pod: &str, more: &str) -> String {
    format!("sum({metric}{{namespace=\"{NAMESPACE}\",pod=\"{pod}\"{more}}})")
}

/// What Prometheus is asked, and what the summaries call it.
pub(crate) fn questions(pod: &str) -> Vec<(String, &'static str)> {
    let tcp = |metric: &str, more: &str| of(&format!("observer_tcp_{metric}"), pod, more);
    vec![
        (tcp("connection_successes_total", ""), "opened"),
        (tcp("connection_failures_total", ""), "failed"),
        (tcp("connection_failures_total", ",error_type=\"refused\""), "failed/refused"),
        (tcp("connection_closes_total", ""), "closed"),
        (tcp("io_bytes_total", ",io_direction=\"transmit\""), "sent_bytes"),
        (tcp("io_bytes_total", ",io_direction=\"receive\""), "received_bytes"),
        (tcp("segments_total", ",io_direction=\"transmit\""), "sent_segments"),
        (tcp("segments_total", ",io_direction=\"receive\""), "received_segments"),
        (tcp("retransmitted_segments_total", ""), "retransmitted_segments"),
        (tcp("retransmits_total", ""), "retransmits"),
        (tcp("resets_total", ",io_direction=\"receive\""), "resets_received"),
        (tcp("resets_total", ",io_direction=\"transmit\""), "resets_sent"),
        (tcp("busy_seconds_total", ""), "busy_ns"),
        (of("observer_process_execs_total", pod, ""), "execs"),
        (of("observer_process_exits_total", pod, ",exit_code=\"0\""), "exits/0"),
        (of("observer_process_exits_total", pod, ",exit_code=\"3\""), "exits/3"),
        (of("observer_container_starts_total", pod, ""), "container_starts"),
        (of("observer_container_stops_total", pod, ""), "container_stops"),
    ]
}

/// The counts of histograms, as classic ones and as native ones.
pub(crate) fn counts(pod: &str, native: bool) -> Vec<(String, &'static str)> {
    let kinds = [("handshake_duration", "handshakes"), ("rtt", "rtts"), ("connection_duration", "lives")];
    let question = |(metric, told): (&str, &'static str)| {
        let name = format!("observer_tcp_{metric}_seconds");
        let query = if native {
            format!("histogram_count({})", of(&name, pod, ""))
        } else {
            of(&format!("{name}_count"), pod, "")
        };
        (query, told)
    };
    kinds.into_iter().map(question).collect()
}

/// Waits until Prometheus tells what the summaries do.
pub(crate) async fn agree(
    prometheus: &Prometheus,
    told: &Told,
    pod: &str,
    all: &[(String, &'static str)],
) -> Result<Figures> {
    eventually(PATIENCE, &format!("Prometheus to tell the figures of {pod}"), async || {
        let figures = told.of(pod);
        for (query, name) in all {
            let expected = figures.sums.get(*name).copied().unwrap_or(0);
            let answer = prometheus.value(query).await?.unwrap_or(0.0);
            // Nanoseconds are told in seconds.
            let scale = if name.ends_with("_ns") { 1e9 } else { 1.0 };
            if (answer * scale).round() as u64 != expected {
                return Ok(Err(format!("{query}: {answer}, and {name} is {expected}")));
            }
        }
        Ok(Ok(figures))
    })
    .await
}
