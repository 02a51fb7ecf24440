//! What a session has seen in all, by container: the summary at its end.

use std::collections::BTreeMap;
use std::io;

use observer_proto::v1::event::Detail;
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{PacketDrop, Signal, TcpResponse, WatchEventsResponse};

use super::super::color::Paint;
use super::super::escape::{escape, quote};
use super::super::label;
use super::super::look::Look;
use super::super::table::{Column, Table, figures, text};
use super::super::units::duration;
use crate::aggregate::Histogram;

/// So many different things of a kind are counted apart.
const MOST: usize = 1_000;
/// So many of them are shown, the most frequent ones.
const SHOWN: usize = 20;
/// What is said of the others.
const OTHERS: &str = "(others)";

/// The sums.
#[derive(Debug, Default)]
pub(super) struct Seen {
    responses: BTreeMap<String, Responses>,
    /// By container, reason and protocol.
    drops: Counts<3>,
    /// By container, signal and who sent it.
    signals: Counts<3>,
    /// By container, error and path.
    opens: Counts<3>,
}

#[derive(Debug, Default)]
struct Responses {
    count: u64,
    whole: Histogram,
    wait: Histogram,
    work: Histogram,
}

/// How often there was each.
#[derive(Debug)]
struct Counts<const N: usize>(BTreeMap<[String; N], u64>);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<const N: usize> Counts<N> {
    fn add(&mut self, mut key: [String; N]) {
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            for part in key.iter_mut().skip(1) {
                OTHERS.clone_into(part);
            }
        }
        *self.0.entry(key).or_default() += 1;
    }

    fn write(&self, out: &mut dyn io::Write, look: &Look, columns: [Column; N]) -> io::Result<()> {
        let mut rows: Vec<_> = self.0.iter().collect();
        rows.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
        let mut table = Table::new(columns.into_iter().chain([figures("COUNT", 7, 0)]).collect::<Vec<_>>());
        for (key, count) in rows.iter().take(SHOWN) {
            let cells = key.iter().cloned().chain([count.to_string()]).collect();
            table.row(Paint::Plain, cells);
        }
        if table.is_empty(look) {
            return Ok(());
        }
        writeln!(out)?;
        table.write(out, look)?;
        match rows.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(out, "and {more} more"),
        }
    }
}

impl Seen {
    pub(super) fn update(&mut self, update: &WatchEventsResponse) {
        let Some(Payload::Event(event)) = &update.payload else { return };
        let owner = label::owner(event.workload.as_ref());
        match &event.detail {
            Some(Detail::TcpResponse(response)) => self.response(owner, response),
            Some(Detail::PacketDrop(PacketDrop { reason, protocol, .. })) => {
                self.drops.add([owner, escape(reason).into_owned(), escape(protocol).into_owned()]);
            }
            Some(Detail::Signal(signal)) => {
                self.signals.add([owner, escape(&signal.signal_name).into_owned(), by(signal)]);
            }
            Some(Detail::OpenFailure(failure)) => {
                let path = quote(&failure.path).into_owned();
                self.opens.add([owner, escape(&failure.error).into_owned(), path]);
            }
            _ => {}
        }
    }

    fn response(&mut self, owner: String, response: &TcpResponse) {
        let TcpResponse { latency_ns, wait_ns, work_ns, .. } = response;
        let owner = if self.responses.len() >= MOST && !self.responses.contains_key(&owner) {
            OTHERS.to_owned()
        } else {
            owner
        };
        let sums = self.responses.entry(owner).or_default();
        sums.count += 1;
        sums.whole.record(*latency_ns);
        for (sum, ns) in [(&mut sums.wait, wait_ns), (&mut sums.work, work_ns)] {
            if let Some(ns) = ns {
                sum.record(*ns);
            }
        }
    }

    /// Writes them as tables; of what there was nothing of, none.
    pub(super) fn write(&self, out: &mut dyn io::Write, look: &Look) -> io::Result<()> {
        let mut table = Table::new([
            text("CONTAINER", 30, 0),
            figures("RESPONSES", 9, 0),
            figures("P50", 7, 0),
            figures("P90", 7, 2),
            figures("P99", 7, 0),
            figures("WAIT P50", 8, 1),
            figures("WAIT P90", 8, 3),
            figures("WAIT P99", 8, 2),
            figures("WORK P50", 8, 1),
            figures("WORK P90", 8, 3),
            figures("WORK P99", 8, 2),
        ]);
        for (owner, sums) in &self.responses {
            let of =
                |histogram: &Histogram, q| histogram.quantile(q).map_or_else(|| "-".to_owned(), duration);
            let each = |histogram: &Histogram| [0.5, 0.9, 0.99].map(|q| of(histogram, q));
            let mut cells = vec![owner.clone(), sums.count.to_string()];
            cells.extend([&sums.whole, &sums.wait, &sums.work].into_iter().flat_map(each));
            table.row(Paint::Plain, cells);
        }
        if !table.is_empty(look) {
            writeln!(out)?;
            table.write(out, look)?;
        }
        let container = text("CONTAINER", 30, 0);
        self.drops.write(out, look, [container, text("DROPPED BECAUSE", 24, 0), text("PROTOCOL", 8, 1)])?;
        self.signals.write(out, look, [container, text("SIGNAL", 10, 0), text("BY", 30, 0)])?;
        self.opens.write(out, look, [container, text("ERROR", 8, 0), text("COULD NOT OPEN", 40, 0)])
    }
}

/// Who sent a signal: by name, as a summary has no use for pids.
fn by(signal: &Signal) -> String {
    let name = signal.sender.as_ref().map(|process| escape(&process.comm).into_owned());
    let owner = signal.sender_workload.as_ref().map(|workload| label::owner(Some(workload)));
    match (name, owner) {
        (Some(name), Some(owner)) => format!("{name} of {owner}"),
        (Some(name), None) => name,
        (None, _) if signal.by_kernel => "the kernel".to_owned(),
        (None, _) => "somebody".to_owned(),
    }
}
