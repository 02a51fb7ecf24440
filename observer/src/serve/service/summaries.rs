//! One stream of summaries: base windows are merged here, then filtered and converted.

mod merged;

use std::collections::VecDeque;
use std::mem::take;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use observer_proto::served::watch_summaries_response::Payload;
use observer_proto::v1::Gap;
use observer_proto::{Mask, served as v1};
use tokio_stream::Stream;
use tonic::Status;

pub(crate) use self::merged::Merged;
use super::changes::Changes;
use super::incidents::transcoded;
use super::past::{Past, PastWindows};
use super::{Settings, connected, masked, refused, sent_at, stopping};
use crate::event::{BootTime, Loss, Now, WallTime, Window};
use crate::inventory::host;
use crate::record::{CLOCKS, OfTime};
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
    follow: bool,
    /// Its client's place for it.
    _seat: Seat,
    /// What is told of a summary; `None`: all.
    mask: Option<Mask>,
    /// What was told, where only changes are wanted.
    changes: Option<Changes>,
    /// What is recorded, and comes first.
    past: Past,
    /// When that ended; what is in memory of it is left out.
    past_until: WallTime,
    /// When that was read to its end.
    past_read: BootTime,
    /// The stream has begun.
    greeted: bool,
    /// The window that is not complete yet.
    windows: Merged,
    /// What was lost meanwhile.
    lost: Vec<Loss>,
    /// What is missing of the open window.
    gaps: Vec<Payload>,
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
            follow,
            _seat: seat,
            mask: None,
            changes: None,
            past: Past::Done,
            past_until: WallTime(0),
            past_read: BootTime(0),
            greeted: false,
            windows: Merged::new(length_ns),
            lost: Vec::new(),
            gaps: Vec::new(),
            now: Now::default(),
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// Tells no more than these fields, and no more than changes.
    pub(in crate::serve) fn shaped(self, mask: Option<Mask>, changes: Option<Changes>) -> Self {
        Self { mask, changes, ..self }
    }

    /// Tells what is recorded first.
    pub(super) fn after(self, past: Option<PastWindows>) -> Self {
        Self { past: past.map_or(Past::Done, |past| Past::Ready(Box::new(past))), ..self }
    }

    /// Takes windows of the past in; `None`: there are no more of them.
    fn take_past(&mut self, windows: Option<Vec<OfTime>>) -> Result<(), Status> {
        let Some(windows) = windows else {
            // What begins from now on was not recorded yet, whatever the clock says.
            self.past_read = host::now().boot;
            self.finish(CLOCKS)?;
            self.ended |= !self.follow;
            return Ok(());
        };
        for one in windows {
            match one {
                OfTime::Window(window) => {
                    self.past_until = CLOCKS.wall_of(window.end());
                    self.merge(&window, CLOCKS)?;
                }
                OfTime::Gap(gap) => self.take_gap(&gap)?,
            }
        }
        Ok(())
    }

    /// Tells what is missing: with the window that it is in, or before the next one.
    fn take_gap(&mut self, gap: &Gap) -> Result<(), Status> {
        let begin = gap.since.as_ref().map_or(WallTime(0), wire::wall_time);
        let told = Payload::Gap(transcoded(gap));
        if self.windows.has(BootTime(begin.0)) {
            self.gaps.push(told);
        } else {
            self.finish(CLOCKS)?;
            self.ready.push_back(told);
        }
        Ok(())
    }

    fn take(&mut self, item: Item) -> Result<(), Status> {
        match item {
            Item::Connected { .. } => {
                self.greeted = true;
                self.ready.push_back(Payload::NodeStatus(self.greeting.clone()));
            }
            Item::Refused { subscribers } => return Err(refused(subscribers)),
            Item::Windows(past) => {
                past.newest.iter().try_for_each(|window| self.merge_new(window, past.now))?;
            }
            Item::Window(window) => self.merge_new(&window.0, window.1)?,
            Item::Lost(lost) => self.note(lost.0, lost.1),
            Item::Elsewhere | Item::History(_) | Item::Page(_) | Item::Event(_) | Item::Folded(_) => {}
        }
        Ok(())
    }

    /// Adds a base window, unless it was recorded and told.
    fn merge_new(&mut self, window: &Window, now: Now) -> Result<(), Status> {
        let middle = now.wall_of(window.start).0.saturating_add(window.length_ns / 2);
        // The clock may have been corrected a little meanwhile.
        if window.start < self.past_read && middle < self.past_until.0 {
            return Ok(());
        }
        self.past_until = WallTime(0);
        self.merge(window, now)
    }

    /// Adds a base window.
    fn merge(&mut self, window: &Window, now: Now) -> Result<(), Status> {
        if self.ended {
            return Ok(());
        }
        self.windows.add(window).into_iter().try_for_each(|window| self.send(window, now))
    }

    /// Sends the open window, though it is not complete.
    fn finish(&mut self, now: Now) -> Result<(), Status> {
        self.windows.finish().map_or(Ok(()), |window| self.send(window, now))
    }

    /// Sends a window, what was lost in it, and its end.
    fn send(&mut self, mut window: Window, now: Now) -> Result<(), Status> {
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
        self.ready.append(&mut take(&mut self.gaps).into());
        self.ready.push_back(Payload::WindowEnd(end));
        // Of the past all windows are told.
        self.ended = !self.follow && self.past_until == WallTime(0);
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
            if this.greeted && !matches!(this.past, Past::Done) {
                let windows = ready!(this.past.poll_next(context));
                if let Err(status) = this.take_past(windows) {
                    this.ended = true;
                    return Poll::Ready(Some(Err(status)));
                }
                continue;
            }
            match ready!(this.source.poll_next(context)) {
                Some(item) => {
                    if let Err(status) = this.take(item) {
                        this.ended = true;
                        return Poll::Ready(Some(Err(status)));
                    }
                }
                None => this.end(),
            }
        }
    }
}
