//! What happened as the messages that clients of a stream of events get.

use std::sync::Arc;
use std::time::SystemTime;

use observer_proto::v1::watch_incidents_response::Payload;
use observer_proto::{Carried, EventsPayload, EventsResponse, served, v1};
use prost_types::Timestamp;

use super::feed::Told;
use crate::filter::Filters;
use crate::wire;

/// The message that a client would get; `None` for what is told in other streams.
pub(super) fn of_event(told: &Told, node_name: &Arc<str>) -> Option<EventsResponse> {
    let payload = match told {
        Told::Event(published) => Carried::Shared(Arc::clone(published) as _),
        Told::Folded(folded, now) => Carried::Own((&wire::folded(folded, *now)).into()),
        Told::Lost(loss, now) => Carried::Own(EventsPayload::from(&wire::lost(loss, *now))),
        Told::Window(..) | Told::Incident(_) | Told::Deleted(_) | Told::Missed(_) => return None,
    };
    Some(response(payload, node_name))
}

/// A message with that in it.
pub(super) fn response(payload: Carried, node_name: &Arc<str>) -> EventsResponse {
    EventsResponse { payload, node_name: Arc::clone(node_name), time: Some(sent_at()) }
}

/// A message of the stream of incidents with that in it.
pub(super) fn of_incident(payload: Payload, node_name: &Arc<str>) -> v1::WatchIncidentsResponse {
    let node_name = node_name.to_string();
    v1::WatchIncidentsResponse { payload: Some(payload), node_name, time: Some(sent_at()) }
}

/// A stream of events begins: what it starts with.
pub(super) fn begun(start_time: Timestamp, after: u64) -> Carried {
    let status = served::NodeStatus {
        state: served::NodeState::Connected.into(),
        message: "new events follow".to_owned(),
        start_time: Some(start_time),
        after_sequence: after,
        ..served::NodeStatus::default()
    };
    Carried::Own((&status).into())
}

/// The daemon stops: what a stream of events ends with.
pub(super) fn stopping() -> Carried {
    let status = served::NodeStatus {
        state: served::NodeState::Stopping.into(),
        message: "the daemon is stopping".to_owned(),
        ..served::NodeStatus::default()
    };
    Carried::Own((&status).into())
}

/// An incident is about a workload that passes.
pub(super) fn concerns(filters: &Filters, incident: &v1::Incident) -> bool {
    filters.lets_all_pass() || incident.workloads.iter().any(|workload| filters.told_workload(workload))
}

/// When a message is made.
#[allow(clippy::disallowed_methods, reason = "messages carry the time of their sending")]
pub(super) fn sent_at() -> Timestamp {
    SystemTime::now().into()
}
