//! Those who follow: the event loop hands each update to them and never waits for one.

mod reading;

use std::sync::Arc;

use super::history::{self, Span};
use super::queue::{Gone, Item, Past, Sink};
use super::{Filters, SummariesRequest};
use crate::event::{BootTime, Event, FoldNotice, Loss, Now, WallTime, Window, Workload};
use crate::record::Reader;
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
    /// Where what is not in memory any more can be read.
    recorded: Option<Reader>,
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
            recorded: None,
        }
    }

    /// Has what is not in memory any more read from there.
    pub(crate) fn read_from(&mut self, recorded: Option<Reader>) {
        self.recorded = recorded;
    }

    /// Has no more wait for clients than memory allows.
    pub(crate) fn share(&mut self, room: &Room) {
        self.room = room.clone();
        self.last_events.share(room);
    }

    /// Lets events go where memory is short, before anything else has to stop; whether any went.
    pub(crate) fn give_way(&mut self) -> bool {
        self.last_events.give_way()
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
        self.hand_on(events, None);
    }

    /// The same, and gives them back as they are told.
    pub(crate) fn publish_all(&mut self, events: &[Arc<Event>]) -> Vec<Arc<Published>> {
        let mut all = Vec::with_capacity(events.len());
        self.hand_on(events, Some(&mut all));
        all
    }

    /// An event as it is told.
    pub(crate) fn published(&self, event: &Arc<Event>) -> Arc<Published> {
        Published::new(event, &self.node_name)
    }

    fn hand_on(&mut self, events: &[Arc<Event>], mut all: Option<&mut Vec<Arc<Published>>>) {
        for event in events {
            let now = Now { boot: event.boot_time, wall: event.time };
            self.now = now;
            self.last_events.push(event);
            // One for all who want it.
            let mut published = all.is_some().then(|| Published::new(event, &self.node_name));
            for Follower { filters, sink, reading, .. } in &mut self.events {
                if reading.is_none() && filters.event(event) {
                    let published = published.get_or_insert_with(|| Published::new(event, &self.node_name));
                    sink.add(Item::Event(Arc::clone(published)), now);
                }
            }
            if let Some(all) = &mut all {
                all.extend(published);
            }
        }
        if !events.is_empty() {
            self.events.retain_mut(|follower| follower.sink.flush().is_ok());
        }
    }

    /// The events in memory from one time to another, and since when all of them are there.
    pub(crate) fn between(&self, since: WallTime, until: WallTime) -> (Vec<Arc<Event>>, WallTime) {
        let ask = history::Ask { since: Some(since), until: Some(until), ..history::Ask::default() };
        let history::Found { span, reach, .. } = self.last_events.find(&ask, &Filters::default());
        let (mut events, mut rest) = (Vec::new(), Some(span));
        while let Some(span) = rest {
            let page = self.last_events.page(span, &Filters::default(), usize::MAX);
            events.extend(page.events);
            rest = page.rest;
        }
        (events, reach.complete_since)
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

    /// Updates that wait for them.
    pub(crate) fn waiting(&self) -> u64 {
        let events = self.events.iter().map(|follower| &follower.sink);
        events.chain(&self.summaries).map(Sink::waits).sum()
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
