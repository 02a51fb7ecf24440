//! The table of sockets that listen.

use std::io;

use observer_proto::v1::{ListListenersResponse, Listener};

use super::super::color::Paint;
use super::super::escape::escape;
use super::super::look::Look;
use super::super::nodes::write_missing;
use super::super::table::{Column, NODE, Table, figures, text};
use super::super::time::between;
use super::super::{json, label, units};

/// Its columns.
pub(crate) const LISTENERS: [Column; 10] = [
    text("WORKLOAD", 30, 0),
    NODE,
    text("LISTENS-ON", 24, 0),
    figures("AGE", 7, 2),
    figures("QUEUE", 7, 0),
    figures("MOST", 5, 1),
    figures("OLDEST", 7, 1),
    figures("DROPPED", 7, 0),
    figures("OVERFLOWED", 10, 1),
    text("PROCESS", 18, 3),
];

/// Writes the listeners, the fullest first, as the daemon sorted them.
pub(crate) fn write_listeners(
    out: &mut dyn io::Write,
    look: &Look,
    response: &ListListenersResponse,
) -> io::Result<()> {
    if look.is_whole() {
        let mut all = response.listeners.iter();
        all.try_for_each(|one| json::write_whole(out, look, "Listener", one))?;
        return write_missing(out, look, &response.missing_nodes);
    }
    let mut table = Table::new(LISTENERS);
    for listener in &response.listeners {
        let bad = listener.dropped > 0 || listener.queue > listener.queue_limit;
        table.row(if bad { Paint::Warning } else { Paint::Plain }, listener_row(listener, response));
    }
    table.write(out, look)?;
    let words = match response.total.saturating_sub(response.listeners.len() as u64) {
        0 if response.total == 0 => "no listener matches".to_owned(),
        0 => String::new(),
        more => format!("and {more} more"),
    };
    if !words.is_empty() {
        writeln!(out, "{}", look.painter.paint(Paint::Dim, words))?;
    }
    write_missing(out, look, &response.missing_nodes)
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
        escape(&listener.node_name).into_owned(),
        address,
        age.map_or_else(|| "-".to_owned(), |age| format!("{older}{}", tight(age))),
        format!("{}/{}", listener.queue, listener.queue_limit),
        listener.queue_most.to_string(),
        listener.oldest_wait_ns.map_or_else(|| "-".to_owned(), tight),
        listener.dropped.to_string(),
        listener.overflowed.map_or_else(|| "-".to_owned(), |count| count.to_string()),
        listener.process.as_ref().map_or_else(|| "-".to_owned(), label::process),
    ]
}
