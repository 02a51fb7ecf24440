//! What calls over all nodes may take of the relay: how many there are at a time, and how much of answers they hold.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tonic::Status;

/// Answers of daemons that all calls hold together, in bytes as they came. As values they take some times as much.
const HELD_BYTES: usize = 128 << 20;
/// The same of one call, so that none leaves nothing to the others.
const HELD_OF_ONE: usize = HELD_BYTES / 2;
/// Calls that ask all nodes at a time.
const CALLS: usize = 16;
/// The same of one client.
const CALLS_OF_ONE: usize = CALLS / 2;

/// The room that there is for all clients together; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::relay) struct Room {
    bytes: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    /// Of each client that has one, or waits for one.
    of_clients: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
}

/// A place among the calls that ask all nodes, given back when this is dropped.
#[derive(Debug)]
pub(in crate::relay) struct Turn {
    _of_client: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// What one call holds, given back when this is dropped.
#[derive(Debug, Default)]
pub(in crate::relay) struct Held(Option<OwnedSemaphorePermit>);

impl Room {
    /// All of it.
    pub(in crate::relay) fn new() -> Self {
        let [bytes, calls] = [HELD_BYTES, CALLS].map(|count| Arc::new(Semaphore::new(count)));
        Self { bytes, calls, of_clients: Arc::default() }
    }

    /// A client's place among the calls that ask all nodes, waited for that long.
    pub(in crate::relay) async fn turn(&self, client: String, patience: Duration) -> Result<Turn, Status> {
        let of_client = self.of_client(client);
        let places = async {
            let of_client = of_client.acquire_owned().await?;
            Ok::<_, AcquireError>(Turn {
                _of_client: of_client,
                _of_all: Arc::clone(&self.calls).acquire_owned().await?,
            })
        };
        match timeout(patience, places).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_closed)) => Err(Status::unavailable("this relay is stopping")),
            Err(_elapsed) => Err(Status::resource_exhausted(format!(
                "this relay answers {CALLS} calls over all nodes at a time, {CALLS_OF_ONE} of one client, and these go on; \
                 try again later"
            ))),
        }
    }

    fn of_client(&self, client: String) -> Arc<Semaphore> {
        // What is in there is whole, whatever happened.
        let mut known = self.of_clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = known.get(&client).and_then(Weak::upgrade) {
            return places;
        }
        known.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(CALLS_OF_ONE));
        known.insert(client, Arc::downgrade(&places));
        places
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
    async fn a_call_waits_for_its_turn_and_not_for_ever() {
        let room = Room::new();
        let turn = |client: &str| room.turn(client.to_owned(), Duration::from_secs(3));
        let mut turns = Vec::new();
        for _ in 0..CALLS_OF_ONE {
            turns.push(turn("one").await.unwrap());
        }
        // Nobody takes them all.
        assert_eq!(turn("one").await.unwrap_err().code(), tonic::Code::ResourceExhausted);
        for _ in CALLS_OF_ONE..CALLS {
            turns.push(turn("other").await.unwrap());
        }
        let refused = turn("third").await.unwrap_err();
        assert!(
            refused.message().contains("16 calls over all nodes at a time, 8 of"),
            "{}",
            refused.message()
        );
        turns.pop();
        turns.push(turn("third").await.unwrap());
        turns.clear();
        let _turn = turn("fourth").await.unwrap();
        assert_eq!(room.of_clients.lock().unwrap().len(), 1, "who has gone is forgotten");
    }
}
