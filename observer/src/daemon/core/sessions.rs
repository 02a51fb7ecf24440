//! Debugging sessions: what is watched for whom, until when, and at what cost.

mod kept;
mod session;
mod watching;

use std::sync::Arc;

use observer_ebpf::debug::watch;
use tokio::sync::mpsc::Sender;

use self::session::Open;
use self::watching::Watching;
use super::Core;
use crate::event::{BootTime, Event, FoldNotice, Loss, LossSource, Now, Workload};
use crate::probe::part_of;
use crate::serve::DebugAsk;
use crate::session::{EndReason, News, Part, PartState, Refusal, Session, SessionState};
use crate::wire;

/// Sessions that are open at once.
const MAX_SESSIONS: usize = 4;
/// Containers that one watches at once.
const MAX_WORKLOADS: usize = 64;

/// The sessions that are open.
pub(super) struct Sessions {
    open: Vec<Open>,
    watching: Watching,
    /// Session events that were lost since the daemon's start.
    lost: u64,
    /// An incident closes where nothing is added to it for so long.
    closes_after_ns: u64,
}

impl Sessions {
    pub(super) fn new(closes_after_ns: u64) -> Self {
        Self { open: Vec::new(), watching: Watching::default(), lost: 0, closes_after_ns }
    }

    /// Those that are open.
    pub(super) fn states(&self) -> Vec<SessionState> {
        self.open.iter().map(Open::state).collect()
    }
}

/// The bit of a part in the probes' maps.
const fn bit(part: Part) -> u32 {
    match part {
        Part::Responses => watch::RESPONSES,
        Part::PacketDrops => watch::DROPS,
        Part::Signals => watch::SIGNALS,
        Part::OpenFailures => watch::OPENS,
    }
}

/// What serves a part, as the status has it.
const fn capability(part: Part) -> &'static str {
    match part {
        Part::Responses => "debug_responses",
        Part::PacketDrops => "debug_drops",
        Part::Signals => "debug_signals",
        Part::OpenFailures => "debug_open_failures",
    }
}

