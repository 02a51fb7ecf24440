//! Those who read of the past before they follow: from memory in pages, and before that from the recording, which they read
//! by themselves.

use super::{Follower, Subscribers};
use crate::event::{Loss, LossSource};
use crate::record::Reader;
use crate::serve::history;
use crate::serve::queue::{Item, Page};
use crate::serve::{Ask, EventsRequest, Rest};

/// So many events of the memory are handed to a stream at a time: what they hold on to is not bounded with the memory.
const PAGE: usize = 512;

impl Subscribers {
    /// Opens a stream of events.
    pub(crate) fn add_events(&mut self, request: EventsRequest) {
        let EventsRequest { id, filters, ask, follow, sink } = request;
        let found = ask.map(|ask| (ask, self.last_events.find(&ask, &filters)));
        let after = found.map_or_else(|| self.last_events.newest(), |(_, found)| found.span.after());
        let Some(mut sink) = self.connect(sink, after) else { return };
        let asked = self.now.boot;
        let newest = ask.is_some_and(|ask| ask.last.is_some());
        let reads = |reader: &Reader| reader.store().is_some() && (!newest || reader.records());
        let records = self.recorded.as_ref().is_some_and(reads);
        match found {
            Some((_, found)) if records && !found.suffices => {
                // Nothing is handed over before it asks for the rest.
                sink.hand(Item::Elsewhere);
                let reading = Some(found.span);
                self.keep(Follower { id, filters, sink, reading, asked, follow });
            }
            Some((_, found)) => {
                sink.hand(Item::History(Box::new(found.reach)));
                self.hand_page(Follower { id, filters, sink, reading: Some(found.span), asked, follow });
            }
            None => self.hand_page(Follower { id, filters, sink, reading: None, asked, follow }),
        }
    }

    /// A stream has sent what it got of the memory, and wants to have more.
    pub(crate) fn read_on(&mut self, id: u64) {
        if let Some(follower) = self.taken(id) {
            self.hand_page(follower);
        }
    }

    /// A stream has read what is recorded, and wants to have the rest.
    pub(crate) fn read_rest(&mut self, rest: &Rest) {
        let Some(mut follower) = self.taken(rest.id) else { return };
        let Rest { id: _, after, since, until, left } = *rest;
        let ask = Ask { after, since, until, first: Some(left), ..Ask::default() };
        let found = self.last_events.find(&ask, &follower.filters);
        // What is not recorded, because that is paused or behind, and not in memory any more.
        self.tell_missing(&mut follower, found.reach.missing);
        follower.reading = Some(found.span);
        follower.asked = self.now.boot;
        self.hand_page(follower);
    }

    fn tell_missing(&self, follower: &mut Follower, count: u64) {
        if count > 0 {
            let (source, since, until) = (LossSource::Subscriber, follower.asked, self.now.boot);
            let loss = Loss { source, kind: "history", cpu: None, count, since, until };
            // Whether it is gone shows later.
            let _gone = follower.sink.lost(&loss, self.now).is_err();
        }
    }

    fn taken(&mut self, id: u64) -> Option<Follower> {
        let place = self.events.iter().position(|follower| follower.id == id)?;
        Some(self.events.swap_remove(place))
    }

    /// Hands over the next events of the memory. After the last of them new ones follow, none of which was in the memory:
    /// nothing happens meanwhile.
    fn hand_page(&mut self, mut follower: Follower) {
        if let Some(span) = follower.reading.take() {
            let history::Page { events, rest, lost } = self.last_events.page(span, &follower.filters, PAGE);
            follower.reading = rest;
            self.tell_missing(&mut follower, lost);
            follower.asked = self.now.boot;
            follower.sink.hand(Item::Page(Box::new(Page { events, more: rest.is_some() })));
        }
        self.keep(follower);
    }

    /// Keeps one that has something to read, or follows.
    fn keep(&mut self, mut follower: Follower) {
        let goes_on = follower.reading.is_some() || follower.follow;
        if follower.sink.flush().is_ok() && goes_on {
            self.events.push(follower);
        }
    }
}
