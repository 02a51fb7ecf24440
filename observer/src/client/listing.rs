//! Tables of live connections and of workloads.

use std::io;

use observer_proto::v1::{
    Connection, ListConnectionsResponse, ListListenersResponse, ListWorkloadsResponse, Listener,
    WorkloadKind, WorkloadStatus,
};

use super::color::Paint;
use super::escape::escape;
use super::look::Look;
use super::table::{Column, Table, figures, text};
use super::time::between;
use super::{json, label, units};

const CONNECTIONS: [Column; 13] = [
    text("WORKLOAD", 24, 0),
    text("DIR", 3, 0),
    text("PEER", 22, 0),
    text("STATE", 11, 3),
    figures("AGE", 7, 2),
    figures("HS", 6, 2),
    figures("RTT", 6, 1),
    figures("OUT", 7, 2),
    figures("IN", 7, 2),
    figures("RETR", 6, 1),
    text("NOW", 24, 1),
    text("PROCESS", 18, 3),
    text("ADDRESSES", 44, 9),
];

const LISTENERS: [Column; 8] = [
    text("WORKLOAD", 30, 0),
    text("LISTENS-ON", 24, 0),
    figures("AGE", 7, 2),
    figures("QUEUE", 7, 0),
    figures("MOST", 5, 1),
    figures("OLDEST", 7, 1),
    figures("DROPPED", 7, 0),
    text("PROCESS", 18, 3),
];

const WORKLOADS: [Column; 9] = [
    text("WORKLOAD", 30, 0),
    text("KIND", 9, 1),
    figures("LIVE", 5, 1),
    figures("OPENED", 6, 1),
    figures("EXECS", 6, 1),
    figures("RESTARTS", 8, 2),
    text("FIRST-SEEN", 19, 2),
    text("CONTAINER-ID", 12, 3),
    text("IMAGE", 40, 4),
];

/// Writes the connections, worst first, as the daemon sorted them.
pub(crate) fn write_connections(
    out: &mut dyn io::Write,
    look: &Look,
    response: &ListConnectionsResponse,
) -> io::Result<()> {
    if look.is_json() {
        return response.connections.iter().try_for_each(|one| json::write_json(out, "Connection", one));
    }
    let mut table = Table::new(CONNECTIONS);
    for connection in &response.connections {
        let again = connection.counters.as_ref().is_some_and(|counters| counters.retransmitted_segments > 0);
        table.row(if again { Paint::Warning } else { Paint::Plain }, connection_row(connection, response));
    }
    table.write(out, look)?;
    let (shown, total) = (response.connections.len() as u64, response.total);
    let words = match total.saturating_sub(shown) {
        0 if shown == 0 => "no connection matches".to_owned(),
        0 => return Ok(()),
        more => format!("and {more} more: --limit shows more of them"),
    };
    writeln!(out, "{}", look.painter.paint(Paint::Dim, words))
}

fn connection_row(connection: &Connection, response: &ListConnectionsResponse) -> Vec<String> {
    let tcp = connection.tcp.clone().unwrap_or_default();
    let counters = connection.counters.unwrap_or_default();
    let tight = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), |ns| units::tight(&units::duration(ns)));
    let age = connection.start_time.as_ref().zip(response.time.as_ref());
    let local = tcp.destination.as_ref().map_or(0, |end| end.port);
    let owner = label::owner(connection.workload.as_ref());
    let (own, way, peer) = if tcp.outgoing {
        (owner, "out", label::endpoint(tcp.destination.as_ref()))
    } else {
        (format!("{owner}:{local}"), "in", label::endpoint(tcp.source.as_ref()))
    };
    vec![
        own,
        way.to_owned(),
        peer,
        escape(&connection.state).into_owned(),
        // One that is older than the daemon is at least so old.
        (if connection.adopted { ">" } else { "" }).to_owned()
            + &tight(age.map(|(start, now)| between(start, now))),
        tight(connection.handshake_latency_ns),
        tight(counters.rtt_ns),
        units::tight(&units::bytes(counters.sent_bytes)),
        units::tight(&units::bytes(counters.received_bytes)),
        units::percent(u64::from(counters.retransmitted_segments), counters.sent_segments),
        stands(connection, response),
        connection.process.as_ref().map_or_else(|| "-".to_owned(), label::process),
        format!("{} -> {}", label::address(tcp.source.as_ref()), label::address(tcp.destination.as_ref())),
    ]
}

