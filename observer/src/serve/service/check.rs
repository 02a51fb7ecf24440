//! Whether a request for a stream makes sense, before any daemon is asked for it: by the rules of a daemon of this version.

use observer_proto::{served, v1};
use prost::Message;
use tonic::Status;

use super::asked;
use crate::event::WallTime;

/// A request as the daemon reads it.
fn read<T: Message + Default>(request: &impl Message) -> Result<T, Status> {
    T::decode(request.encode_to_vec().as_slice())
        .map_err(|error| Status::internal(format!("the request cannot be read: {error}")))
}

/// What is wrong with a request for events, but for its filters.
pub(crate) fn events(request: &v1::WatchEventsRequest) -> Result<(), Status> {
    let request: served::WatchEventsRequest = read(request)?;
    asked::mask(request.field_mask.clone(), "Event", &["sequence"])?;
    asked::of(&request, WallTime(0))?;
    Ok(())
}

/// What is wrong with a request for summaries, but for its filters and fields.
pub(crate) fn summaries(request: &v1::WatchSummariesRequest) -> Result<(), Status> {
    let request: served::WatchSummariesRequest = read(request)?;
    asked::window_ns(request.window.as_ref(), std::time::Duration::ZERO)?;
    asked::windows(&request)?;
    Ok(())
}
