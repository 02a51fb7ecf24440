//! Those who follow: the event loop hands each update to them and never waits for one.

use std::sync::Arc;

use super::history::{self, Span};
use super::queue::{Gone, Item, Page, Past, Sink};
use super::{EventsRequest, Filters, SummariesRequest};
use crate::event::{BootTime, Event, FoldNotice, Loss, LossSource, Now, WallTime, Window, Workload};
use crate::room::Room;
use crate::status::Table;
use crate::wire::Published;

/// The bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Streams at a time, of both kinds together.
    pub(crate) subscribers: usize,
    /// Bytes of events kept for those who ask for what happened.
    pub(crate) history_bytes: usize,
    /// Base windows kept, so that a new subscriber need not wait for its first window.
    pub(crate) kept_windows: usize,
    /// Workloads and edges in the kept windows. One costs about 500 bytes.
    pub(crate) kept_entries: usize,
}

/// So many events of the memory are handed to a stream at a time: what they hold on to is not bounded with the memory.
const PAGE: usize = 512;

impl Default for Limits {
    fn default() -> Self {
        Self { subscribers: 1_000, history_bytes: 32 << 20, kept_windows: 60, kept_entries: 20_000 }
    }
}

/// The streams that are open, and what new ones get first.
#[derive(Debug)]
pub(crate) struct Subscribers {
    node_name: Arc<str>,
    limits: Limits,
    events: Vec<Follower>,
    summaries: Vec<Sink>,
    last_events: history::Events,
    last_windows: history::Windows,
    /// The newest reading of the clocks.
    now: Now,
    room: Room,
}

/// A stream of events.
#[derive(Debug)]
struct Follower {
    id: u64,
    filters: Filters,
    sink: Sink,
    /// What it still has to read of the memory, where what happens meanwhile is as well.
    reading: Option<Span>,
    /// When it got its last page.
    asked: BootTime,
    follow: bool,
}

impl Subscribers {
    /// `started` is the daemon's start.
    pub(crate) fn new(node_name: &str, limits: Limits, started: Now) -> Self {
        Self {
            node_name: node_name.into(),
            limits,
            events: Vec::new(),
            summaries: Vec::new(),
            last_events: history::Events::new(limits.history_bytes, started.wall),
            last_windows: history::Windows::new(limits.kept_windows, limits.kept_entries),
            now: started,
            room: Room::default(),
        }
    }

    /// Has no more wait for clients than memory allows.
    pub(crate) fn share(&mut self, room: &Room) {
        self.room = room.clone();
        self.last_events.share(room);
    }

    /// Opens a stream of events.
    pub(crate) fn add_events(&mut self, request: EventsRequest) {
        let EventsRequest { id, filters, ask, follow, sink } = request;
        let found = ask.map(|ask| self.last_events.find(&ask, &filters));
        let after = found.map_or_else(|| self.last_events.newest(), |(span, _)| span.after());
        let Some(mut sink) = self.connect(sink, after) else { return };
        let reading = found.map(|(span, reach)| {
            sink.hand(Item::History(Box::new(reach)));
            span
        });
        let asked = self.now.boot;
        self.hand_page(Follower { id, filters, sink, reading, asked, follow });
    }

    /// A stream has sent what it got of the memory, and wants to have more.
    pub(crate) fn read_on(&mut self, id: u64) {
        if let Some(place) = self.events.iter().position(|follower| follower.id == id) {
            let follower = self.events.swap_remove(place);
            self.hand_page(follower);
        }
    }

    /// Hands over the next events of the memory. After the last of them new ones follow, none of which was in the memory:
    /// nothing happens meanwhile.
    fn hand_page(&mut self, mut follower: Follower) {
        if let Some(span) = follower.reading.take() {
            let history::Page { events, rest, lost } = self.last_events.page(span, &follower.filters, PAGE);
            follower.reading = rest;
            if lost > 0 {
                let (source, since, until) = (LossSource::Subscriber, follower.asked, self.now.boot);
                let loss = Loss { source, kind: "history", cpu: None, count: lost, since, until };
                // Whether it is gone shows below.
                let _gone = follower.sink.lost(&loss, self.now).is_err();
            }
            follower.asked = self.now.boot;
            follower.sink.hand(Item::Page(Box::new(Page { events, more: rest.is_some() })));
        }
        let goes_on = follower.reading.is_some() || follower.follow;
        if follower.sink.flush().is_ok() && goes_on {
            self.events.push(follower);
        }
    }

    /// Opens a stream of windows.
    pub(crate) fn add_summaries(&mut self, request: SummariesRequest) {
        let SummariesRequest { length_ns, sink } = request;
        let Some(mut sink) = self.connect(sink, 0) else { return };
        let newest = self.last_windows.last(length_ns);
        let now = self.now;
        let sent = if newest.is_empty() {
            Ok(())
        } else {
            sink.send(Item::Windows(Box::new(Past { newest, now })), now)
        };
        if sent.is_ok() {
            self.summaries.push(sink);
        }
    }

