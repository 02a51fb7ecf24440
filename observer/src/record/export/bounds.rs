//! How many messages may be in others: a file of a few bytes may be one that takes all memory once it is decoded.

use prost::bytes::Buf as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// So deep messages are looked into; below, none holds many others.
const DEPTH: usize = 5;

/// The most fields in messages, by how deep they are: 1 for those of the message itself. Texts are looked into as well, as
/// they cannot be told from messages, so there is room for what they seem to hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nested([u64; DEPTH]);

/// Of a part that holds no list.
pub(super) const PLAIN: Nested = Nested([1 << 12; DEPTH]);
/// Of an incident with its snapshot, which has 2,000 connections.
pub(super) const INCIDENT: Nested = Nested([1 << 4, 1 << 16, 1 << 18, 1 << 19, 1 << 19]);
/// Of extras.
pub(super) const EXTRAS: Nested =
    Nested([super::raw::EXTRAS_COUNT as u64, 1 << 16, 1 << 20, 1 << 20, 1 << 20]);
/// Of all windows of a block together: they are decoded at once.
pub(super) const WINDOWS: Nested = Nested([1 << 18, 1 << 21, 1 << 22, 1 << 22, 1 << 22]);

/// The most windows of a block.
pub(super) const MOST_WINDOWS: u64 = 1 << 16;

/// What was counted so far.
#[derive(Debug)]
pub(super) struct Count {
    left: [u64; DEPTH],
}

impl Count {
    pub(super) const fn up_to(most: Nested) -> Self {
        Self { left: most.0 }
    }

    /// Counts the messages, texts and bytes in a message; false once there are more than there may be. Reads as far as the
    /// message would be decoded.
    pub(super) fn add(&mut self, message: &[u8]) -> bool {
        add(&mut self.left, message)
    }
}

fn add(left: &mut [u64], mut message: &[u8]) -> bool {
    let Some((here, deeper)) = left.split_first_mut() else { return true };
    while let Ok((tag, kind)) = decode_key(&mut message) {
        if kind != WireType::LengthDelimited {
            if skip_field(kind, tag, &mut message, DecodeContext::default()).is_err() {
                break;
            }
            continue;
        }
        let length = decode_varint(&mut message).map_or(usize::MAX, |length| length as usize);
        let Some(inner) = message.get(..length) else { break };
        let Some(fewer) = here.checked_sub(1) else { return false };
        *here = fewer;
        if !add(deeper, inner) {
            return false;
        }
        message.advance(length);
    }
    true
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::{Connection, Gap, Snapshot, StoredIncident};
    use prost::Message as _;

    use super::*;

    #[test]
    fn what_is_in_messages_is_counted_by_depth() {
        let snapshot = Snapshot { connections: vec![Connection::default(); 3], ..Snapshot::default() };
        let stored = StoredIncident { incident: None, opening: Some(snapshot) }.encode_to_vec();
        let fits = |most: [u64; DEPTH]| Count::up_to(Nested(most)).add(&stored);
        assert!(fits([1, 3, 0, 0, 0]));
        assert!(!fits([1, 2, 0, 0, 0]) && !fits([0, 3, 0, 0, 0]));
        // Also where something comes before that no message has, and the end is missing.
        let hidden = [&[0x63, 0x64], &stored[..], &[0x0a, 0x7f]].concat();
        let fits = |most: [u64; DEPTH]| Count::up_to(Nested(most)).add(&hidden);
        assert!(fits([1, 3, 0, 0, 0]) && !fits([1, 2, 0, 0, 0]));
    }

    #[test]
    fn a_count_goes_on_over_messages() {
        let gap = Gap { message: "!".to_owned(), ..Gap::default() }.encode_to_vec();
        let mut count = Count::up_to(Nested([2, 0, 0, 0, 0]));
        assert_eq!([count.add(&gap), count.add(&gap), count.add(&gap)], [true, true, false]);
    }
}
