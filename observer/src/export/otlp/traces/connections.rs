//! Connections: which are told, and their two sides brought together.
//!
//! A connection is told once it has ended, and then both of its sides that are on this node: either of them may have failed or
//! been slow. What nobody wants to know of by then waits for a while, as an incident may be opened about it.

mod drafts;
mod end;
mod pair;

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::HashMap;

use super::super::ids::{Ends, Side, SpanName};
use super::RECENT_NS;
use super::generations::Generations;
use super::incidents::{Incidents, Parties};
use super::span::Told;
use crate::event::{Detail, Event, ResetDirection, Tcp, TcpClose, TcpConnectFailure, TcpReset, WallTime};
use crate::room::Room;

use self::drafts::Drafts;
use self::end::{Closed, End};
use self::pair::Pair;

/// Connections that are remembered while they live, twice.
const MOST: usize = 16_384;
/// Connections that have ended and may yet be wanted.
const MOST_RECENT: usize = 1_024;
/// Sides that have ended and wait for the other one to end, and may be told then.
const MOST_HELD: usize = 4_096;
/// What happened to connections that live is kept so many times in all.
const MOST_NOTES: usize = 65_536;

/// What is slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::export::otlp) struct Slow {
    /// A connection that took so long to be established.
    pub(in crate::export::otlp) connect_ns: Option<u64>,
    /// One with such a round-trip time at its end.
    pub(in crate::export::otlp) rtt_ns: Option<u64>,
}

/// All that live, and some that lived.
#[derive(Debug)]
pub(super) struct Connections {
    drafts: Drafts,
    slow: Slow,
    pairs: Generations<Ends, Pair>,
    recent: VecDeque<(Ends, Pair)>,
    /// How many of them are held.
    held: usize,
    room: Room,
    /// Of all of `pairs`.
    notes: usize,
}

impl Connections {
    pub(super) fn new(node_name: &Arc<str>, slow: Slow, room: &Room) -> Self {
        Self {
            drafts: Drafts { node_name: Arc::clone(node_name) },
            slow,
            pairs: Generations::new(MOST),
            recent: VecDeque::new(),
            held: 0,
            room: room.clone(),
            notes: 0,
        }
    }

    /// Takes an event in, and says its span where that is or will be told.
    pub(super) fn event(
        &mut self,
        event: &Arc<Event>,
        incidents: &mut Incidents,
        told: &mut Vec<Told>,
    ) -> Option<SpanName> {
        let tcp = event.tcp()?;
        match &event.detail {
            Detail::TcpConnect(connect) => self.open(event, tcp, Some(connect.handshake_latency_ns)),
            Detail::TcpAccept(accept) => self.open(event, tcp, accept.handshake_latency_ns),
            Detail::TcpConnectFailure(failure) => Some(self.failed(event, failure, incidents, told)),
            Detail::TcpReset(reset) => {
                let failed = is_failure(reset);
                self.noted(event, tcp, failed).or_else(|| self.aborted(event, tcp, failed, incidents, told))
            }
            Detail::TcpClose(close) => self.close(event, close, incidents, told),
            Detail::TcpRetransmit(_)
            | Detail::TcpConnectPending(_)
            | Detail::TcpResponse(_)
            | Detail::ProcessExec(_)
            | Detail::ProcessExit(_)
            | Detail::OomKill(_)
            | Detail::ContainerStart(_)
            | Detail::ContainerStop(_)
            | Detail::ContainerReady(_)
            | Detail::ContainerCrashLoop(_)
            | Detail::PacketDrop(_)
            | Detail::Signal(_)
            | Detail::OpenFailure(_) => self.noted(event, tcp, false),
        }
    }

    fn open(&mut self, event: &Event, tcp: &Tcp, handshake_ns: Option<u64>) -> Option<SpanName> {
        let (ends, side) = (Ends::of(tcp), Side::of(tcp));
        let known = self.take(&ends);
        if known.is_none() && !self.room.is_left() {
            return None;
        }
        let mut pair = known.unwrap_or_default();
        // The same ends used once more are another connection.
        let is_same = |end: &End| end.closed.is_none() && end.established.0.abs_diff(event.time.0) < SAME_NS;
        if pair.side(side).is_some() || pair.side(side.other()).as_ref().is_some_and(|end| !is_same(end)) {
            pair = Pair::default();
        }
        pair.wanted |= self.slow.connect_ns.is_some_and(|slow| handshake_ns.is_some_and(|took| took >= slow));
        *pair.side(side) = Some(End::new(tcp, event.time, handshake_ns));
        let name = self.name(&ends, &pair, side);
        self.put(ends, pair);
        name
    }

    /// Something happened to a connection.
    fn noted(&mut self, event: &Event, tcp: &Tcp, failed: bool) -> Option<SpanName> {
        let (ends, side) = (Ends::of(tcp), Side::of(tcp));
        let has_room = self.notes < MOST_NOTES && self.room.is_left();
        let mut pair = self.take(&ends)?;
        let end = pair.side(side).as_mut().filter(|end| end.id == tcp.id);
        let is_known = end.is_some();
        if let Some(end) = end {
            end.note(event, has_room);
            end.reset |= failed;
            pair.wanted |= failed;
        }
        let name = self.name(&ends, &pair, side).filter(|_| is_known);
        self.put(ends, pair);
        name
    }

