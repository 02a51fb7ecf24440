//! What the file holds: redb's tables.

use redb::{ReadableTable, TableDefinition};

use crate::event::WallTime;
use crate::record::Kind;

/// Runs of the daemon, by their number in this file: `RecordedRun`, encoded.
pub(super) const RUNS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("runs");
/// Blocks, by kind, run and the number of their first item.
pub(super) const BLOCKS: TableDefinition<'_, BlockKey, HeaderValue> = TableDefinition::new("blocks");
/// What is large, in slices that fill redb's pages.
pub(super) const SLICES: TableDefinition<'_, (u64, u16), &[u8]> = TableDefinition::new("slices");
/// Gaps, by the run, the number of the event before them in it, and their own number there: `Gap`, encoded.
pub(super) const GAPS: TableDefinition<'_, (u32, u64, u32), &[u8]> = TableDefinition::new("gaps");
/// Events of which more became known later, by run and number: framed, as in a block.
pub(super) const AMENDED: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("amended");
/// Workloads of which more became known later, by run and cgroup: up to which event, and `Workload`, encoded.
pub(super) const COMPLETED: TableDefinition<'_, (u32, u64), (u64, &[u8])> = TableDefinition::new("completed");
/// Incidents, by their id: `Incident`, encoded.
pub(super) const INCIDENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("incidents");
/// What else is kept for them: the time, and the snapshot of their opening.
pub(super) const KEPT: TableDefinition<'_, &str, KeptValue> = TableDefinition::new("kept");

/// Kind, run, number of the first item.
pub(super) type BlockKey = (u8, u32, u64);
/// The fields of `Header` in their order.
pub(super) type HeaderValue = (u64, u64, u64, u32, u32, u32, u64);
/// From when and until when events are kept; and the snapshot: its slices' name, its bytes as they are and before they were
/// compressed.
pub(super) type KeptValue = (u64, u64, u64, u32, u32);

/// What is known of a block without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) last: u64,
    pub(super) since: WallTime,
    pub(super) until: WallTime,
    pub(super) count: u32,
    pub(super) raw_bytes: u32,
    /// As it is in slices.
    pub(super) bytes: u32,
    /// Names its slices.
    pub(super) blob: u64,
}

impl From<HeaderValue> for Header {
    fn from((last, since, until, count, raw_bytes, bytes, blob): HeaderValue) -> Self {
        Self { last, since: WallTime(since), until: WallTime(until), count, raw_bytes, bytes, blob }
    }
}

impl From<Header> for HeaderValue {
    fn from(header: Header) -> Self {
        let Header { last, since, until, count, raw_bytes, bytes, blob } = header;
        (last, since.0, until.0, count, raw_bytes, bytes, blob)
    }
}

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) kind: Kind,
    pub(super) run: u32,
    pub(super) first: u64,
}

impl At {
    pub(super) const fn key(self) -> BlockKey {
        (self.kind as u8, self.run, self.first)
    }
}

/// Takes an entry of the table of blocks; `None` for kinds of a later version.
pub(super) fn entry((kind, run, first): BlockKey, value: HeaderValue) -> Option<(At, Header)> {
    let kind = [Kind::Events, Kind::Windows].into_iter().find(|of| *of as u8 == kind)?;
    Some((At { kind, run, first }, value.into()))
}

/// The blocks of a kind, in order.
pub(super) fn blocks(
    table: &impl ReadableTable<BlockKey, HeaderValue>,
    kind: Kind,
    from: (u32, u64),
    to: (u32, u64),
) -> Result<impl DoubleEndedIterator<Item = Result<(At, Header), redb::StorageError>>, redb::StorageError> {
    let (from, to) = ((kind as u8, from.0, from.1), (kind as u8, to.0, to.1));
    let found = table.range(from..=to)?;
    Ok(found.filter_map(|one| match one {
        Ok((key, value)) => entry(key.value(), value.value()).map(Ok),
        Err(error) => Some(Err(error)),
    }))
}
