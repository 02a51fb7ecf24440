//! Sessions as incidents: what was seen while somebody looked closely is kept, with what was before it.

use super::super::Core;
use super::session::Open;
use crate::event::Now;
use crate::session::SessionId;
use crate::trigger::{Fired, Grade, TriggerKind, whole};

/// Pods that a session opens incidents for, or joins those that are open.
const MOST: usize = 8;

impl Core<'_> {
    /// Opens an incident for a session, or adds to the one that there is what it has seen by now: with that the incident
    /// stays open as long as the session, and its window ends after it.
    pub(super) fn keep_session(&mut self, open: &Open, now: Now) {
        let SessionId(id) = open.id;
        let fired: Vec<Fired> = open
            .workloads()
            .into_iter()
            .take(MOST)
            .map(|workload| Fired {
                kind: TriggerKind::DebugSession,
                grade: Grade::Watched,
                time: now.boot,
                title: format!("{}: watched by a debugging session", whole(&workload)),
                reason: format!("session {id}: {}", open.words(now.boot)),
                workload,
                edge: None,
                evidence: Vec::new(),
            })
            .collect();
        self.fired(fired, now);
    }
}
