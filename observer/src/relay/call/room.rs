//! What calls over all nodes may take of the relay: how many there are at a time, and how much of answers they hold.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tonic::Status;

/// Answers of daemons that all calls hold together, in bytes as they came. As values they take some times as much.
const HELD_BYTES: usize = 128 << 20;
/// The same of one call, so that none leaves nothing to the others.
const HELD_OF_ONE: usize = HELD_BYTES / 2;
/// Calls that ask all nodes at a time.
const CALLS: usize = 16;

/// The room that there is for all clients together; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::relay) struct Room {
    bytes: Arc<Semaphore>,
    calls: Arc<Semaphore>,
}

/// What one call holds, given back when this is dropped.
#[derive(Debug, Default)]
pub(in crate::relay) struct Held(Option<OwnedSemaphorePermit>);

impl Room {
    /// All of it.
    pub(in crate::relay) fn new() -> Self {
        Self { bytes: Arc::new(Semaphore::new(HELD_BYTES)), calls: Arc::new(Semaphore::new(CALLS)) }
    }

    /// A place among the calls that ask all nodes, waited for that long.
    pub(in crate::relay) async fn call(&self, patience: Duration) -> Result<OwnedSemaphorePermit, Status> {
        match timeout(patience, Arc::clone(&self.calls).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_closed)) => Err(Status::unavailable("this relay is stopping")),
            Err(_elapsed) => Err(Status::resource_exhausted(format!(
                "this relay is answering {CALLS} calls over all nodes, as many as it does at a time; try again later"
            ))),
        }
    }

    /// Whether there is room for one more answer, which is held with the call's others.
    pub(super) fn hold(&self, held: &mut Held, bytes: usize) -> bool {
        let so_far = held.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Ok(count) = u32::try_from(bytes) else { return false };
        if so_far.saturating_add(bytes) > HELD_OF_ONE {
            return false;
        }
        let Ok(more) = Arc::clone(&self.bytes).try_acquire_many_owned(count) else { return false };
        match &mut held.0 {
            Some(all) => all.merge(more),
            none @ None => *none = Some(more),
        }
        true
    }
}

/// Of a node whose answer was thrown away, what to do about it.
pub(super) fn no_room() -> String {
    format!(
        "this relay had no room for its answer beside the others ({} MiB of one call, {} MiB of all): ask for less, \
         by filters, --limit or --node-name",
        HELD_OF_ONE >> 20,
        HELD_BYTES >> 20
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_so_much_room() {
        let room = Room::new();
        let [mut one, mut other, mut third] = [(); 3].map(|()| Held::default());
        assert!(room.hold(&mut one, HELD_OF_ONE - 10) && room.hold(&mut one, 10));
        assert!(!room.hold(&mut one, 1), "a call has no more than its share");
        assert!(room.hold(&mut one, 0));
        assert!(room.hold(&mut other, HELD_OF_ONE));
        assert!(!room.hold(&mut third, 1), "all that there is is held");
        drop(one);
        assert!(room.hold(&mut third, HELD_OF_ONE));
        assert!(!room.hold(&mut Held::default(), usize::MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_waits_for_a_place_and_not_for_ever() {
        let room = Room::new();
        let patience = Duration::from_secs(3);
        let mut places = Vec::new();
        for _ in 0..CALLS {
            places.push(room.call(patience).await.unwrap());
        }
        let refused = room.call(patience).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(refused.message().contains("16 calls"), "{}", refused.message());
        places.pop();
        assert!(room.call(patience).await.is_ok());
    }
}
