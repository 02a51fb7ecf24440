//! Whose addresses are, as a stream of summaries needs it: asked beside it, so that a daemon that does not answer holds nobody up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::super::super::call::Asker;
use super::super::super::join;
use super::super::super::nodes::Nodes;
use super::super::lists::addresses;

/// It is asked so often, at most: pods come and go.
const ASKED_EACH: Duration = Duration::from_secs(5);
/// A daemon may take so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whose addresses are.
pub(super) struct Whose {
    newest: watch::Receiver<Option<Arc<join::Addresses>>>,
    wanted: Arc<Notify>,
    /// The first answer was waited for.
    waited: bool,
    /// The task that asks ends with this.
    _asks: JoinSet<()>,
}

impl Whose {
    /// Asks all nodes, whenever that is wanted.
    pub(super) fn new(nodes: Nodes, asker: Asker) -> Self {
        Self::by(move || {
            let (nodes, asker) = (nodes.now().nodes, asker.clone());
            async move { addresses(&nodes, &asker, PATIENCE).await.ok() }
        })
    }

    /// Asks in that way.
    fn by<F>(ask: impl Fn() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Option<join::Addresses>> + Send + 'static,
    {
        let (told, newest) = watch::channel(None);
        let wanted = Arc::<Notify>::default();
        let mut asks = JoinSet::new();
        asks.spawn(follow(Arc::clone(&wanted), told, ask));
        Self { newest, wanted, waited: false, _asks: asks }
    }

    /// They are going to be needed.
    pub(super) fn want(&self) {
        self.wanted.notify_one();
    }

    /// As they were heard last. Only the first answer is waited for, and only for a while.
    pub(super) async fn newest(&mut self) -> Arc<join::Addresses> {
        if !std::mem::replace(&mut self.waited, true) {
            let _heard = timeout(PATIENCE, self.newest.wait_for(Option::is_some)).await.is_ok();
        }
        self.newest.borrow().clone().unwrap_or_default()
    }
}

/// Asks whenever that is wanted, but not more often than it may; what is not heard now is as it was.
async fn follow<F: Future<Output = Option<join::Addresses>>>(
    wanted: Arc<Notify>,
    told: watch::Sender<Option<Arc<join::Addresses>>>,
    ask: impl Fn() -> F,
) {
    loop {
        wanted.notified().await;
        let newer = ask().await.map(Arc::new);
        told.send_modify(|told| *told = newer.or_else(|| Some(told.take().unwrap_or_default())));
        sleep(ASKED_EACH).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::task::yield_now;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_does_not_answer_holds_the_first_window_up_a_little_and_no_other_one() {
        let mut whose = Whose::by(std::future::pending);
        let before = Instant::now();
        for _window in 0..3 {
            whose.want();
            let _none = whose.newest().await;
        }
        assert_eq!(before.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_when_that_is_wanted_and_not_more_often_than_it_may() {
        let asked = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&asked);
        let mut whose = Whose::by(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Some(join::Addresses::default()))
        });
        let before = Instant::now();
        sleep(10 * ASKED_EACH).await;
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        for _window in 0..100 {
            whose.want();
            let _heard = whose.newest().await;
            yield_now().await;
        }
        assert_eq!((asked.load(Ordering::Relaxed), before.elapsed()), (1, 10 * ASKED_EACH));
        sleep(2 * ASKED_EACH).await;
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
