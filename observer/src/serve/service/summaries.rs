//! One stream of summaries: base windows are merged here, then filtered and converted.

use std::collections::VecDeque;
use std::mem::take;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use observer_proto::served::watch_summaries_response::Payload;
use observer_proto::{Mask, served as v1};
use tokio_stream::Stream;
use tonic::Status;

use super::changes::Changes;
use super::windows::PastWindows;
use super::{Settings, connected, masked, refused, sent_at, stopping};
use crate::event::{Loss, Now, WallTime, Window};
use crate::record::CLOCKS;
use crate::serve::Filters;
use crate::serve::access::Seat;
use crate::serve::queue::{Item, Source, add, same_kind};
use crate::wire;

/// The answer to `WatchSummaries`.
#[derive(Debug)]
pub(crate) struct SummaryStream {
    source: Source,
    node_name: String,
    greeting: v1::NodeStatus,
    filters: Filters,
    length_ns: u64,
    follow: bool,
    /// Its client's place for it.
    _seat: Seat,
    /// What is told of a summary; `None`: all.
    mask: Option<Mask>,
    /// What was told, where only changes are wanted.
    changes: Option<Changes>,
    /// Windows of the past that come first.
    past: Option<PastWindows>,
    /// The end of the last of them.
    told_until: WallTime,
    /// The window that is not complete yet.
    open: Option<Window>,
    /// What was lost meanwhile.
    lost: Vec<Loss>,
    /// The newest reading of the clocks.
    now: Now,
    /// To be sent.
    ready: VecDeque<Payload>,
    ended: bool,
}

impl SummaryStream {
    pub(in crate::serve) fn new(
        source: Source,
        settings: &Settings,
        filters: Filters,
        length_ns: u64,
        follow: bool,
        seat: Seat,
    ) -> Self {
        Self {
            source,
            node_name: settings.node_name.clone(),
            greeting: connected(settings, "summaries follow as windows end"),
            filters,
            length_ns,
            follow,
            _seat: seat,
            mask: None,
            changes: None,
            past: None,
            told_until: WallTime(0),
            open: None,
            lost: Vec::new(),
            now: Now::default(),
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// Tells no more than these fields, and no more than changes.
    pub(in crate::serve) fn shaped(self, mask: Option<Mask>, changes: Option<Changes>) -> Self {
        Self { mask, changes, ..self }
    }

    /// Begins with windows of the past.
    pub(super) fn after(mut self, past: Option<PastWindows>) -> Self {
        if past.is_some() {
            self.ready.push_back(Payload::NodeStatus(self.greeting.clone()));
        }
        Self { past, ..self }
    }

    /// Takes the next window of the past. Where there is no other one, the open one is as long as it will be.
    fn take_past(&mut self, window: Option<Window>) -> Result<(), Status> {
        if let Some(window) = window {
            self.told_until = WallTime(window.end().0);
            return self.merge(&Arc::new(window), CLOCKS);
        }
        self.finish(CLOCKS)?;
        self.past = None;
        self.ended = !self.follow;
        Ok(())
    }

    fn take(&mut self, item: Item) -> Result<(), Status> {
        match item {
            // After windows of the past the stream was greeted before.
            Item::Connected { .. } if self.told_until.0 > 0 => {}
            Item::Connected { .. } => self.ready.push_back(Payload::NodeStatus(self.greeting.clone())),
            Item::Refused { subscribers } => return Err(refused(subscribers)),
            Item::Windows(past) => {
                past.newest.iter().try_for_each(|window| self.merge(window, past.now))?;
            }
            Item::Window(window) => self.merge(&window.0, window.1)?,
            Item::Lost(lost) => self.note(lost.0, lost.1),
            Item::Elsewhere | Item::History(_) | Item::Page(_) | Item::Event(_) | Item::Folded(_) => {}
        }
        Ok(())
    }

    /// Adds a base window. A window ends when it is long enough, or when the next base window begins
    /// after its end, because the machine slept or this client was too slow.
    fn merge(&mut self, window: &Arc<Window>, now: Now) -> Result<(), Status> {
        let was_told = self.past.is_none() && now.wall_of(window.start) < self.told_until;
        if self.ended || was_told {
            return Ok(());
        }
        match &mut self.open {
            Some(open) if window.start.since_ns(open.start) < self.length_ns => open.merge(window),
            _ => {
                self.finish(now)?;
                self.open = Some(Window::clone(window));
            }
        }
        if self.open.as_ref().is_some_and(|open| open.length_ns >= self.length_ns) {
            self.finish(now)?;
        }
        Ok(())
    }

    /// Sends the open window, what was lost in it, and its end.
    fn finish(&mut self, now: Now) -> Result<(), Status> {
        let Some(mut window) = self.open.take() else { return Ok(()) };
        if self.ended {
            return Ok(());
        }
        window.show_idle();
        let window = self.filters.scope().window(&window);
        let summaries = wire::summaries(&window, &self.filters, now);
        let mut end = wire::window_end(&window, summaries.len(), now);
        let mask = self.mask.as_ref();
        let told = summaries.into_iter().map(|(of, summary)| (of, masked(summary, mask)));
        let told = match &mut self.changes {
            None => told.map(|(_, summary)| summary).collect(),
            Some(changes) => changes.next(told, &mut end)?,
        };
        self.ready.extend(told.into_iter().map(Payload::Summary));
        self.ready.extend(take(&mut self.lost).iter().map(|loss| Payload::Lost(wire::lost(loss, now))));
        self.ready.push_back(Payload::WindowEnd(end));
        self.ended = !self.follow && self.past.is_none();
        Ok(())
    }

    fn note(&mut self, loss: Loss, now: Now) {
        self.now = now;
        match self.lost.iter_mut().find(|known| same_kind(known, &loss)) {
            Some(known) => add(known, &loss),
            None => self.lost.push(loss),
        }
    }

    /// The queue has ended. A window that is not complete is not told.
    fn end(&mut self) {
        self.ended = true;
        let Some(untold) = self.source.last_words() else { return };
        for (loss, now) in untold {
            self.note(loss, now);
        }
        let now = self.now;
        self.ready.extend(take(&mut self.lost).iter().map(|loss| Payload::Lost(wire::lost(loss, now))));
        self.ready.push_back(Payload::NodeStatus(stopping()));
    }
}

impl Stream for SummaryStream {
    type Item = Result<v1::WatchSummariesResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(payload) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(v1::WatchSummariesResponse {
                    payload: Some(payload),
                    node_name: this.node_name.clone(),
                    time: Some(sent_at()),
                })));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let taken = if let Some(past) = &mut this.past {
                ready!(past.poll_next(context)).transpose().and_then(|window| this.take_past(window))
            } else if let Some(item) = ready!(this.source.poll_next(context)) {
                this.take(item)
            } else {
                this.end();
                Ok(())
            };
            if let Err(status) = taken {
                this.ended = true;
                return Poll::Ready(Some(Err(status)));
            }
        }
    }
}
