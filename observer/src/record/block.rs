//! Blocks: runs of events or windows, as they were told, compressed together.

use bytes::{BufMut as _, Bytes};
use observer_proto::{Fields, Value};
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::event::WallTime;

/// A block is full with so many bytes before they are compressed.
const FULL_BYTES: usize = 256 << 10;
/// No block that was made here has more than this, so that a damaged one costs no more memory.
pub(crate) const MOST_BYTES: usize = 64 << 20;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Events: each as field 1 of a message, which is how a stream of events has it as well.
    Events = 1,
    /// Windows, likewise.
    Windows,
}

/// A block, compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) kind: Kind,
    /// The number of its first item within the run.
    pub(crate) first: u64,
    /// The number of its last item.
    pub(crate) last: u64,
    /// The earliest moment in it.
    pub(crate) since: WallTime,
    /// The latest moment in it.
    pub(crate) until: WallTime,
    /// How many items it has.
    pub(crate) count: u32,
    /// How many bytes it has before they are compressed.
    pub(crate) raw_bytes: u32,
    pub(crate) data: Bytes,
}

/// A block is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a block is damaged")]
pub(crate) struct Damaged;

impl Block {
    /// What was compressed.
    pub(crate) fn raw(&self) -> Result<Bytes, Damaged> {
        decompress(&self.data, self.raw_bytes)
    }
}

/// Takes so many bytes out of what they were compressed to.
pub(crate) fn decompress(data: &[u8], raw_bytes: u32) -> Result<Bytes, Damaged> {
    let length = raw_bytes as usize;
    if length > MOST_BYTES {
        return Err(Damaged);
    }
    let raw = lz4_flex::block::decompress(data, length).map_err(|_error| Damaged)?;
    if raw.len() == length { Ok(raw.into()) } else { Err(Damaged) }
}

/// A block that is not full yet.
#[derive(Debug)]
pub(crate) struct Filling {
    kind: Kind,
    first: u64,
    last: u64,
    since: WallTime,
    until: WallTime,
    count: u32,
    raw: Vec<u8>,
}

impl Filling {
    /// Without anything in it.
    pub(crate) const fn new(kind: Kind) -> Self {
        let (since, until) = (WallTime(u64::MAX), WallTime(0));
        Self { kind, first: 0, last: 0, since, until, count: 0, raw: Vec::new() }
    }

    /// Adds an item with its number, its first and its last moment. `framed` is it with its field's number and length.
    pub(crate) fn push(&mut self, number: u64, [since, until]: [WallTime; 2], framed: &[u8]) {
        if self.count == 0 {
            self.first = number;
        }
        self.last = number;
        self.since = self.since.min(since);
        self.until = self.until.max(until);
        self.count += 1;
        self.raw.extend_from_slice(framed);
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.raw.len() >= FULL_BYTES
    }

    /// It as it is so far.
    pub(crate) fn block(&self) -> Block {
        Block {
            kind: self.kind,
            first: self.first,
            last: self.last,
            since: self.since,
            until: self.until,
            count: self.count,
            raw_bytes: self.raw.len() as u32,
            data: lz4_flex::block::compress(&self.raw).into(),
        }
    }

    /// Begins anew.
    pub(crate) fn clear(&mut self) {
        let mut raw = std::mem::take(&mut self.raw);
        raw.clear();
        *self = Self { raw, ..Self::new(self.kind) };
    }
}

/// Puts a message into the frame that it has in a block.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(message.len() + 5);
    encode_key(1, WireType::LengthDelimited, &mut framed);
    encode_varint(message.len() as u64, &mut framed);
    framed.put_slice(message);
    framed
}

/// The items of a block, each in its frame and out of it.
pub(crate) fn items(raw: &Bytes) -> impl Iterator<Item = (Bytes, Bytes)> + use<> {
    let mut rest = raw.clone();
    std::iter::from_fn(move || {
        let mut fields = Fields::of(&rest);
        let Some((1, Value::Bytes(item))) = fields.next() else { return None };
        let length = rest.len() - fields.rest().len();
        let item = rest.slice(length - item.len()..length);
        Some((rest.split_to(length), item))
    })
}

/// The number of an event that is encoded; it comes first.
pub(crate) fn sequence(event: &[u8]) -> u64 {
    let of = |(number, value)| {
        if let (1, Value::Number(sequence)) = (number, value) { Some(sequence) } else { None }
    };
    Fields::of(event).find_map(of).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(items: &[&[u8]]) -> Filling {
        let mut filling = Filling::new(Kind::Events);
        for (place, item) in items.iter().enumerate() {
            let at = WallTime(100 - place as u64);
            filling.push(7 + place as u64, [at, at], &frame(item));
        }
        filling
    }

    #[test]
    fn what_goes_in_comes_out() {
        let mut filling = filled(&[b"one", b"", &[9; 1000]]);
        let block = filling.block();
        assert_eq!((block.first, block.last, block.count), (7, 9, 3));
        assert_eq!((block.since, block.until), (WallTime(98), WallTime(100)));
        let raw = block.raw().unwrap();
        let out: Vec<_> = items(&raw).map(|(_, item)| item).collect();
        assert_eq!(out, [&b"one"[..], b"", &[9; 1000]]);
        assert!(items(&raw).all(|(framed, item)| framed == frame(&item)));
        filling.clear();
        assert!(filling.is_empty() && filling.block().raw().unwrap().is_empty());
    }

    #[test]
    fn a_damaged_block_is_refused() {
        let block = filled(&[&[1; 5000], &[2; 5000]]).block();
        for change in 0..block.data.len() {
            let mut data = block.data.to_vec();
            data[change] ^= 0x55;
            let damaged = Block { data: data.into(), ..block.clone() };
            // LZ4 has no checksum of its own, so some changes are other bytes; no more of them.
            assert!(damaged.raw().is_err() || damaged.raw().unwrap().len() == block.raw_bytes as usize);
        }
        assert_eq!(Block { raw_bytes: u32::MAX, ..block.clone() }.raw(), Err(Damaged));
        assert_eq!(Block { raw_bytes: block.raw_bytes - 1, ..block.clone() }.raw(), Err(Damaged));
        assert_eq!(Block { data: block.data.slice(..9), ..block }.raw(), Err(Damaged));
    }
}
