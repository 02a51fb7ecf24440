//! How long to wait before something is tried again: longer each time, within bounds, and not all exporters at once.

use std::time::Duration;

use tokio::time::Instant;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// The first pause.
const LEAST: Duration = Duration::from_millis(250);
/// The longest one, before it is jittered to at most twice that.
const MOST: Duration = Duration::from_secs(30);

/// What worked for so long is well again: the next pause is the first one.
pub(super) const WELL: Duration = Duration::from_secs(30);

/// Pauses between tries.
#[derive(Debug)]
pub(crate) struct Backoff {
    most: Duration,
    pauses: Option<ExponentialBackoff>,
    /// When the last pause ends. What works then for a moment alone is not well.
    until: Option<Instant>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(MOST)
    }
}

impl Backoff {
    /// With pauses no longer than that, and as much again at random.
    pub(crate) const fn up_to(most: Duration) -> Self {
        Self { most, pauses: None, until: None }
    }

    /// It worked: the next pause is the first one again.
    pub(crate) fn reset(&mut self) {
        self.pauses = None;
    }

    /// The next pause: the first one where no other ended within a while.
    pub(crate) fn next(&mut self) -> Duration {
        let now = Instant::now();
        if self.until.is_some_and(|until| now.saturating_duration_since(until) >= WELL) {
            self.reset();
        }
        let pause = self.following();
        self.until = now.checked_add(pause);
        pause
    }

    fn following(&mut self) -> Duration {
        let builder =
            ExponentialBuilder::new().with_min_delay(LEAST.min(self.most)).with_max_delay(self.most);
        let pauses = self.pauses.get_or_insert_with(|| builder.with_jitter().without_max_times().build());
        pauses.next().unwrap_or(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::default();
        let first = backoff.next();
        assert!((LEAST..=2 * LEAST).contains(&first), "{first:?}");
        let rest: Vec<Duration> = (0..40).map(|_| backoff.next()).collect();
        assert!(rest.iter().all(|pause| *pause <= 2 * MOST), "{rest:?}");
        assert!(rest.last().is_some_and(|last| *last >= MOST), "{rest:?}");
        backoff.reset();
        assert!(backoff.next() <= 2 * LEAST);
    }

    #[tokio::test(start_paused = true)]
    async fn what_works_for_a_moment_alone_is_not_well() {
        let mut backoff = Backoff::default();
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            last = backoff.next();
            tokio::time::advance(last + WELL / 2).await;
        }
        assert!(last >= MOST, "{last:?}");
        tokio::time::advance(WELL).await;
        assert!(backoff.next() <= 2 * LEAST);
    }
}
