//! Live sockets: read once an interval, and made known where no record told of them.

use foldhash::{HashMap, HashMapExt as _};

use super::{BATCH, Core};
use crate::decode::{self, Known, Reading};
use crate::event::{ConnectionId, Now, QueueSample, Sample};
use crate::inventory::overflows::Overflows;
use crate::probe::Ticks;
use observer_ebpf::event::Kind;

/// What the last pass over the live sockets took.
#[derive(Clone, Copy, Default)]
pub(super) struct Pass {
    /// How long it lasted.
    pub(super) wall_ns: u64,
    /// What it took of a processor: less, where others took that away.
    pub(super) processor_ns: u64,
}

/// What is kept from one pass over the live sockets to the next.
#[derive(Default)]
pub(super) struct Sampling {
    samples: Vec<Sample>,
    queues: Vec<QueueSample>,
    overflows: Overflows,
    pub(super) pass: Pass,
    /// Readings of live sockets that are in no table, as of the last pass.
    unknown: HashMap<ConnectionId, Sample>,
    /// The first reading of the kernel's ticks.
    first_ticks: Option<Ticks>,
    /// Connections of which no reading has found anything any more, and those of them that were told as lost.
    gone: [u64; 2],
}

impl Core<'_> {
    /// Reads the live sockets. One that is in no table was taken over, or its event was lost, or is on
    /// its way: so only what was unknown the last time as well is asked for, once it is known who lives here.
    pub(super) fn sample(&mut self, now: Now) {
        let knows = self.adoption.knows();
        let adopted = knows && self.adoption.end();
        let Sampling { samples, queues, .. } = &mut self.sampling;
        let tick = self.tick;
        let (aggregator, mut unknown) = (&mut self.aggregator, HashMap::new());
        // Those that there is no room for need not be known.
        let most = if adopted { usize::MAX } else { aggregator.room() };
        samples.clear();
        queues.clear();
        aggregator.begin_pass(now.boot);
        let take = |raw: &_| match decode::sample(raw, tick) {
            Reading::Connection(sample) => {
                samples.push(sample);
                // Held all at once they would be the daemon's largest piece of memory.
                if samples.len() == BATCH {
                    keep(&mut unknown, aggregator.sample(now.boot, samples), most);
                    samples.clear();
                }
            }
            Reading::Listener(queue) => queues.push(queue),
        };
        let ticks = match self.probes.sockets.sample(take) {
            Ok(ticks) => ticks,
            // Half a pass would tell of sockets that are gone.
            Err(error) => return log::warn!("{error}"),
        };
        keep(&mut unknown, self.aggregator.sample(now.boot, &self.sampling.samples), most);
        self.sampling.samples.clear();
        // Without ticks there was no pass: this kernel has no such iterator.
        if let Some(ticks) = ticks {
            self.learn(ticks);
            self.aggregator.end_pass();
        }
        let listeners = self.aggregator.sample_listeners(&self.sampling.queues);
        let stays = unknown.keys().any(|id| self.sampling.unknown.contains_key(id));
        self.sampling.unknown = unknown;
        if knows && (adopted || (stays && self.aggregator.room() > 0) || !listeners.is_empty()) {
            self.make_known(&listeners, adopted, now);
        }
        self.explain_drops();
    }

    /// Asks the network namespaces where something was dropped how much of that found a queue full.
    fn explain_drops(&mut self) {
        for (netns, pids) in self.aggregator.dropping() {
            // Whoever called listen() may be gone; another process of the namespace will do.
            let count = pids.into_iter().find_map(|pid| self.sampling.overflows.since(netns, pid));
            let early = self.aggregator.overflowed(netns, count);
            self.sampling.overflows.put_back(netns, early);
        }
        let listening = self.aggregator.listening_netns();
        self.sampling.overflows.retain(|netns| listening.contains(&netns));
    }

    /// Connections whose ends were lost without a word since the last call: no reading finds them any more, and the
    /// ring has not lost so many ends, which are told already.
    pub(super) fn take_silent_ends(&mut self) -> u64 {
        let in_ring = self.losses.of_ring(|kind| kind == Kind::Close.name());
        let [gone, told] = &mut self.sampling.gone;
        *gone += self.aggregator.take_gone();
        let silent = gone.saturating_sub(in_ring + *told);
        *told += silent;
        silent
    }

    /// The length of a tick follows from two readings that are far enough apart.
    fn learn(&mut self, ticks: Ticks) {
        let first = *self.sampling.first_ticks.get_or_insert(ticks);
        let passed = ticks.jiffies.saturating_sub(first.jiffies);
        self.tick.learn(passed, ticks.time_ns.saturating_sub(first.time_ns));
    }

    fn find_holder(&mut self, known: &Known, now: Now) {
        self.find_cgroup(known.cgroup_id, now);
        if let Some(task) = &known.task {
            self.find_process(task.key);
        }
    }

    /// Looks up who the sockets are that are in no table. Those that were `adopted` are told as lost where there is no
    /// room for them; the others were told already.
    fn make_known(&mut self, listeners: &[QueueSample], adopted: bool, now: Now) {
        let mut found = Vec::new();
        let mut undecodable = 0;
        let unknown = &self.sampling.unknown;
        let listed = self.probes.sockets.list(|raw| match decode::known(raw) {
            // All of them would be the daemon's largest piece of memory.
            Ok(known) if known.listens || unknown.contains_key(&ConnectionId(known.socket.cookie)) => {
                found.push(known);
            }
            Ok(_) => {}
            Err(_) => undecodable += 1,
        });
        if let Err(error) = listed {
            log::warn!("{error}");
        }
        self.undecodable += undecodable;
        self.attributor.listeners(found.iter().filter(|known| known.listens));
        let queues: HashMap<ConnectionId, &QueueSample> =
            listeners.iter().map(|sample| (sample.id, sample)).collect();
        for known in found {
            let id = ConnectionId(known.socket.cookie);
            if let Some(sample) = queues.get(&id).filter(|_| known.listens) {
                self.find_holder(&known, now);
                let listener = self.attributor.listener(known);
                if let Some(process) = listener.process.as_ref().filter(|_| listener.adopted) {
                    self.sampling.overflows.begin(listener.netns, process.key.pid);
                }
                self.aggregator.know_listener(listener, sample);
            } else if ((adopted && known.adopted) || self.aggregator.room() > 0)
                && let Some(sample) = self.sampling.unknown.remove(&id)
            {
                self.find_holder(&known, now);
                let connection = self.attributor.known(known, now, &mut self.out);
                self.aggregator.know(connection, &sample, now.boot);
            }
        }
        self.deliver(now);
    }
}

/// Adds readings, as long as there are no more than `most`.
fn keep(unknown: &mut HashMap<ConnectionId, Sample>, more: HashMap<ConnectionId, Sample>, most: usize) {
    unknown.extend(more.into_iter().take(most.saturating_sub(unknown.len())));
}
