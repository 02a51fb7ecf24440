//! An event on its way to all who want it, put into bytes once.

use std::sync::{Arc, OnceLock};

use observer_proto::EventsPayload;

use crate::event::Event;

/// What an event takes encoded, beside what is in it of bytes that are there anyway.
const ENCODED_BYTES: usize = 512;

/// The first client whose turn it is puts it into bytes; the others send the same ones.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) event: Arc<Event>,
    /// What is kept while it waits for somebody.
    pub(crate) bytes: usize,
    node_name: Arc<str>,
    payload: OnceLock<EventsPayload>,
}

impl Published {
    pub(crate) fn new(event: &Arc<Event>, node_name: &Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            event: Arc::clone(event),
            bytes: event.bytes() + ENCODED_BYTES,
            node_name: Arc::clone(node_name),
            payload: OnceLock::new(),
        })
    }
}

impl AsRef<EventsPayload> for Published {
    /// What messages carry of it.
    fn as_ref(&self) -> &EventsPayload {
        self.payload.get_or_init(|| (&super::event(&self.event, &self.node_name)).into())
    }
}
