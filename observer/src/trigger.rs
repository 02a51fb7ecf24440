//! Finds by itself that something went wrong, and folds what belongs together into incidents. Pure.
//!
//! Two kinds of rules: those of containers look at single events (an end, an OOM kill, a crash loop), those of edges at
//! the figures of each second. What they find is a [`Fired`]; [`Incidents`] opens an incident with it, or adds it to one
//! that is open and about the same. docs/incidents.md has every rule with its reasons.

mod containers;
#[cfg(test)]
mod cost;
mod edges;
mod fired;
mod incident;
mod incidents;
mod latency;
mod lives;
mod names;
#[cfg(test)]
mod node;
#[cfg(test)]
mod noise;
mod rules;
#[cfg(test)]
mod tests;
mod tuning;

pub(crate) use self::containers::{asks_for_end, ends_on_request};
pub(crate) use self::fired::{Fired, FiredEdge, Grade, TriggerKind};
pub(crate) use self::incident::{Firing, Incident};
pub(crate) use self::incidents::{Bounds, Incidents, Refused};
pub(crate) use self::names::{sides, whole};
pub(crate) use self::tuning::Tuning;
use crate::event::{Detail, Event, ExecOrigin, Window};
use crate::status::Table;

use self::edges::Edges;
use self::lives::Lives;

/// The rules, and what they remember.
#[derive(Debug)]
pub(crate) struct Triggers {
    tuning: Tuning,
    lives: Lives,
    edges: Edges,
}

impl Triggers {
    /// With these thresholds.
    pub(crate) fn new(tuning: Tuning) -> Self {
        Self { tuning, lives: Lives::default(), edges: Edges::default() }
    }

    /// An event happened. Those of connections cost nothing here: their figures come with the window.
    pub(crate) fn event(&mut self, event: &Event) -> Option<Fired> {
        if !self.tuning.enabled {
            return None;
        }
        let workload = event.workload.as_ref()?;
        match &event.detail {
            Detail::ContainerStop(stop) => {
                let fired = containers::stopped(workload, stop, &self.lives);
                self.lives.ended(workload, event.boot_time);
                fired
            }
            Detail::OomKill(kill) => Some(containers::oom_killed(workload, event, kill, &mut self.lives)),
            Detail::ContainerCrashLoop(crash_loop) => {
                Some(containers::crash_loop(workload, event, crash_loop))
            }
            Detail::ContainerStart(_) | Detail::ContainerReady(_) => {
                self.lives.began(workload, event.boot_time);
                None
            }
            Detail::ProcessExec(exec) => {
                if let Some(process) = &event.process {
                    let entered = exec.origin == ExecOrigin::Entered;
                    self.lives.executed(workload, process, entered, &exec.ancestors, event.boot_time);
                }
                None
            }
            Detail::ProcessExit(_) => {
                if let Some(process) = &event.process {
                    self.lives.exited(workload, process.key);
                }
                None
            }
            Detail::TcpConnect(_)
            | Detail::TcpAccept(_)
            | Detail::TcpConnectFailure(_)
            | Detail::TcpRetransmit(_)
            | Detail::TcpReset(_)
            | Detail::TcpClose(_)
            | Detail::TcpConnectPending(_)
            | Detail::TcpResponse(_)
            | Detail::PacketDrop(_)
            | Detail::Signal(_)
            | Detail::OpenFailure(_) => None,
        }
    }

    /// A second has passed.
    pub(crate) fn window(&mut self, window: &Window) -> Vec<Fired> {
        if !self.tuning.enabled {
            return Vec::new();
        }
        self.edges.window(window, &self.tuning, &self.lives)
    }

    /// Something may be about to stand still for too long: live sockets are better read again soon.
    pub(crate) const fn looks_closer(&self) -> bool {
        self.edges.looks_closer
    }

    /// How full its tables are.
    pub(crate) fn table(&self) -> Table {
        Table { name: "watched_edges", entries: self.edges.len() as u64, capacity: edges::CAPACITY as u64 }
    }
}
