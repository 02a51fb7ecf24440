//! The flight recorder, by a clock of the benchmark's own.

use std::path::Path;
use std::sync::Arc;

use observer_proto::served as v1;

use super::{Events, now};
use crate::event::Event;
use crate::filter::{Filters, Purpose};
use crate::record::{Limits, trial};

/// A recording in a folder.
pub struct Recording {
    trial: trial::Trial,
    numbers: u64,
}

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// What the file takes.
    pub file_bytes: u64,
    /// How many events are in it.
    pub events: u64,
    /// How often something was written.
    pub commits: u64,
}

impl Recording {
    /// Begins one that takes so many bytes.
    #[must_use]
    pub fn new(folder: &Path, bytes: u64) -> Self {
        let limits = Limits { bytes, ..Limits::default() };
        Self { trial: trial::Trial::new(folder, limits, now(0)), numbers: 0 }
    }

    /// Events as they are numbered next.
    #[must_use]
    pub fn numbered(&mut self, events: &Events) -> Events {
        let number = |event: &Arc<Event>| {
            self.numbers += 1;
            Arc::new(Event { sequence: self.numbers, ..(**event).clone() })
        };
        Events(events.0.iter().map(number).collect())
    }

    /// Records what happened in a round.
    pub fn record(&mut self, events: &Events, round: u64) {
        self.trial.record(&events.0, now(round));
    }

    /// Has so many events pass a filter that lets some of them pass: how many there were, and passed.
    #[must_use]
    pub fn replay(&self, most: u64) -> (u64, u64) {
        let allow = vec![
            v1::Filter { pods: vec!["shop/web-7".to_owned()], ..v1::Filter::default() },
            v1::Filter { failure_only: true, ..v1::Filter::default() },
        ];
        let filters = Filters::compile(allow, Vec::new(), Purpose::Events, "node-1").unwrap_or_default();
        let read = self.trial.replay(&filters, most);
        (read.events, read.passed)
    }

    /// How much there is.
    #[must_use]
    pub fn size(&self) -> Size {
        let figures = self.trial.figures();
        Size { file_bytes: figures.file_bytes, events: figures.events, commits: self.trial.commits() }
    }
}

impl Events {
    /// What they take encoded, in bytes.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        self.0.iter().map(|event| trial::encoded_bytes(event)).sum()
    }
}
