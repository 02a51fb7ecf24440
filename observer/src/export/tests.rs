//! Tests of how exporters end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// Takes a while to let go.
struct Slow(Arc<AtomicBool>);

impl Drop for Slow {
    fn drop(&mut self) {
        std::thread::sleep(AWAY / 4);
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_are_waited_for_after_their_time() {
    let link = feed::tests::link(4).0;
    let bare = Exporters::default();
    let mut running = start(&bare, None, &link, &Board::default());
    let state = running.add(State::new("json.a", "json", "a"));
    let gone = Arc::new(AtomicBool::new(false));
    let held = Slow(Arc::clone(&gone));
    running.on_thread(&state, async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    running.finish().await;
    assert!(gone.load(Ordering::Relaxed), "the runtime may end under it");
}
