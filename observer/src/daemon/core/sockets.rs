//! Live sockets: read once an interval, and made known where no record told of them.

use super::Core;
use crate::decode;
use crate::event::Now;
use crate::probe::Ticks;

impl Core<'_> {
    /// Older sockets were all taken over since the last pass.
    pub(super) fn has_adopted(&self) -> bool {
        self.adoption.as_ref().is_some_and(std::thread::JoinHandle::is_finished)
    }

    /// Reads the live sockets. One that is in no table was taken over, or its event was lost, or is on
    /// its way: so only what was unknown the last time as well is asked for.
    pub(super) fn sample(&mut self, now: Now) {
        let (samples, tick) = (&mut self.samples, self.tick);
        samples.clear();
        match self.probes.sockets.sample(|raw| samples.extend(decode::sample(raw, tick))) {
            Ok(Some(ticks)) => self.learn(ticks),
            Ok(None) => {}
            Err(error) => log::warn!("{error}"),
        }
        let unknown = self.aggregator.sample(now.boot, &self.samples);
        let adopted = self.has_adopted() && self.adoption.take().is_some();
        let stays = unknown.keys().any(|id| self.unknown.contains_key(id));
        self.unknown = unknown;
        if adopted || (stays && self.aggregator.has_room()) {
            self.make_known(now);
        }
    }

    /// The length of a tick follows from two readings that are far enough apart.
    fn learn(&mut self, ticks: Ticks) {
        let first = *self.first_ticks.get_or_insert(ticks);
        let passed = ticks.jiffies.saturating_sub(first.jiffies);
        self.tick.learn(passed, ticks.time_ns.saturating_sub(first.time_ns));
    }

    fn make_known(&mut self, now: Now) {
        let mut found = Vec::new();
        let mut undecodable = 0;
        let listed = self.probes.sockets.list(|raw| match decode::known(raw) {
            Ok(known) => found.push(known),
            Err(_) => undecodable += 1,
        });
        if let Err(error) = listed {
            log::warn!("{error}");
        }
        self.undecodable += undecodable;
        self.attributor.listeners(found.iter().filter(|known| known.listens));
        for known in found.into_iter().filter(|known| !known.listens) {
            let Some(sample) = self.unknown.remove(&crate::event::ConnectionId(known.socket.cookie)) else {
                continue;
            };
            self.find_cgroup(known.cgroup_id, now);
            let connection = self.attributor.known(known, now, &mut self.out);
            self.aggregator.know(connection, &sample);
        }
        self.deliver(now);
    }
}
