//! Items by whose they are, so that a batch says that once.

use std::mem;
use std::sync::Arc;

use foldhash::HashMap;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::resource::resource;
use crate::event::{Workload, WorkloadId};

/// Items that are sent together, at most.
const MOST_ITEMS: usize = 2_048;
/// The bytes of such, at most: receivers take 4 MiB, mostly.
const MOST_BYTES: usize = 1 << 20;
/// So many batches find room in a queue at least, so that what is lost is a part.
const IN_QUEUE: usize = 8;

/// The bytes of a batch for a queue of so many, at most.
pub(super) fn most_bytes(queue_bytes: usize) -> usize {
    MOST_BYTES.min(queue_bytes / IN_QUEUE)
}

/// Items of one batch.
#[derive(Debug)]
pub(super) struct Grouped<T> {
    node_name: Arc<str>,
    groups: Vec<(Option<Arc<Workload>>, Vec<T>)>,
    /// Where each workload's are. What was told by others has no id, and is in no group twice by chance alone.
    places: HashMap<Option<WorkloadId>, usize>,
    items: usize,
    bytes: usize,
    most_bytes: usize,
}

impl<T: Message> Grouped<T> {
    /// For a queue of so many bytes.
    pub(super) fn new(node_name: &Arc<str>, queue_bytes: usize) -> Self {
        Self {
            node_name: Arc::clone(node_name),
            groups: Vec::new(),
            places: HashMap::default(),
            items: 0,
            bytes: 0,
            most_bytes: most_bytes(queue_bytes),
        }
    }

    pub(super) fn add(&mut self, workload: Option<Arc<Workload>>, item: T) {
        self.items += 1;
        self.bytes += item.encoded_len();
        let id = workload.as_ref().map(|workload| workload.id);
        let known = self.places.get(&id).filter(|_| id != Some(WorkloadId(0)));
        if let Some((known, items)) = known.and_then(|place| self.groups.get_mut(*place)) {
            // It may be known better by now.
            *known = workload;
            items.push(item);
        } else {
            self.places.insert(id, self.groups.len());
            self.groups.push((workload, vec![item]));
        }
    }

    /// No more belong into a batch.
    pub(super) const fn is_full(&self) -> bool {
        self.items >= MOST_ITEMS || self.bytes >= self.most_bytes
    }

    /// How many there are.
    pub(super) const fn items(&self) -> usize {
        self.items
    }

    /// Takes all out, each resource with its own.
    pub(super) fn take(&mut self) -> Vec<(Resource, Vec<T>)> {
        (self.items, self.bytes) = (0, 0);
        self.places.clear();
        let groups = mem::take(&mut self.groups).into_iter();
        groups.map(|(workload, items)| (resource(workload.as_ref(), &self.node_name), items)).collect()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::logs::v1::LogRecord;

    use super::*;
    use crate::event::examples;

    #[test]
    fn each_resource_is_told_once() {
        let mut grouped = Grouped::new(&"node".into(), 8 << 20);
        let pods = [1, 2].map(|id| examples::pod(id, "shop", &format!("pod-{id}")));
        for round in 0..3_u64 {
            for pod in pods.iter().map(Some).chain([None]) {
                let record = LogRecord { time_unix_nano: round, ..LogRecord::default() };
                grouped.add(pod.cloned(), record);
            }
        }
        assert_eq!(grouped.items(), 9);
        let all = grouped.take();
        let told: Vec<usize> = all.iter().map(|(_, records)| records.len()).collect();
        assert_eq!((told, grouped.items(), grouped.take().len()), (vec![3; 3], 0, 0));
        assert_eq!(all[2].0, resource(None, "node"));
        for _ in 0..MOST_ITEMS {
            assert!(!grouped.is_full());
            grouped.add(None, LogRecord::default());
        }
        assert!(grouped.is_full());
    }
}
