//! The one place where the event loop waits, and the closed set of what can wake it.

use std::os::fd::AsRawFd;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::inventory::Fact;
use crate::serve::Request;

/// How often the rings are read while records come: a flood wakes the daemon 200 times a second, and
/// the kernel wakes nobody.
const GATHER: Duration = Duration::from_millis(5);
/// How often what has no event of its own is looked at: losses, waiting events, windows.
const TICK: Duration = Duration::from_millis(250);

/// What the event loop acts on.
pub(super) enum Input {
    /// Records wait in the rings.
    Records,
    /// A client asks.
    Request(Request),
    /// The inventory tells.
    Fact(Fact),
    /// Time has passed.
    Tick,
    /// The daemon is to stop.
    Stop,
}

/// What a look into the rings found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// Some records, all taken.
    All,
    /// More than were taken.
    More,
}

/// When the rings are read next.
enum Reading {
    /// At that moment.
    At(Instant),
    /// At that moment, for the last time if there is nothing: the probes know that the daemon is about
    /// to sleep, but one of them may have been writing when it was told.
    LastAt(Instant),
    /// When a probe wakes the daemon.
    Asleep,
}

/// Everything that the event loop waits for, beside the rings.
pub(super) struct Inputs {
    stop: oneshot::Receiver<()>,
    requests: mpsc::Receiver<Request>,
    facts: mpsc::Receiver<Fact>,
    ticks: Interval,
    reading: Reading,
}

impl Inputs {
    pub(super) fn new(
        stop: oneshot::Receiver<()>,
        requests: mpsc::Receiver<Request>,
        facts: mpsc::Receiver<Fact>,
    ) -> Self {
        let mut ticks = tokio::time::interval(TICK);
        // One that is late delays no other: windows are whole numbers of them, and sockets are read as these end.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { stop, requests, facts, ticks, reading: Reading::At(Instant::now()) }
    }

    /// Takes down what a look into the rings found. True if the probes have to be told that the daemon
    /// is about to sleep.
    #[must_use]
    pub(super) fn found(&mut self, found: Found) -> bool {
        let soon = Instant::now() + GATHER;
        let (next, tell) = match (found, &self.reading) {
            (Found::More, _) => (Reading::At(Instant::now()), false),
            (Found::All, _) => (Reading::At(soon), false),
            (Found::Nothing, Reading::At(_)) => (Reading::LastAt(soon), true),
            (Found::Nothing, Reading::LastAt(moment)) if Instant::now() < *moment => {
                (Reading::LastAt(*moment), false)
            }
            (Found::Nothing, Reading::LastAt(_) | Reading::Asleep) => (Reading::Asleep, false),
        };
        self.reading = next;
        tell
    }

    /// Waits for the next input.
    pub(super) async fn next<T: AsRawFd>(&mut self, rings: [&AsyncFd<T>; 2]) -> Input {
        loop {
            let read_at = match self.reading {
                Reading::At(moment) | Reading::LastAt(moment) => Some(moment),
                Reading::Asleep => None,
            };
            tokio::select! {
                () = tokio::time::sleep_until(read_at.unwrap_or_else(Instant::now)), if read_at.is_some() => {
                    return Input::Records;
                }
                () = filled(rings[0]), if read_at.is_none() => self.reading = Reading::At(Instant::now() + GATHER),
                () = filled(rings[1]), if read_at.is_none() => self.reading = Reading::At(Instant::now() + GATHER),
                Some(request) = self.requests.recv() => return Input::Request(request),
                Some(fact) = self.facts.recv() => return Input::Fact(fact),
                _ = self.ticks.tick() => return Input::Tick,
                _ = &mut self.stop => return Input::Stop,
            }
        }
    }
}

/// Ends when a ring has records. An error means that the runtime ends; the tick still drains.
async fn filled<T: AsRawFd>(ring: &AsyncFd<T>) {
    match ring.readable().await {
        Ok(mut guard) => guard.clear_ready(),
        Err(_) => std::future::pending().await,
    }
}