impl Core<'_> {
    /// Opens a session, or says why not.
    pub(super) fn open_session(&mut self, ask: DebugAsk, now: Now) {
        let DebugAsk { id, filters, parts, costly_opens, length_ns, max_cpu_share, client, news, reply } =
            ask;
        let chosen = self.chosen(&filters, now);
        let available = self.probes.deeper().available(costly_opens);
        let bits = parts.iter().fold(0, |all, part| all | bit(*part)) & available;
        let refusal = if self.sessions.open.len() >= MAX_SESSIONS {
            Some(Refusal::TooManySessions(MAX_SESSIONS))
        } else if chosen.is_empty() {
            Some(Refusal::NothingMatches)
        } else if chosen.len() > MAX_WORKLOADS {
            Some(Refusal::TooManyWorkloads(chosen.len(), MAX_WORKLOADS))
        } else if bits == 0 {
            let reasons: Vec<_> = parts.iter().map(|part| self.refusal_of(*part).0).collect();
            Some(Refusal::NothingToSee(reasons.join("; ")))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let _gone = reply.send(Err(refusal)).is_err();
            return;
        }
        // Where its stream is gone already, nobody waits for an answer.
        let Ok(last_word) = news.clone().try_reserve_owned() else { return };
        let before = (self.session_cost(), self.sessions.lost);
        let end = BootTime(now.boot.0.saturating_add(length_ns));
        let open = Open::new(
            id,
            filters,
            (parts, bits, costly_opens),
            (now.boot, end),
            max_cpu_share,
            client,
            (news, last_word),
            before,
        );
        self.sessions.open.push(open);
        if reply.send(Ok(())).is_err() {
            self.sessions.open.pop();
            return;
        }
        self.probes.deeper().retry();
        self.watch(now);
        log::info!("debugging session {} is open: {} containers", id.0, chosen.len());
    }

    /// The containers and units that filters choose, now.
    fn chosen(&self, filters: &crate::filter::Filters, now: Now) -> Vec<Arc<Workload>> {
        use crate::event::WorkloadKind;
        let listed = self.attributor.listed(now.boot).filter(|(known, standing)| {
            let workload = &known.workload;
            standing.ended.is_none()
                && known.removed.is_none()
                && workload.kind != WorkloadKind::Host
                && !workload.sandbox
                && filters.workload(workload)
        });
        listed.map(|(known, _)| Arc::clone(&known.workload)).collect()
    }

    /// Why a part cannot be seen, and what would help.
    fn refusal_of(&self, part: Part) -> (String, String) {
        let found = self.capabilities.iter().find(|one| one.name == capability(part));
        let missing = found.and_then(|one| one.missing.as_ref());
        missing.map_or_else(Default::default, |missing| (missing.reason.clone(), missing.remedy.clone()))
    }

    /// What is due for sessions: those that are over, containers that come and go, statistics.
    pub(super) fn tick_sessions(&mut self, now: Now) {
        if self.sessions.open.is_empty() {
            return;
        }
        let cost = self.session_cost();
        let lost = self.sessions.lost;
        let mut over = Vec::new();
        for open in &mut self.sessions.open {
            open.measure(now.boot, cost);
            match open.end(now.boot) {
                Some(reason) => over.push((open.id, reason)),
                None => open.tell_statistics(now.boot, cost, lost),
            }
        }
        let closes_after_ns = self.sessions.closes_after_ns;
        let open = self.sessions.open.iter_mut().enumerate();
        let due: Vec<usize> = open
            .filter_map(|(at, open)| open.is_to_be_kept(now.boot, closes_after_ns).then_some(at))
            .collect();
        for at in due {
            let open = self.sessions.open.swap_remove(at);
            self.keep_session(&open, now);
            self.sessions.open.push(open);
            let last = self.sessions.open.len() - 1;
            self.sessions.open.swap(at, last);
        }
        for (id, reason) in over {
            if let Some(at) = self.sessions.open.iter().position(|open| open.id == id) {
                let open = self.sessions.open.remove(at);
                self.session_ended(open, reason, now);
            }
        }
        self.watch(now);
    }

    /// A session is over: its client is told. What is watched for it alone is not any more with the next `watch`.
    fn session_ended(&mut self, mut open: Open, reason: EndReason, now: Now) {
        let statistics = open.statistics(now.boot, self.session_cost(), self.sessions.lost);
        let seconds = statistics.elapsed_ns as f64 / 1e9;
        log::info!(
            target: "audit",
            "client={} session={} ended after {seconds:.1} s: {}",
            open.client,
            open.id.0,
            wire::end_words(reason)
        );
        open.tell_end(reason, statistics);
        self.keep_session(&open, now);
    }

    /// The daemon stops.
    pub(super) fn end_sessions(&mut self, now: Now) {
        for open in std::mem::take(&mut self.sessions.open) {
            self.session_ended(open, EndReason::Stopping, now);
        }
        if self.sessions.watching.is_any() {
            self.watch(now);
        }
    }

    fn session_cost(&mut self) -> crate::probe::Cost {
        self.probes.deeper().cost()
    }

    /// Has the probes watch what the open sessions want, and nothing else.
    fn watch(&mut self, now: Now) {
        let mut changed = Vec::new();
        for at in 0..self.sessions.open.len() {
            let chosen = self.chosen(&self.sessions.open[at].filters, now);
            if let Some(open) = self.sessions.open.get_mut(at)
                && open.choose(chosen, MAX_WORKLOADS)
            {
                changed.push(open.id);
            }
        }
        let wanted: Vec<_> = self.sessions.open.iter().flat_map(Open::wanted).collect();
        let costly = self.sessions.open.iter().any(|open| open.costly);
        let parts = self.sessions.open.iter().fold(0, |all, open| all | open.bits);
        let (attributor, cgroups) = (&self.attributor, self.cgroups.as_ref());
        let place = (attributor, cgroups);
        let failed = self.sessions.watching.set(&wanted, place, &mut self.probes.deeper(), (parts, costly));
        for at in 0..self.sessions.open.len() {
            let is_new = changed.contains(&self.sessions.open[at].id);
            if is_new {
                let session = self.session(at, &failed);
                self.sessions.open[at].tell(News::Session(Box::new(session)));
            }
        }
    }

    /// A session as it stands.
    fn session(&mut self, at: usize, failed: &[(&'static str, String)]) -> Session {
        let attached = self.probes.deeper().attached();
        let open = &self.sessions.open[at];
        let parts = open.parts.iter().map(|&part| {
            let hooks = if open.bits & bit(part) == 0 {
                Err(self.refusal_of(part))
            } else {
                let of_part = |(program, _): &&(&'static str, String)| part_of(program) & bit(part) != 0;
                let refused: Vec<_> =
                    failed.iter().filter(of_part).map(|(program, why)| format!("{program}: {why}")).collect();
                if refused.is_empty() {
                    Ok(attached.iter().filter(of_part).map(|(_, hook)| hook.clone()).collect())
                } else {
                    Err((refused.join("; "), "see the daemon's log".to_owned()))
                }
            };
            PartState { part, hooks }
        });
        Session {
            id: open.id,
            parts: parts.collect(),
            workloads: open.workloads(),
            start: open.start,
            end: open.until,
            max_cpu_share: open.max_cpu_share,
            notes: self.sessions.watching.notes(&open.workloads()),
        }
    }

    /// Counts an event for those who watch its workload.
    pub(super) fn note_for_sessions(sessions: &mut Sessions, event: &Event) {
        for open in &mut sessions.open {
            open.note(event);
        }
    }

    /// Counts what of a watched workload was only counted.
    pub(super) fn note_folded_for_sessions(sessions: &mut Sessions, notice: &FoldNotice) {
        for open in &mut sessions.open {
            open.note_folded(notice);
        }
    }

    /// Counts what was lost of what sessions see.
    pub(super) fn note_lost_for_sessions(sessions: &mut Sessions, loss: &Loss) {
        if is_of_sessions(loss) {
            sessions.lost += loss.count;
        }
    }
}

/// It is of what sessions see alone, so that no figure of a window lacks anything.
pub(super) fn is_of_sessions(loss: &Loss) -> bool {
    let of_session = matches!(loss.kind, "tcp_response" | "packet_drop" | "signal" | "open_failure");
    of_session || (loss.source == LossSource::Probe && part_of(loss.kind) != 0)
}

/// What a session's stream is told by.
pub(super) type Teller = Sender<News>;
