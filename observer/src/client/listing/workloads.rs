//! The table of workloads.

use std::io;

use observer_proto::v1::{ContainerState, EndKind, ListWorkloadsResponse, WorkloadKind, WorkloadStatus};

use super::super::color::Paint;
use super::super::escape::escape;
use super::super::look::Look;
use super::super::nodes::write_missing;
use super::super::table::{Column, NODE, Table, figures, text};
use super::super::units::duration;
use super::super::{container, json, label};

/// Its columns.
pub(crate) const WORKLOADS: [Column; 13] = [
    text("WORKLOAD", 30, 0),
    NODE,
    text("KIND", 9, 1),
    text("STATE", 10, 1),
    figures("LIVE", 5, 1),
    figures("OPENED", 6, 1),
    figures("EXECS", 6, 1),
    figures("RESTARTS", 8, 2),
    text("LAST-END", 30, 2),
    figures("READY-AFTER", 11, 3),
    text("FIRST-SEEN", 19, 2),
    text("CONTAINER-ID", 12, 3),
    text("IMAGE", 40, 4),
];

/// Writes the workloads, in their order.
pub(crate) fn write_workloads(
    out: &mut dyn io::Write,
    look: &Look,
    response: &ListWorkloadsResponse,
) -> io::Result<()> {
    if look.is_whole() {
        let mut all = response.workloads.iter();
        all.try_for_each(|one| json::write_whole(out, look, "WorkloadStatus", one))?;
        return write_missing(out, look, &response.missing_nodes);
    }
    let mut table = Table::new(WORKLOADS);
    for workload in &response.workloads {
        table.row(paint(workload), workload_row(workload, look));
    }
    table.write(out, look)?;
    if response.workloads.is_empty() {
        writeln!(out, "{}", look.painter.paint(Paint::Dim, "no workload matches"))?;
    }
    write_missing(out, look, &response.missing_nodes)
}

fn workload_row(status: &WorkloadStatus, look: &Look) -> Vec<String> {
    let workload = status.workload.clone().unwrap_or_default();
    let kind = match workload.kind() {
        WorkloadKind::Unspecified => "-",
        WorkloadKind::Pod => "pod",
        WorkloadKind::Container => "container",
        WorkloadKind::Unit => "unit",
        WorkloadKind::Host => "host",
    };
    let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { escape(text).into_owned() };
    vec![
        label::owner(Some(&workload)),
        escape(&status.node_name).into_owned(),
        kind.to_owned(),
        state(status, look),
        status.live_connections.to_string(),
        status.connections_opened.to_string(),
        status.execs.to_string(),
        restarts(status).map_or_else(|| "-".to_owned(), |count| count.to_string()),
        status.last_end.as_ref().map_or_else(|| "-".to_owned(), container::end),
        status.ready_after_ns.map_or_else(|| "-".to_owned(), duration),
        status.first_seen.as_ref().map_or_else(|| "-".to_owned(), |time| look.clock().date(time)),
        dash(label::short(&workload.container_id)),
        dash(&workload.image),
    ]
}

/// How often a container was started again, where that is known.
pub(crate) fn restarts(status: &WorkloadStatus) -> Option<u32> {
    // The runtime counts restarts that were before the daemon, too.
    let counted = status.workload.as_ref().and_then(|workload| workload.restart_count);
    let seen = status.restarts_seen;
    counted.map(|counted| counted.max(seen)).or((seen > 0).then_some(seen))
}

/// Whether a container runs, since when it does not, and whether it fails again and again.
pub(crate) fn state(status: &WorkloadStatus, look: &Look) -> String {
    let ended = status.last_end.as_ref().and_then(|end| end.time.as_ref());
    let state = match status.state() {
        ContainerState::Unspecified => return "-".to_owned(),
        ContainerState::Running => "running".to_owned(),
        ContainerState::Ended => {
            ended.map_or_else(|| "ended".to_owned(), |time| format!("ended {}", look.clock().date(time)))
        }
    };
    if status.crash_loop { format!("crash loop, {state}") } else { state }
}

/// The colour of its row.
pub(crate) fn paint(status: &WorkloadStatus) -> Paint {
    let failed = status.last_end.as_ref().is_some_and(|end| end.kind() != EndKind::Completed);
    match status.state() {
        _ if status.crash_loop => Paint::Failure,
        ContainerState::Ended if failed => Paint::Warning,
        ContainerState::Unspecified | ContainerState::Running | ContainerState::Ended => Paint::Plain,
    }
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::ContainerEnd;

    use super::super::super::testing;
    use super::*;

    #[test]
    fn workloads_of_every_kind() {
        let mut host = WorkloadStatus { live_connections: 2, ..WorkloadStatus::default() };
        host.workload.get_or_insert_default().set_kind(WorkloadKind::Host);
        let last_end =
            ContainerEnd { code: Some(1), run_time_ns: Some(2_000_000_000), ..ContainerEnd::default() };
        let pod = WorkloadStatus {
            workload: Some(testing::pod("shop", "cart-7d9f", "app")),
            first_seen: Some(testing::AT),
            restarts_seen: 2,
            last_end: Some(ContainerEnd { kind: EndKind::Error.into(), ..last_end }),
            ready_after_ns: Some(1_500_000_000),
            state: ContainerState::Running.into(),
            ..WorkloadStatus::default()
        };
        let mut rests =
            WorkloadStatus { state: ContainerState::Ended.into(), crash_loop: true, ..pod.clone() };
        rests.last_end.as_mut().unwrap().time = Some(testing::AT);
        let workloads = vec![host, pod, rests];
        let response = ListWorkloadsResponse { workloads, ..ListWorkloadsResponse::default() };
        let mut out = Vec::new();
        write_workloads(&mut out, &testing::look(), &response).unwrap();
        let expected = "\
WORKLOAD            KIND  STATE                                  LIVE  OPENED  EXECS  RESTARTS  LAST-END                   READY-AFTER  FIRST-SEEN           CONTAINER-ID  IMAGE
host                host  -                                         2       0      0         -  -                                    -  -                    -             -
shop/cart-7d9f/app  pod   running                                   0       0      0         2  error: code 1 after 2.0 s        1.5 s  2026-01-31 08:12:03  0123456789ab  -
shop/cart-7d9f/app  pod   crash loop, ended 2026-01-31 08:12:03     0       0      0         2  error: code 1 after 2.0 s        1.5 s  2026-01-31 08:12:03  0123456789ab  -
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
