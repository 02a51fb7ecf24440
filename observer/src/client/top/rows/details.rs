//! All that is to be told of the selected row: its whole name, what is the matter and how that is known.

use observer_proto::v1::{Connection, ListConnectionsResponse, Summary, WorkloadStatus};

use super::super::super::escape::escape;
use super::super::super::listing::{connections::peer, trouble, workloads as listed};
use super::super::super::look::Look;
use super::super::super::summary::{rows, way};
use super::super::super::{container, explain, label};

/// Of a workload: whether it runs, how it ended, how attempts failed and processes ended.
pub(super) fn workload(summary: &Summary, status: Option<&WorkloadStatus>, look: &Look) -> Vec<String> {
    let mut first = vec![placed(summary)];
    first.extend(status.map(|status| listed::state(status, look)).filter(|state| state != "-"));
    first.extend(summary.workload.as_ref().and_then(label::maker));
    let mut second = Vec::new();
    let last_end = status.and_then(|status| status.last_end.as_ref());
    second.extend(last_end.map(|end| format!("last end: {}", container::end(end))));
    second.extend(failures(summary));
    if let Some(processes) = summary.processes.as_ref().filter(|processes| !processes.exits.is_empty()) {
        second.push(format!("exits {}", rows::exits(&processes.exits)));
    }
    told(&first, &second)
}

/// Of an edge: the verdict with the figures that led to it.
pub(super) fn edge(summary: &Summary) -> Vec<String> {
    let mut first = vec![format!("{} {}", placed(summary), way(summary))];
    let Some(diagnosis) = &summary.diagnosis else { return told(&first, &failures(summary)) };
    first.push(explain::name(diagnosis.verdict()).to_owned());
    let mut second: Vec<String> = diagnosis.evidence.iter().map(explain::figure::words).collect();
    second.extend(diagnosis.others.iter().map(|other| format!("also {}", explain::name(other.verdict()))));
    if second.is_empty() {
        second = failures(summary);
    }
    told(&first, &second)
}

/// Of a connection: its process, its addresses and how it stands.
pub(super) fn connection(connection: &Connection, response: &ListConnectionsResponse) -> Vec<String> {
    let tcp = connection.tcp.clone().unwrap_or_default();
    let (source, destination) =
        (label::address(tcp.source.as_ref()), label::address(tcp.destination.as_ref()));
    let mut first = vec![
        peer(connection, &tcp),
        format!("{source} -> {destination}"),
        escape(&connection.state).into_owned(),
    ];
    first.extend(connection.process.as_ref().map(label::process));
    told(&first, &Vec::from_iter(trouble(connection, response)))
}

/// Whose it is, and where several nodes tell, on which one.
fn placed(summary: &Summary) -> String {
    format!("{}{}", label::owner(summary.workload.as_ref()), label::on(&summary.node_name))
}

fn failures(summary: &Summary) -> Vec<String> {
    let failures = summary.tcp.iter().flat_map(|tcp| &tcp.failures);
    let failures: Vec<String> =
        failures.map(|failure| format!("{} {}", failure.count, escape(&failure.error))).collect();
    if failures.is_empty() { Vec::new() } else { vec![format!("failed: {}", failures.join(", "))] }
}

fn told(first: &[String], second: &[String]) -> Vec<String> {
    let lines = [first.join("  "), second.join("; ")];
    lines.into_iter().filter(|line| !line.is_empty()).collect()
}