    /// A reset of a connection that has ended: who aborts one closes it, and then sends the reset.
    fn aborted(
        &mut self,
        event: &Event,
        tcp: &Tcp,
        failed: bool,
        incidents: &mut Incidents,
        told: &mut Vec<Told>,
    ) -> Option<SpanName> {
        if !failed {
            return None;
        }
        let (ends, side) = (Ends::of(tcp), Side::of(tcp));
        let is_it = |(of, pair): &(Ends, Pair)| *of == ends && pair.sides().any(|end| end.id == tcp.id);
        let place = self.recent.iter().rposition(is_it)?;
        let (_, mut pair) = self.recent.remove(place)?;
        if let Some(end) = pair.side(side) {
            end.note(event, true);
            end.reset = true;
        }
        pair.wanted = true;
        self.drafts.tell(&ends, &mut pair, incidents, told);
        self.name(&ends, &pair, side)
    }

    fn failed(
        &self,
        event: &Arc<Event>,
        failure: &TcpConnectFailure,
        incidents: &mut Incidents,
        told: &mut Vec<Told>,
    ) -> SpanName {
        let ends = Ends::of(&failure.tcp);
        let name = ends.attempt(failure.tcp.id, event.time, &self.drafts.node_name);
        told.push(drafts::failed(event, failure, name, incidents));
        name
    }

    fn close(
        &mut self,
        event: &Arc<Event>,
        close: &TcpClose,
        incidents: &mut Incidents,
        told: &mut Vec<Told>,
    ) -> Option<SpanName> {
        let (ends, side) = (Ends::of(&close.tcp), Side::of(&close.tcp));
        let mut pair = self.take(&ends).unwrap_or_default();
        if pair.side(side).as_ref().is_none_or(|end| end.id != close.tcp.id) {
            // Its beginning was not seen, or is forgotten. What is there is another connection's.
            if pair.side(side).is_some() {
                pair = Pair::default();
            }
            let start = WallTime(event.time.0.saturating_sub(close.duration_ns.unwrap_or(0)));
            *pair.side(side) = Some(End::new(&close.tcp, start, None));
        }
        let is_slow =
            self.slow.rtt_ns.is_some_and(|slow| close.counters.rtt_ns.is_some_and(|rtt| rtt >= slow));
        let parties = || Parties::of_connection(event.workload.as_deref(), &close.tcp);
        pair.wanted |= close.errno != 0 || is_slow || (!incidents.is_empty() && incidents.want(&parties()));
        if let Some(end) = pair.side(side) {
            end.closed = Some(Closed { time: event.time, event: Some(Arc::clone(event)) });
        }
        let name = self.name(&ends, &pair, side);
        self.drafts.tell(&ends, &mut pair, incidents, told);
        if pair.is_over() {
            if !pair.wanted && !incidents.is_empty() {
                incidents.omit(&parties());
            }
            self.keep(ends, pair, event.time);
            return name;
        }
        if self.held >= MOST_HELD || !self.room.is_left() {
            // What becomes of the other side is told all the same.
            pair.sides_mut().filter_map(|end| end.closed.as_mut()).for_each(|closed| closed.event = None);
        }
        self.put(ends, pair);
        name
    }

    /// Incidents were opened: what ended lately is looked at once more.
    pub(super) fn look_back(&mut self, incidents: &mut Incidents, told: &mut Vec<Told>) {
        for (ends, pair) in &mut self.recent {
            let closed: Vec<Arc<Event>> =
                pair.sides().filter_map(|end| end.closed.as_ref()?.event.clone()).collect();
            pair.wanted |= closed.iter().any(|event| {
                event.tcp().is_some_and(|tcp| {
                    incidents.want(&Parties::of_connection(event.workload.as_deref(), tcp))
                })
            });
            self.drafts.tell(ends, pair, incidents, told);
        }
        self.recent.retain(|(_, pair)| !pair.wanted);
    }

    /// What has ended waits for a while, unless it is told.
    fn keep(&mut self, ends: Ends, pair: Pair, now: WallTime) {
        let is_old = |(_, pair): &(Ends, Pair)| {
            pair.sides()
                .filter_map(|end| end.closed.as_ref())
                .all(|closed| closed.time.0.saturating_add(RECENT_NS) < now.0)
        };
        let most = if self.room.is_left() { MOST_RECENT } else { 0 };
        while self.recent.front().is_some_and(is_old) || self.recent.len() > most.saturating_sub(1) {
            self.recent.pop_front();
        }
        if !pair.wanted && most > 0 {
            self.recent.push_back((ends, pair));
        }
    }

    fn name(&self, ends: &Ends, pair: &Pair, side: Side) -> Option<SpanName> {
        self.drafts.name(ends, pair, side).filter(|_| pair.wanted)
    }

    fn take(&mut self, ends: &Ends) -> Option<Pair> {
        let pair = self.pairs.take(ends)?;
        self.held = self.held.saturating_sub(usize::from(pair.is_held()));
        self.notes = self.notes.saturating_sub(pair.notes());
        Some(pair)
    }

    fn put(&mut self, ends: Ends, pair: Pair) {
        self.held += usize::from(pair.is_held());
        self.notes += pair.notes();
        for pair in self.pairs.put(ends, pair).iter().flat_map(HashMap::values) {
            self.held = self.held.saturating_sub(usize::from(pair.is_held()));
            self.notes = self.notes.saturating_sub(pair.notes());
        }
    }
}

/// Both sides of a connection say that it was established within this time.
const SAME_NS: u64 = 10_000_000_000;

/// A reset that ended a connection, rather than one for a segment that came after its end.
fn is_failure(reset: &TcpReset) -> bool {
    match reset.direction {
        ResetDirection::Received => true,
        ResetDirection::Sent => reset.tcp.id.0 != 0,
    }
}
