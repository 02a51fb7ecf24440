//! Every count of something that we failed to see, in one place.

use std::collections::BTreeMap;

use crate::event::{BootTime, Loss, LossSource};

/// What has been lost since the daemon started.
#[derive(Default)]
pub(crate) struct Losses {
    totals: BTreeMap<(LossSource, &'static str, Option<u32>), Total>,
    /// Up to when each source of losses has been asked.
    asked: BootTime,
}

struct Total {
    count: u64,
    since: BootTime,
    until: BootTime,
}

impl Losses {
    /// Nothing is lost before `now`.
    pub(crate) fn new(now: BootTime) -> Self {
        Self { totals: BTreeMap::new(), asked: now }
    }

    /// Begins a round of asking: losses found now happened since the last round.
    pub(crate) fn round(&mut self, now: BootTime) -> Round<'_> {
        let since = std::mem::replace(&mut self.asked, now);
        Round { losses: self, since, until: now, found: Vec::new() }
    }

    /// All losses so far, by source, kind and CPU.
    pub(crate) fn all(&self) -> Vec<Loss> {
        self.totals
            .iter()
            .map(|(&(source, kind, cpu), total)| Loss {
                source,
                kind,
                cpu,
                count: total.count,
                since: total.since,
                until: total.until,
            })
            .collect()
    }

    /// How many records one ring has lost.
    pub(crate) fn of_ring(&self, belongs: impl Fn(&str) -> bool) -> u64 {
        self.totals
            .iter()
            .filter(|((source, kind, _), _)| *source == LossSource::Ring && belongs(kind))
            .map(|(_, total)| total.count)
            .sum()
    }
}

/// One round of asking.
pub(crate) struct Round<'a> {
    losses: &'a mut Losses,
    since: BootTime,
    until: BootTime,
    found: Vec<Loss>,
}

impl Round<'_> {
    /// So many of one kind are gone.
    pub(crate) fn add(&mut self, source: LossSource, kind: &'static str, cpu: Option<u32>, count: u64) {
        if count == 0 {
            return;
        }
        let (since, until) = (self.since, self.until);
        let total = self.losses.totals.entry((source, kind, cpu)).or_insert(Total { count: 0, since, until });
        total.count += count;
        total.until = until;
        self.found.push(Loss { source, kind, cpu, count, since, until });
    }

    /// What this round found.
    pub(crate) fn finish(self) -> Vec<Loss> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_add_up_and_say_when() {
        let mut losses = Losses::new(BootTime(10));
        let mut round = losses.round(BootTime(20));
        round.add(LossSource::Ring, "tcp_close", Some(1), 3);
        round.add(LossSource::Ring, "tcp_close", Some(0), 0);
        assert_eq!(round.finish().len(), 1, "nothing lost is nothing to tell");
        let mut round = losses.round(BootTime(30));
        round.add(LossSource::Ring, "tcp_close", Some(1), 4);
        let found = round.finish();
        assert_eq!((found[0].since, found[0].until, found[0].count), (BootTime(20), BootTime(30), 4));
        let all = losses.all();
        assert_eq!((all[0].since, all[0].until, all[0].count), (BootTime(10), BootTime(30), 7));
        assert_eq!(losses.of_ring(|kind| kind.starts_with("tcp")), 7);
    }
}
