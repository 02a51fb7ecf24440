//! The fields of an encoded message, one by one, without decoding it.

use prost::encoding::{WireType, decode_key, decode_varint};

/// The fields in the order in which they are encoded. Ends early where the message is malformed.
#[derive(Clone, Debug)]
pub struct Fields<'a>(&'a [u8]);

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number, an enumerator or a truth value.
    Number(u64),
    /// Text, bytes or a message.
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    /// Those of this message.
    pub const fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    fn take<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let (value, rest) = self.0.split_first_chunk::<LENGTH>()?;
        self.0 = rest;
        Some(*value)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (number, wire_type) = decode_key(&mut self.0).ok()?;
        let value = match wire_type {
            WireType::Varint => Value::Number(decode_varint(&mut self.0).ok()?),
            WireType::SixtyFourBit => Value::Number(u64::from_le_bytes(self.take()?)),
            WireType::ThirtyTwoBit => Value::Number(u32::from_le_bytes(self.take()?).into()),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut self.0).ok()?).ok()?;
                let (value, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Value::Bytes(value)
            }
            // proto3 has no groups.
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        Some((number, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;
    use prost::Message as _;

    #[test]
    fn fields_come_as_they_are_encoded() {
        let event = v1::Event { sequence: 300, node_name: "n".to_owned(), ..v1::Event::default() };
        let bytes = event.encode_to_vec();
        let fields: Vec<_> = Fields::of(&bytes).collect();
        assert_eq!(fields, [(1, Value::Number(300)), (4, Value::Bytes(b"n"))]);
    }

    #[test]
    fn a_malformed_message_ends_early() {
        let event = v1::Event { sequence: 300, node_name: "node".to_owned(), ..v1::Event::default() };
        let bytes = event.encode_to_vec();
        for length in 0..bytes.len() {
            assert!(Fields::of(&bytes[..length]).count() < 2, "{length}");
        }
        // A group, and a length beyond the end.
        assert_eq!(Fields::of(&[0x0b, 0x0c]).count(), 0);
        assert_eq!(
            Fields::of(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).count(),
            0
        );
    }
}
