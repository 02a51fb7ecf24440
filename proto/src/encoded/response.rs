//! What a message that may be a part of another one has to have.

use super::{Carried, EventsPayload, EventsResponse};

impl Default for EventsResponse {
    fn default() -> Self {
        Self { payload: Carried::Own(EventsPayload::default()), node_name: "".into(), time: None }
    }
}

impl PartialEq for EventsResponse {
    fn eq(&self, other: &Self) -> bool {
        self.payload.encoded() == other.payload.encoded()
            && self.node_name == other.node_name
            && self.time == other.time
    }
}

impl std::fmt::Debug for EventsResponse {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { payload, node_name, time } = self;
        let fields = (payload.encoded(), node_name, time);
        out.debug_tuple("EventsResponse").field(&fields.0).field(fields.1).field(fields.2).finish()
    }
}
