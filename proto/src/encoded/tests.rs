//! What clients understand of what is encoded once.

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
