//! What listeners tell, and what it means for their workloads.

use std::net::IpAddr;

use foldhash::{HashMap, HashMapExt as _, HashSet};

use super::Aggregator;
use crate::event::{BootTime, Connection, Listener, QueueSample};

impl Aggregator {
    /// Takes the readings of all listeners. Gives those that are not in the table.
    pub(crate) fn sample_listeners(&mut self, samples: &[QueueSample]) -> Vec<QueueSample> {
        let figures = &mut self.figures;
        self.listeners.read(samples, |listener, dropped| figures.listener(listener, dropped, 0))
    }

    /// A listener that was not in the table.
    pub(crate) fn know_listener(&mut self, listener: Listener, sample: &QueueSample) {
        let figures = &mut self.figures;
        self.listeners.add(listener, sample, |listener, dropped| figures.listener(listener, dropped, 0));
    }

    /// The network namespaces whose listeners have dropped something since the last call, each with the
    /// processes that listen there. What of that found a queue full, only the namespace counts.
    pub(crate) fn dropping(&mut self) -> Vec<(u32, Vec<u32>)> {
        self.listeners.dropping()
    }

    /// So many of what the listeners of a namespace have dropped found a queue full; `None`: not known.
    /// Gives how many of them are later than the readings.
    pub(crate) fn overflowed(&mut self, netns: u32, count: Option<u64>) -> u64 {
        let figures = &mut self.figures;
        self.listeners.overflowed(netns, count, |listener, count| figures.listener(listener, 0, count))
    }

    /// The network namespaces that have a listener.
    pub(crate) fn listening_netns(&self) -> HashSet<u32> {
        self.listeners.netns()
    }

    /// The listeners that `matches` lets pass, the fullest first.
    pub(crate) fn listeners(&self, matches: impl Fn(&Listener) -> bool) -> Vec<Listener> {
        let mut waiting: HashMap<(u32, u16), Vec<(IpAddr, BootTime)>> = HashMap::new();
        for connection in self.connections.all() {
            let Connection { tcp, start, .. } = connection;
            if connection.waits_for_accept() {
                waiting.entry((tcp.netns, tcp.local.port())).or_default().push((tcp.local.ip(), *start));
            }
        }
        self.listeners.list(matches, |listener| {
            let here = |ip: IpAddr| listener.local.ip().is_unspecified() || listener.local.ip() == ip;
            let there = waiting.get(&(listener.netns, listener.local.port()))?;
            there.iter().filter(|(ip, _)| here(*ip)).map(|(_, start)| *start).min()
        })
    }
}
