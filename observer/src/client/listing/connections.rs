//! The table of live connections.

use std::io;

use observer_proto::v1::{Connection, ListConnectionsResponse, PeerEnd, Tcp, TcpFlow};

use super::super::color::Paint;
use super::super::escape::escape;
use super::super::look::Look;
use super::super::nodes::write_missing;
use super::super::table::{Column, NODE, Table, figures, text};
use super::super::time::between;
use super::super::{json, label, units};

/// The columns of connections.
pub(crate) const CONNECTIONS: [Column; 15] = [
    text("WORKLOAD", 24, 0),
    NODE,
    text("DIR", 3, 0),
    text("PEER", 22, 0),
    text("STATE", 11, 3),
    figures("AGE", 7, 2),
    figures("HS", 6, 2),
    figures("ACCEPT", 7, 3),
    figures("RTT", 6, 1),
    figures("OUT", 7, 2),
    figures("IN", 7, 2),
    figures("RETR", 6, 1),
    text("NOW", 24, 1),
    text("PROCESS", 18, 3),
    text("ADDRESSES", 44, 9),
];

/// Writes the connections, as the daemon sorted them.
pub(crate) fn write_connections(
    out: &mut dyn io::Write,
    look: &Look,
    response: &ListConnectionsResponse,
) -> io::Result<()> {
    if look.is_whole() {
        let mut all = response.connections.iter();
        all.try_for_each(|one| json::write_whole(out, look, "Connection", one))?;
        return write_missing(out, look, &response.missing_nodes);
    }
    let mut table = Table::new(CONNECTIONS);
    for connection in &response.connections {
        let again = connection.counters.as_ref().is_some_and(|counters| counters.retransmitted_segments > 0);
        let bad = again || trouble(connection, response).is_some();
        table.row(if bad { Paint::Warning } else { Paint::Plain }, connection_row(connection, response));
    }
    table.write(out, look)?;
    let (shown, total) = (response.connections.len() as u64, response.total);
    let words = match total.saturating_sub(shown) {
        0 if shown == 0 => "no connection matches".to_owned(),
        0 => String::new(),
        more => format!("and {more} more: --limit shows more of them"),
    };
    if !words.is_empty() {
        writeln!(out, "{}", look.painter.paint(Paint::Dim, words))?;
    }
    write_missing(out, look, &response.missing_nodes)
}

/// A connection's row.
pub(crate) fn connection_row(connection: &Connection, response: &ListConnectionsResponse) -> Vec<String> {
    let tcp = connection.tcp.clone().unwrap_or_default();
    let counters = connection.counters.unwrap_or_default();
    let tight = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), |ns| units::tight(&units::duration(ns)));
    let age = connection.start_time.as_ref().zip(response.time.as_ref());
    let local = tcp.destination.as_ref().map_or(0, |end| end.port);
    let owner = label::owner(connection.workload.as_ref());
    let (own, way, peer) = if tcp.outgoing {
        (owner, "out", peer(connection, &tcp))
    } else {
        (format!("{owner}:{local}"), "in", peer(connection, &tcp))
    };
    vec![
        own,
        escape(&connection.node_name).into_owned(),
        way.to_owned(),
        peer,
        escape(&connection.state).into_owned(),
        // One that is older than the daemon is at least so old.
        (if connection.adopted { ">" } else { "" }).to_owned()
            + &tight(age.map(|(start, now)| between(start, now))),
        tight(connection.handshake_latency_ns),
        accept_wait(connection),
        tight(counters.rtt_ns),
        units::tight(&units::bytes(counters.sent_bytes)),
        units::tight(&units::bytes(counters.received_bytes)),
        units::percent(u64::from(counters.retransmitted_segments), counters.sent_segments),
        trouble(connection, response).unwrap_or_else(|| "-".to_owned()),
        connection.process.as_ref().map_or_else(|| "-".to_owned(), label::process),
        format!("{} -> {}", label::address(tcp.source.as_ref()), label::address(tcp.destination.as_ref())),
    ]
}

/// The other end with its port; where that is on another node that a relay asks, as it is known there.
pub(crate) fn peer(connection: &Connection, tcp: &Tcp) -> String {
    let (told, end) = if tcp.outgoing {
        (label::destination(tcp), tcp.backend.as_ref().or(tcp.destination.as_ref()))
    } else {
        (label::endpoint(tcp.source.as_ref()), tcp.source.as_ref())
    };
    let Some(far) = connection.peer.as_ref().filter(|peer| !peer.node_name.is_empty()) else { return told };
    let told = match (&far.workload, end) {
        (Some(workload), Some(end)) if end.workload.is_none() => {
            format!("{}:{}", label::name(workload), end.port)
        }
        _ => told,
    };
    format!("{told}{}", label::on(&far.node_name))
}