    /// Keeps the events of a round and hands them to those whose filters let them pass.
    pub(crate) fn publish(&mut self, events: &[Arc<Event>]) {
        for event in events {
            let now = Now { boot: event.boot_time, wall: event.time };
            self.now = now;
            self.last_events.push(event);
            // One for all who want it.
            let mut published = None;
            for Follower { filters, sink, reading, .. } in &mut self.events {
                if reading.is_none() && filters.event(event) {
                    let published = published.get_or_insert_with(|| Published::new(event, &self.node_name));
                    sink.add(Item::Event(Arc::clone(published)), now);
                }
            }
        }
        if !events.is_empty() {
            self.events.retain_mut(|follower| follower.sink.flush().is_ok());
        }
    }

    /// The events in memory from one time to another, and since when all of them are there.
    pub(crate) fn between(&self, since: WallTime, until: WallTime) -> (Vec<Arc<Event>>, WallTime) {
        let ask = history::Ask { since: Some(since), until: Some(until), ..history::Ask::default() };
        let (span, reach) = self.last_events.find(&ask, &Filters::default());
        let page = self.last_events.page(span, &Filters::default(), usize::MAX);
        (page.events, reach.complete_since)
    }

    /// The windows in memory, oldest first.
    pub(crate) fn windows(&self) -> impl Iterator<Item = &Arc<Window>> {
        self.last_windows.all()
    }

    /// More became known of an event that was published: those who ask for it later get it so.
    pub(crate) fn amend(&mut self, event: Arc<Event>) {
        self.last_events.amend(event);
    }

    /// More became known of a workload after events of it were published.
    pub(crate) fn complete(&mut self, workload: &Arc<Workload>) {
        self.last_events.complete(workload);
    }

    /// Tells all of them what was lost before it reached any of them.
    pub(crate) fn publish_loss(&mut self, loss: &Loss) {
        let now = self.now;
        self.each(|sink| sink.lost(loss, now));
    }

    /// Tells those of what was only counted who might miss it.
    pub(crate) fn publish_folded(&mut self, notice: &Arc<FoldNotice>) {
        let now = self.now;
        self.events.retain_mut(|Follower { filters, sink, .. }| {
            !filters.folded(notice)
                || sink.send(Item::Folded(Box::new((Arc::clone(notice), now))), now).is_ok()
        });
    }

    /// Keeps a finished base window and hands it to those who follow summaries. Being called once a
    /// second, this is also when everybody is told of losses that found no room, and when streams
    /// that ended are let go.
    pub(crate) fn publish_window(&mut self, window: &Arc<Window>, now: Now) {
        self.now = now;
        self.last_windows.push(window);
        self.events.retain_mut(|Follower { sink, .. }| {
            sink.tell(now);
            sink.flush().is_ok()
        });
        self.summaries
            .retain_mut(|sink| sink.send(Item::Window(Box::new((Arc::clone(window), now))), now).is_ok());
    }

    /// Ends all streams with what is still to be told.
    pub(crate) fn stop(&mut self) {
        let events = self.events.drain(..).map(|follower| follower.sink);
        events.chain(self.summaries.drain(..)).for_each(|sink| sink.stop(self.now));
    }

    /// Somebody follows summaries.
    pub(crate) fn has_summaries(&self) -> bool {
        !self.summaries.is_empty()
    }

    /// How many are following.
    pub(crate) fn count(&self) -> usize {
        self.events.len() + self.summaries.len()
    }

    /// How full the tables are.
    pub(crate) fn tables(&self) -> [Table; 3] {
        [
            ("history_bytes", self.last_events.size()),
            ("window_entries", self.last_windows.size()),
            ("subscribers", [self.count(), self.limits.subscribers]),
        ]
        .map(|(name, sizes)| {
            let [entries, capacity] = sizes.map(|size| size as u64);
            Table { name, entries, capacity }
        })
    }

    /// How many events are in memory.
    pub(crate) fn events_stored(&self) -> usize {
        self.last_events.len()
    }

    /// The time of the oldest event in memory.
    pub(crate) fn oldest_event(&self) -> Option<WallTime> {
        self.last_events.oldest()
    }

    /// Greets a stream, or refuses it where there are too many.
    fn connect(&mut self, mut sink: Sink, after: u64) -> Option<Sink> {
        sink.share(&self.room);
        if self.count() >= self.limits.subscribers {
            // Those whose clients have gone since the last round have no place any more.
            self.events.retain_mut(|follower| follower.sink.flush().is_ok());
            self.summaries.retain_mut(|sink| sink.flush().is_ok());
        }
        let subscribers = self.count();
        let room = subscribers < self.limits.subscribers;
        let greeting = if room { Item::Connected { after } } else { Item::Refused { subscribers } };
        sink.send(greeting, self.now).ok().filter(|()| room).map(|()| sink)
    }

    fn each(&mut self, mut tell: impl FnMut(&mut Sink) -> Result<(), Gone>) {
        self.events.retain_mut(|follower| tell(&mut follower.sink).is_ok());
        self.summaries.retain_mut(|sink| tell(sink).is_ok());
    }
}