/// What is remarkable in how a connection stands, the worst first.
fn stands(connection: &Connection, response: &ListConnectionsResponse) -> String {
    let Some(flow) = &connection.flow else { return "-".to_owned() };
    let tight = |ns| units::tight(&units::duration(ns));
    let mut words = Vec::new();
    if flow.backoff > 0 {
        words.push(format!("no answer to {} sendings", flow.timeouts));
    }
    if let Some(closed) = flow.window_closed_ns {
        words.push(format!("peer's window closed for {}", tight(closed)));
    } else if flow.peer_window_bytes == 0 && flow.unsent_bytes > 0 {
        words.push("peer's window closed".to_owned());
    }
    if !flow.accepted && matches!(connection.state.as_str(), "ESTABLISHED" | "CLOSE_WAIT") {
        words.push("not accepted".to_owned());
    }
    if flow.unread_bytes > 0 {
        words.push(format!("{} unread", units::tight(&units::bytes(flow.unread_bytes))));
    }
    if flow.unsent_bytes > 0 {
        words.push(format!("{} unsent", units::tight(&units::bytes(flow.unsent_bytes))));
    }
    if let Some((since, now)) = connection.half_closed_time.as_ref().zip(response.time.as_ref()) {
        words.push(format!("peer is done for {}", tight(between(since, now))));
    }
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

/// Writes the listeners, the fullest first, as the daemon sorted them.
pub(crate) fn write_listeners(
    out: &mut dyn io::Write,
    look: &Look,
    response: &ListListenersResponse,
) -> io::Result<()> {
    if look.is_json() {
        return response.listeners.iter().try_for_each(|one| json::write_json(out, "Listener", one));
    }
    let mut table = Table::new(LISTENERS);
    for listener in &response.listeners {
        let bad = listener.dropped > 0 || listener.queue > listener.queue_limit;
        table.row(if bad { Paint::Warning } else { Paint::Plain }, listener_row(listener, response));
    }
    table.write(out, look)?;
    let words = match response.total.saturating_sub(response.listeners.len() as u64) {
        0 if response.total == 0 => "no listener matches".to_owned(),
        0 => return Ok(()),
        more => format!("and {more} more"),
    };
    writeln!(out, "{}", look.painter.paint(Paint::Dim, words))
}

fn listener_row(listener: &Listener, response: &ListListenersResponse) -> Vec<String> {
    let tight = |ns: u64| units::tight(&units::duration(ns));
    let age =
        listener.start_time.as_ref().zip(response.time.as_ref()).map(|(start, now)| between(start, now));
    let older = if listener.adopted { ">" } else { "" };
    let address = match listener.address.parse() {
        Ok(address) => std::net::SocketAddr::new(address, listener.port as u16).to_string(),
        Err(_) => format!("{}:{}", escape(&listener.address), listener.port),
    };
    vec![
        label::owner(listener.workload.as_ref()),
        address,
        age.map_or_else(|| "-".to_owned(), |age| format!("{older}{}", tight(age))),
        format!("{}/{}", listener.queue, listener.queue_limit),
        listener.queue_most.to_string(),
        listener.oldest_wait_ns.map_or_else(|| "-".to_owned(), tight),
        listener.dropped.to_string(),
        listener.process.as_ref().map_or_else(|| "-".to_owned(), label::process),
    ]
}

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
        workload.restart_count.map_or_else(|| "-".to_owned(), |count| count.to_string()),
        status.first_seen.as_ref().map_or_else(|| "-".to_owned(), |time| look.clock().date(time)),
        dash(label::short(&workload.container_id)),
        dash(&workload.image),
    ]
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::{TcpCounters, TcpFlow};
    use prost_types::Timestamp;

    use super::super::testing;
    use super::*;

    #[test]
    fn connections_have_both_sides_and_an_age() {
        let counters = TcpCounters {
            rtt_ns: Some(120_000),
            sent_segments: 100,
            retransmitted_segments: 3,
            ..TcpCounters::default()
        };
        let connection = Connection {
            tcp: Some(testing::tcp(true)),
            workload: Some(testing::pod("shop", "cart-7d9f", "app")),
            process: Some(testing::process()),
            state: "ESTABLISHED".to_owned(),
            start_time: Some(Timestamp { seconds: testing::AT.seconds - 75, ..testing::AT }),
            handshake_latency_ns: None,
            counters: Some(counters),
            adopted: true,
            flow: Some(TcpFlow { unread_bytes: 2048, accepted: true, ..TcpFlow::default() }),
            half_closed_time: None,
        };
        let response = ListConnectionsResponse {
            connections: vec![connection],
            total: 5,
            time: Some(testing::AT),
            ..ListConnectionsResponse::default()
        };
        let mut out = Vec::new();
        write_connections(&mut out, &testing::look(), &response).unwrap();
        let expected = "\
WORKLOAD            DIR  PEER               STATE          AGE  HS    RTT  OUT  IN  RETR  NOW  PROCESS        ADDRESSES
shop/cart-7d9f/app  out  shop/redis-0:6379  ESTABLISHED  >1min15s   -  120µs   0B  0B  3.0%  2.0KiB unread  pid 4312 cart  10.1.0.7:51722 -> 10.1.0.9:6379
and 4 more: --limit shows more of them
";
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown = String::from_utf8(out).unwrap();
        assert_eq!(squeezed(&shown), squeezed(expected), "\n{shown}");
    }

    #[test]
    fn workloads_of_every_kind() {
        let mut host = WorkloadStatus { live_connections: 2, ..WorkloadStatus::default() };
        host.workload.get_or_insert_default().set_kind(WorkloadKind::Host);
        let pod = WorkloadStatus {
            workload: Some(testing::pod("shop", "cart-7d9f", "app")),
            first_seen: Some(testing::AT),
            ..WorkloadStatus::default()
        };
        let response =
            ListWorkloadsResponse { workloads: vec![host, pod], ..ListWorkloadsResponse::default() };
        let mut out = Vec::new();
        write_workloads(&mut out, &testing::look(), &response).unwrap();
        let expected = "\
WORKLOAD            KIND  LIVE  OPENED  EXECS  RESTARTS  FIRST-SEEN           CONTAINER-ID  IMAGE
host                host     2       0      0         -  -                    -             -
shop/cart-7d9f/app  pod      0       0      0         -  2026-01-31 08:12:03  0123456789ab  -
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
