//! Work that takes a processor for a while, apart from the few threads that serve clients.

use tokio::sync::Semaphore;

/// So much of it is done at a time, of all exporters: the rest of the machine has other things to do.
const AT_ONCE: usize = 2;

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

/// Has it done elsewhere, and waits for it; `None` where it did not come to its end. It has to end by itself: nothing in it may
/// wait for a file or for somebody else.
pub(super) async fn heavy<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let place = PLACES.acquire().await.ok()?;
    let done = tokio::task::spawn_blocking(move || {
        // Whoever waits may be gone before it is done, and the place is taken until then.
        let _place = place;
        work()
    });
    done.await.ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_is_done_apart_and_a_few_at_a_time() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let here = std::thread::current().id();
        let mut all = tokio::task::JoinSet::new();
        for number in 0..20 {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            all.spawn(heavy(move || {
                assert_ne!(std::thread::current().id(), here);
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(2));
                now.fetch_sub(1, Ordering::SeqCst);
                number
            }));
        }
        let mut done: Vec<usize> = all.join_all().await.into_iter().flatten().collect();
        done.sort_unstable();
        assert_eq!(done, (0..20).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= AT_ONCE);
    }
}
