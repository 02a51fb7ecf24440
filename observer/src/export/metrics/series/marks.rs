//! The incidents behind the figures of a group's subjects, by the labels of the workload alone: what is told of it and of its
//! edges, now or later, has the same.

use std::collections::BTreeMap;

use crate::event::WallTime;
use crate::event::Workload;
use crate::export::metrics::labels::{Label, put_key, values};
use crate::export::metrics::subject::Exemplar;
use crate::export::metrics::table::Metric;

/// So many workloads are kept in mind.
const MOST: usize = 256;
/// Between two values: none of them holds it.
const BETWEEN: char = '\0';

/// Incidents by what they are about.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<Box<str>, BTreeMap<i32, Exemplar>>);

impl Marks {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An incident is about this workload. A newer one stays.
    pub(super) fn put(&mut self, labels: &[Label], workload: &Workload, kind: i32, exemplar: &Exemplar) {
        let mut key = String::new();
        put_key(&mut key, labels, workload, None);
        let of = self.0.entry(own(labels, &key)).or_default();
        if of.get(&kind).is_none_or(|known| known.time <= exemplar.time) {
            of.insert(kind, exemplar.clone());
        }
        if self.0.len() > MOST {
            let oldest = self.0.iter().min_by_key(|(_, of)| newest(of)).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.0.remove(&key));
        }
    }

    /// The newest incident among those that this metric's triggers opened, of the subject with that key.
    pub(super) fn of(&self, labels: &[Label], key: &str, metric: &Metric) -> Option<&Exemplar> {
        if metric.exemplars.is_empty() || self.is_empty() {
            return None;
        }
        let of = self.0.get(&own(labels, key))?;
        let of_metric = metric.exemplars.iter().filter_map(|kind| of.get(&i32::from(*kind)));
        of_metric.max_by_key(|exemplar| exemplar.time)
    }

    /// Forgets those that are older than that and about none of these subjects.
    pub(super) fn forget<'a>(
        &mut self,
        before: WallTime,
        labels: &[Label],
        keys: impl Iterator<Item = &'a str>,
    ) {
        if self.is_empty() {
            return;
        }
        let there: std::collections::BTreeSet<Box<str>> = keys.map(|key| own(labels, key)).collect();
        self.0.retain(|key, of| newest(of) >= Some(before) || there.contains(key));
    }
}

fn newest(of: &BTreeMap<i32, Exemplar>) -> Option<WallTime> {
    of.values().map(|exemplar| exemplar.time).max()
}

/// What a key says of the workload, without the other side.
fn own(labels: &[Label], key: &str) -> Box<str> {
    let of_workload = labels.iter().zip(values(key)).filter(|(label, _)| !label.is_of_edge());
    let mut own = String::with_capacity(key.len());
    for (_, value) in of_workload {
        own.push_str(value);
        own.push(BETWEEN);
    }
    own.into()
}
