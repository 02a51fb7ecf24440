//! The one place where the event loop waits, and the closed set of what can wake it.

use std::os::fd::AsRawFd;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::inventory::Fact;
use crate::serve::Request;

/// How long records gather in the rings once the first one has come: a flood wakes the daemon 200
/// times a second, not once a record, and the kernel wakes nobody while records wait.
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

/// Everything that the event loop waits for, beside the rings.
pub(super) struct Inputs {
    stop: oneshot::Receiver<()>,
    requests: mpsc::Receiver<Request>,
    facts: mpsc::Receiver<Fact>,
    ticks: Interval,
    /// When gathered records shall be read.
    drain_at: Option<Instant>,
}

impl Inputs {
    pub(super) fn new(
        stop: oneshot::Receiver<()>,
        requests: mpsc::Receiver<Request>,
        facts: mpsc::Receiver<Fact>,
    ) -> Self {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { stop, requests, facts, ticks, drain_at: None }
    }

    /// The rings were not emptied: come back at once.
    pub(super) fn records_remain(&mut self) {
        self.drain_at = Some(Instant::now());
    }

    /// Waits for the next input.
    pub(super) async fn next<T: AsRawFd>(&mut self, rings: [&AsyncFd<T>; 2]) -> Input {
        loop {
            let gathering = self.drain_at.is_some();
            let drain_at = self.drain_at.unwrap_or_else(Instant::now);
            tokio::select! {
                () = tokio::time::sleep_until(drain_at), if gathering => {
                    self.drain_at = None;
                    return Input::Records;
                }
                () = filled(rings[0]), if !gathering => self.drain_at = Some(Instant::now() + GATHER),
                () = filled(rings[1]), if !gathering => self.drain_at = Some(Instant::now() + GATHER),
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
