//! How streams begin, end and are refused.

use std::time::SystemTime;

use observer_proto::served as v1;
use tonic::Status;

use super::{PATIENCE, Settings};
use crate::filter::InvalidFilter;
use crate::trigger::Refused;
use crate::wire;

pub(super) fn busy() -> Status {
    Status::unavailable(format!("the daemon did not answer within {} s; try again", PATIENCE.as_secs()))
}

pub(super) fn refused(subscribers: usize) -> Status {
    Status::resource_exhausted(format!(
        "{subscribers} streams are open already, as many as the daemon allows; end one or try again later",
    ))
}

/// The state that begins a stream.
pub(super) fn connected(settings: &Settings, message: &str) -> v1::NodeStatus {
    v1::NodeStatus {
        state: v1::NodeState::Connected.into(),
        message: message.to_owned(),
        start_time: Some(wire::timestamp(settings.start_time)),
        ..v1::NodeStatus::default()
    }
}

/// The state that says that all of the past was told.
pub(super) fn following() -> v1::NodeStatus {
    v1::NodeStatus {
        state: v1::NodeState::Following.into(),
        message: "that was the past; new events follow".to_owned(),
        ..v1::NodeStatus::default()
    }
}

/// The state that ends a stream.
pub(super) fn stopping() -> v1::NodeStatus {
    v1::NodeStatus {
        state: v1::NodeState::Stopping.into(),
        message: "the daemon is stopping".to_owned(),
        ..v1::NodeStatus::default()
    }
}

/// When a message is sent.
#[allow(clippy::disallowed_methods, reason = "messages carry the time of their sending")]
pub(super) fn sent_at() -> prost_types::Timestamp {
    SystemTime::now().into()
}

impl From<InvalidFilter> for Status {
    fn from(error: InvalidFilter) -> Self {
        Self::invalid_argument(error.to_string())
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::TooMany(_) => Self::resource_exhausted(message),
            Refused::NothingMatches => Self::not_found(message),
        }
    }
}
