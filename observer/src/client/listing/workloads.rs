//! The table of workloads.

use std::io;

use observer_proto::v1::{ListWorkloadsResponse, WorkloadKind, WorkloadStatus};

use super::super::color::Paint;
use super::super::escape::escape;
use super::super::look::Look;
use super::super::table::{Column, Table, figures, text};
use super::super::units::duration;
use super::super::{container, json, label};

const WORKLOADS: [Column; 11] = [
    text("WORKLOAD", 30, 0),
    text("KIND", 9, 1),
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

/// Writes the workloads, as the daemon sorted them.
pub(crate) fn write_workloads(
    out: &mut dyn io::Write,
    look: &Look,
    response: &ListWorkloadsResponse,
) -> io::Result<()> {
    if look.is_json() {
        return response.workloads.iter().try_for_each(|one| json::write_json(out, "WorkloadStatus", one));
    }
    let mut table = Table::new(WORKLOADS);
    for workload in &response.workloads {
        table.row(Paint::Plain, workload_row(workload, look));
    }
    table.write(out, look)?;
    if response.workloads.is_empty() {
        writeln!(out, "{}", look.painter.paint(Paint::Dim, "no workload matches"))?;
    }
    Ok(())
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
        kind.to_owned(),
        status.live_connections.to_string(),
        status.connections_opened.to_string(),
        status.execs.to_string(),
        // The runtime counts restarts that were before the daemon, too.
        workload
            .restart_count
            .map(|counted| counted.max(status.restarts_seen))
            .or((status.restarts_seen > 0).then_some(status.restarts_seen))
            .map_or_else(|| "-".to_owned(), |count| count.to_string()),
        status.last_end.as_ref().map_or_else(|| "-".to_owned(), container::end),
        status.ready_after_ns.map_or_else(|| "-".to_owned(), duration),
        status.first_seen.as_ref().map_or_else(|| "-".to_owned(), |time| look.clock().date(time)),
        dash(label::short(&workload.container_id)),
        dash(&workload.image),
    ]
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::{ContainerEnd, EndKind};

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
            ..WorkloadStatus::default()
        };
        let response =
            ListWorkloadsResponse { workloads: vec![host, pod], ..ListWorkloadsResponse::default() };
        let mut out = Vec::new();
        write_workloads(&mut out, &testing::look(), &response).unwrap();
        let expected = "\
WORKLOAD            KIND  LIVE  OPENED  EXECS  RESTARTS  LAST-END                   READY-AFTER  FIRST-SEEN           CONTAINER-ID  IMAGE
host                host     2       0      0         -  -                                    -  -                    -             -
shop/cart-7d9f/app  pod      0       0      0         2  error: code 1 after 2.0 s        1.5 s  2026-01-31 08:12:03  0123456789ab  -
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
