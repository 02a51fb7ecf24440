//! Messages that are encoded once and sent to many: what the generated code of the server's side has in their places.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{
    DecodeContext, WireType, decode_varint, encode_key, encode_varint, encoded_len_varint, key_len, message,
    skip_field,
};
use prost::{DecodeError, Message};
use prost_types::Timestamp;

use crate::Mask;
use crate::served::{Event, Folded, History, Lost, NodeStatus};
use crate::v1::Gap;

/// The fields of a message, encoded. Cloning it copies nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Encoded(Bytes);

impl Encoded {
    /// Encodes a message.
    pub fn of(message: &impl Message) -> Self {
        Self(message.encode_to_vec().into())
    }
}

impl From<Bytes> for Encoded {
    /// Takes what was encoded before.
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Encoded> for Bytes {
    fn from(Encoded(bytes): Encoded) -> Self {
        bytes
    }
}

impl Message for Encoded {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(&self.0);
    }

    /// Keeps the field as it came. Nothing that a client sends holds one; what is pruned by a mask does.
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        let mut kept = Vec::from(std::mem::take(&mut self.0));
        encode_key(tag, wire_type, &mut kept);
        let length = match wire_type {
            WireType::Varint => {
                encode_varint(decode_varint(buffer)?, &mut kept);
                0
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => {
                let length = decode_varint(buffer)?;
                encode_varint(length, &mut kept);
                usize::try_from(length).unwrap_or(usize::MAX)
            }
            WireType::StartGroup | WireType::EndGroup => usize::MAX,
        };
        if length > buffer.remaining() {
            // Cut off, or a group, which proto3 does not have; only the library makes its errors.
            return skip_field(WireType::SixtyFourBit, tag, &mut &[][..], context);
        }
        kept.put(buffer.take(length));
        self.0 = kept.into();
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What a message of a stream of events carries, encoded: one of `WatchEventsResponse.payload`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventsPayload(Encoded);

// The numbers of its fields. A test decodes each.
const EVENT: u32 = 1;
const LOST: u32 = 2;
const NODE_STATUS: u32 = 3;
const NODE_NAME: u32 = 4;
const TIME: u32 = 5;
const FOLDED: u32 = 6;
const HISTORY: u32 = 7;
const GAP: u32 = 8;

impl EventsPayload {
    fn of(field: u32, of: &impl Message) -> Self {
        let mut buffer = Vec::with_capacity(message::encoded_len(field, of));
        message::encode(field, of, &mut buffer);
        Self(Encoded(buffer.into()))
    }

    /// The mask of a payload, by that of an event.
    pub fn mask(event: Mask) -> Mask {
        event.within(EVENT)
    }

    /// What is told of an event; the mask is one of a payload.
    #[must_use]
    pub fn masked(&self, mask: &Mask) -> Self {
        Self(Encoded(mask.prune(&self.0.0).into()))
    }
}

impl From<&Event> for EventsPayload {
    fn from(event: &Event) -> Self {
        Self::of(EVENT, event)
    }
}

impl From<&Lost> for EventsPayload {
    fn from(lost: &Lost) -> Self {
        Self::of(LOST, lost)
    }
}

impl From<&NodeStatus> for EventsPayload {
    fn from(status: &NodeStatus) -> Self {
        Self::of(NODE_STATUS, status)
    }
}

impl From<&Folded> for EventsPayload {
    fn from(folded: &Folded) -> Self {
        Self::of(FOLDED, folded)
    }
}

impl From<&History> for EventsPayload {
    fn from(history: &History) -> Self {
        Self::of(HISTORY, history)
    }
}

impl From<&crate::v1::Event> for EventsPayload {
    fn from(event: &crate::v1::Event) -> Self {
        Self::of(EVENT, event)
    }
}

impl From<&Gap> for EventsPayload {
    fn from(gap: &Gap) -> Self {
        Self::of(GAP, gap)
    }
}

impl From<Bytes> for EventsPayload {
    /// Takes one that was encoded before: its field, with number and length.
    fn from(bytes: Bytes) -> Self {
        Self(bytes.into())
    }
}

impl From<EventsPayload> for Bytes {
    fn from(EventsPayload(payload): EventsPayload) -> Self {
        payload.into()
    }
}

/// The payload of one message, or one that others send as well.
#[derive(Clone)]
pub enum Carried {
    /// Of this message alone.
    Own(EventsPayload),
    /// Of several.
    Shared(Arc<dyn AsRef<EventsPayload> + Send + Sync>),
}

impl Carried {
    fn encoded(&self) -> &Encoded {
        match self {
            Self::Own(EventsPayload(payload)) => payload,
            Self::Shared(payload) => &(**payload).as_ref().0,
        }
    }
}

/// A `WatchEventsResponse`, of which only what differs from client to client is still to be encoded.
#[derive(Clone)]
pub struct EventsResponse {
    /// What it carries.
    pub payload: Carried,
    /// The node that it comes from.
    pub node_name: Arc<str>,
    /// When the daemon sent it on.
    pub time: Option<Timestamp>,
}

impl Message for EventsResponse {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        let Self { payload, node_name, time } = self;
        payload.encoded().encode_raw(buffer);
        if !node_name.is_empty() {
            encode_key(NODE_NAME, WireType::LengthDelimited, buffer);
            encode_varint(node_name.len() as u64, buffer);
            buffer.put_slice(node_name.as_bytes());
        }
        if let Some(time) = time {
            message::encode(TIME, time, buffer);
        }
    }

    /// No server gets one: what came would be passed over, as an unknown field is.
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        skip_field(wire_type, tag, buffer, context)
    }

