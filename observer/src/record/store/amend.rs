//! What became known of events after they were recorded.

use bytes::Bytes;
use foldhash::HashMap;
use observer_proto::{Fields, Value};
use prost::encoding::{WireType, encode_key, encode_varint};
use redb::ReadTransaction;

use super::tables::{AMENDED, COMPLETED};
use super::{Raw, Result};
use crate::record::block::{frame, items};

/// `Event.workload`.
const WORKLOAD: u32 = 5;
/// `Workload.cgroup_id`.
const CGROUP: u32 = 11;

/// What became known later of the events of a block.
#[derive(Debug, Default)]
pub(crate) struct Amendments {
    /// Whole events, by number.
    events: HashMap<u64, Bytes>,
    /// Workloads by cgroup, up to a number.
    workloads: HashMap<u64, (u64, Bytes)>,
}

impl Amendments {
    /// Of the events of a run with these numbers and those between.
    pub(super) fn of(read: &ReadTransaction, run: u32, [first, last]: [u64; 2]) -> Result<Self> {
        let mut found = Self::default();
        for one in read.open_table(AMENDED)?.range((run, first)..=(run, last))? {
            let (key, event) = one?;
            found.events.insert(key.value().1, Bytes::copy_from_slice(event.value()));
        }
        for one in read.open_table(COMPLETED)?.range((run, 0)..=(run, u64::MAX))? {
            let (key, value) = one?;
            let (until, workload) = value.value();
            if until >= first {
                found.workloads.insert(key.value().1, (until, Bytes::copy_from_slice(workload)));
            }
        }
        Ok(found)
    }

    /// Takes what was handed out of it.
    pub(crate) fn learn(&mut self, raw: Raw) {
        match raw {
            Raw::Amended(number, event) => drop(self.events.insert(number, event)),
            Raw::Completed(cgroup, until, workload) => drop(self.workloads.insert(cgroup, (until, workload))),
            Raw::Run(_) | Raw::Gap(..) | Raw::Block(_) => {}
        }
    }

    /// An event in its frame and out of it, as it is known now.
    pub(crate) fn apply(&self, number: u64, payload: Bytes, event: Bytes) -> (Bytes, Bytes) {
        let amended = self.events.get(&number).and_then(|framed| items(framed).next());
        let (payload, event) = amended.unwrap_or((payload, event));
        let newer = if self.workloads.is_empty() { None } else { self.completed(number, &event) };
        match newer {
            None => (payload, event),
            Some(event) => {
                let framed = Bytes::from(frame(&event));
                let event = framed.slice(framed.len() - event.len()..);
                (framed, event)
            }
        }
    }

    /// The event with what is known of its workload, where that is more.
    fn completed(&self, number: u64, event: &[u8]) -> Option<Vec<u8>> {
        let mut fields = Fields::of(event);
        let mut begin = 0;
        let (told, end) = loop {
            let field = fields.next()?;
            let end = event.len() - fields.rest().len();
            if let (WORKLOAD, Value::Bytes(workload)) = field {
                break (workload, end);
            }
            begin = end;
        };
        let (until, workload) = self.workloads.get(&cgroup(told)?)?;
        if number > *until || told == &workload[..] {
            return None;
        }
        let mut newer = Vec::with_capacity(event.len() + workload.len());
        newer.extend_from_slice(&event[..begin]);
        encode_key(WORKLOAD, WireType::LengthDelimited, &mut newer);
        encode_varint(workload.len() as u64, &mut newer);
        newer.extend_from_slice(workload);
        newer.extend_from_slice(&event[end..]);
        Some(newer)
    }
}

/// The cgroup of a workload that is encoded.
pub(super) fn cgroup(workload: &[u8]) -> Option<u64> {
    Fields::of(workload).find_map(|field| match field {
        (CGROUP, Value::Number(cgroup)) => Some(cgroup),
        _ => None,
    })
}
