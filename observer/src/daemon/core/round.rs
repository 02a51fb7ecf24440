//! What is due from time to time: late events, losses, samples, windows.

use super::sessions::is_of_sessions;
use super::sockets::Pass;
use super::{BASE_WINDOW_NS, Core};
use crate::event::{BootTime, LossSource, Now};
use crate::inventory::host;
use crate::record::Recorder;
use observer_ebpf::event::Kind;

/// Live sockets are read each second while somebody follows summaries, else so often.
const IDLE_SAMPLE_NS: u64 = 10_000_000_000;
/// With triggers more often, so that what stands still is found within 5 s.
const WATCHFUL_SAMPLE_NS: u64 = 2_000_000_000;
/// A pass that only triggers want may take one part in so many of a processor.
const WATCHFUL_SHARE: u64 = 100;
/// A pass over the live sockets may take one part in so many of the time: on a machine that is short of processors, or
/// with a million sockets, they are read less often, and records and clients still have their turn.
const SHARE: u64 = 4;
/// Pauses are whole windows, and the round in which the last one ended may have been this late: none is left without a reading
/// for that.
const EARLY_NS: u64 = BASE_WINDOW_NS / 2;
/// A pass that needs so little more time than there is comes all the same: it would have to wait for a whole window.
const SLACK_NS: u64 = BASE_WINDOW_NS / 8;

impl Core<'_> {
    /// What is due from time to time.
    pub(super) fn tick(&mut self) {
        let now = self.now();
        self.memory.measure(now.boot, || self.subscribers.give_way());
        self.attributor.expire(now, &mut self.out);
        self.deliver(now);
        self.count_folds(now, false);
        self.count_losses(now);
        self.tick_sessions(now);
        if self.adoption.is_due() || self.wants_sample(now.boot) {
            let begun = host::thread_time();
            self.sample(now);
            self.sampling.pass = Pass {
                wall_ns: self.now().boot.since_ns(now.boot),
                processor_ns: host::thread_time().saturating_sub(begun).as_nanos() as u64,
            };
        }
        for window in self.aggregator.advance(now.boot) {
            let fired = self.triggers.window(&window);
            self.subscribers.publish_window(&window, now);
            if let Some(recorder) = &mut self.recorder {
                recorder.window(&window, now);
            }
            self.fired(fired, now);
        }
        self.advance_incidents(now);
        self.probes.flush_log();
    }

    /// The live sockets are to be read now: as a window ends, so that what it tells of them is new.
    fn wants_sample(&self, now: BootTime) -> bool {
        let since_ns = now.since_ns(self.aggregator.sampled());
        let Pass { wall_ns, processor_ns } = self.sampling.pass;
        let least_ns = wall_ns * SHARE;
        let (wanted_ns, least_ns) = if self.subscribers.has_summaries() {
            (BASE_WINDOW_NS, least_ns)
        } else if !self.config.triggers.enabled {
            (IDLE_SAMPLE_NS, least_ns)
        } else {
            let wanted_ns = if self.triggers.looks_closer() { BASE_WINDOW_NS } else { WATCHFUL_SAMPLE_NS };
            // Nobody asked for it.
            (wanted_ns, least_ns.max((processor_ns * WATCHFUL_SHARE).min(IDLE_SAMPLE_NS)))
        };
        self.aggregator.is_over(now) && since_ns + EARLY_NS >= wanted_ns && since_ns + SLACK_NS >= least_ns
    }

    /// Asks every place that can lose something, and tells.
    pub(super) fn count_losses(&mut self, now: Now) {
        let silent_ends = self.take_silent_ends();
        let mut round = self.losses.round(now.boot);
        let read = self.probes.read_lost(|kind, cpu, count| {
            let source = if kind == Kind::Untracked { LossSource::KernelMap } else { LossSource::Ring };
            round.add(source, kind.name(), Some(cpu), count);
        });
        if let Err(error) = read {
            log::error!("{error}: losses in the rings are not counted now");
        }
        self.probes.read_missed(|program, count| round.add(LossSource::Probe, program, None, count));
        round.add(LossSource::Probe, Kind::Close.name(), None, silent_ends);
        round.add(LossSource::Decode, "records", None, std::mem::take(&mut self.undecodable));
        round.add(LossSource::Table, "lookups", None, std::mem::take(&mut self.refused_lookups));
        round.add(LossSource::Table, "translations", None, std::mem::take(&mut self.refused_translations));
        for (table, count) in self.attributor.take_overflows() {
            round.add(LossSource::Table, table, None, count);
        }
        for loss in self.aggregator.losses(now.boot) {
            round.add(loss.source, loss.kind, loss.cpu, loss.count);
        }
        let missed = self.recorder.as_mut().map_or(0, Recorder::take_missed);
        round.add(LossSource::Table, "recording", None, missed);
        round.add(LossSource::Netns, "network_namespaces", None, self.adoption.take_unsearched());
        for loss in round.finish() {
            // An answer that is lost is a name that is not shown: no figure lacks anything.
            let figures = loss.kind != Kind::DnsAnswer.name() && !is_of_sessions(&loss);
            if figures && !matches!(loss.source, LossSource::Table | LossSource::Netns) {
                self.aggregator.lost(loss.count);
            }
            Self::note_lost_for_sessions(&mut self.sessions, &loss);
            self.subscribers.publish_loss(&loss);
        }
    }
}