/// How long the connection waited for accept(), on whichever side that is: what readings tell of it.
fn accept_wait(connection: &Connection) -> String {
    let tight = |ns| units::tight(&units::duration(ns));
    let outgoing = connection.tcp.as_ref().is_some_and(|tcp| tcp.outgoing);
    let peer = connection.peer.as_ref().and_then(|peer| peer.flow.as_ref());
    let side = if outgoing { peer } else { connection.flow.as_ref() };
    match side.map(|flow| (flow.accept_wait_ns, flow.accept_wait_most_ns)) {
        Some((Some(least), None)) => format!(">{}", tight(least)),
        // Readings are too far apart to say more than that it was less than that.
        Some((Some(_), Some(most))) => format!("<{}", tight(most)),
        Some((None, _)) | None => "-".to_owned(),
    }
}

/// What is remarkable in how a connection stands, the worst first.
pub(crate) fn trouble(connection: &Connection, response: &ListConnectionsResponse) -> Option<String> {
    let flow = connection.flow.as_ref()?;
    let tight = |ns| units::tight(&units::duration(ns));
    let mut words = Vec::new();
    if flow.timeouts > 0 {
        words.push(format!("no answer to {}", units::plural(u64::from(flow.timeouts), "sending")));
    }
    if let Some(closed) = flow.window_closed_ns {
        words.push(format!("peer's window closed for {}", tight(closed)));
    } else if flow.peer_window_bytes == 0 && flow.unsent_bytes > 0 {
        words.push("peer's window closed".to_owned());
    }
    if let Some(closed) = flow.own_window_closed_ns {
        words.push(format!("own window closed for {}", tight(closed)));
    }
    let outgoing = connection.tcp.as_ref().is_some_and(|tcp| tcp.outgoing);
    words.extend(not_accepted(outgoing, &connection.state, flow));
    words.extend(unread(flow));
    if flow.unsent_bytes > 0 {
        words.push(format!("{} unsent", units::tight(&units::bytes(flow.unsent_bytes))));
    }
    if let Some((since, now)) = connection.half_closed_time.as_ref().zip(response.time.as_ref()) {
        words.push(format!("peer is done for {}", tight(between(since, now))));
    }
    if let Some(PeerEnd { state, flow: Some(flow), .. }) = &connection.peer {
        let peer = not_accepted(!outgoing, state, flow).or_else(|| unread(flow));
        words.extend(peer.map(|words| format!("peer: {words}")));
    }
    (!words.is_empty()).then(|| words.join(", "))
}

fn not_accepted(outgoing: bool, state: &str, flow: &TcpFlow) -> Option<String> {
    let waits = !outgoing && !flow.accepted && matches!(state, "ESTABLISHED" | "CLOSE_WAIT");
    let lasts = flow
        .accept_wait_ns
        .map_or_else(String::new, |ns| format!(" for {}", units::tight(&units::duration(ns))));
    waits.then(|| format!("not accepted{lasts}"))
}

fn unread(flow: &TcpFlow) -> Option<String> {
    let lasts = flow
        .unread_ns
        .filter(|ns| *ns > 0)
        .map_or_else(String::new, |ns| format!(" for {}", units::tight(&units::duration(ns))));
    (flow.unread_bytes > 0)
        .then(|| format!("{} unread{lasts}", units::tight(&units::bytes(flow.unread_bytes))))
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::TcpCounters;
    use prost_types::Timestamp;

    use super::super::super::testing;
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
            flow: Some(TcpFlow {
                unread_bytes: 2048,
                unread_ns: Some(3_000_000_000),
                accepted: true,
                ..TcpFlow::default()
            }),
            half_closed_time: None,
            peer: Some(PeerEnd {
                state: "ESTABLISHED".to_owned(),
                flow: Some(TcpFlow { accept_wait_ns: Some(2_000_000_000), ..TcpFlow::default() }),
                ..PeerEnd::default()
            }),
            node_name: String::new(),
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
WORKLOAD            DIR  PEER               STATE          AGE  HS  ACCEPT  RTT  OUT  IN  RETR  NOW  PROCESS        ADDRESSES
shop/cart-7d9f/app  out  shop/redis-0:6379  ESTABLISHED  >1min15s   -  >2.0s  120µs   0B  0B  3.0%  2.0KiB unread for 3.0s, peer: not accepted for 2.0s  pid 4312 cart  10.1.0.7:51722 -> 10.1.0.9:6379
and 4 more: --limit shows more of them
";
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown = String::from_utf8(out).unwrap();
        assert_eq!(squeezed(&shown), squeezed(expected), "\n{shown}");
    }
}