    fn encoded_len(&self) -> usize {
        let Self { payload, node_name, time } = self;
        let length = node_name.len();
        let name =
            if length == 0 { 0 } else { key_len(NODE_NAME) + encoded_len_varint(length as u64) + length };
        payload.encoded().encoded_len()
            + name
            + time.as_ref().map_or(0, |time| message::encoded_len(TIME, time))
    }

    fn clear(&mut self) {
        *self = Self { payload: Carried::Own(EventsPayload::default()), node_name: "".into(), time: None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::watch_events_response::Payload;
    use crate::{served, v1};

    struct Holder(EventsPayload);

    impl AsRef<EventsPayload> for Holder {
        fn as_ref(&self) -> &EventsPayload {
            &self.0
        }
    }

    /// What a client understands of it.
    fn understood(payload: EventsPayload) -> Payload {
        let time = Some(Timestamp { seconds: 7, nanos: 8 });
        let shared = Carried::Shared(Arc::new(Holder(payload.clone())));
        let [bytes, of_shared] = [Carried::Own(payload), shared].map(|payload| {
            let sent = EventsResponse { payload, node_name: "node-1".into(), time };
            let bytes = sent.encode_to_vec();
            assert_eq!(bytes.len(), sent.encoded_len());
            bytes
        });
        assert_eq!(bytes, of_shared);
        let got = v1::WatchEventsResponse::decode(bytes.as_slice()).unwrap();
        assert_eq!((got.node_name.as_str(), got.time), ("node-1", time));
        got.payload.unwrap()
    }

    #[test]
    fn a_client_understands_each_payload() {
        let workload = v1::Workload { pod: "web".to_owned(), ..v1::Workload::default() };
        let owner = Some(Encoded::of(&workload));
        let event = served::Event { sequence: 3, workload: owner.clone(), ..served::Event::default() };
        let expected = v1::Event { sequence: 3, workload: Some(workload.clone()), ..v1::Event::default() };
        assert_eq!(understood((&event).into()), Payload::Event(expected));

        let lost = served::Lost { count: 5, ..served::Lost::default() };
        let expected = v1::Lost { count: 5, ..v1::Lost::default() };
        assert_eq!(understood((&lost).into()), Payload::Lost(expected));

        let status = served::NodeStatus { message: "on".to_owned(), ..served::NodeStatus::default() };
        let expected = v1::NodeStatus { message: "on".to_owned(), ..v1::NodeStatus::default() };
        assert_eq!(understood((&status).into()), Payload::NodeStatus(expected));

        let history = served::History { missing: 4, ..served::History::default() };
        let expected = v1::History { missing: 4, ..v1::History::default() };
        assert_eq!(understood((&history).into()), Payload::History(expected));

        let folded = served::Folded { budget: 9, workload: owner, ..served::Folded::default() };
        let expected = v1::Folded { budget: 9, workload: Some(workload), ..v1::Folded::default() };
        assert_eq!(understood((&folded).into()), Payload::Folded(expected));

        let gap = v1::Gap { count: Some(2), ..v1::Gap::default() };
        assert_eq!(understood((&gap).into()), Payload::Gap(gap));
    }
}
