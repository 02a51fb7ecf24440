//! Waiting for conditions, never for time alone.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long something may take that normally takes milliseconds, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(10);

/// Calls `condition` until it gives a value, and fails with `what` and its last answer after `bound`.
///
/// `Ok(Err(why))` means not yet, with the reason that a failed test should show; an outer error ends the wait.
///
/// Not `AsyncFnMut`, whose future the compiler cannot yet show to be `Send`: a test may spawn what waits. An async
/// closure that only reads what it captures fits all the same.
pub async fn eventually<T, W: Debug, F: Future<Output = Result<Result<T, W>>>>(
    bound: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) -> Result<T> {
    let deadline = Instant::now() + bound;
    loop {
        let why = match condition().await? {
            Ok(value) => return Ok(value),
            Err(why) => why,
        };
        if Instant::now() >= deadline {
            bail!("waited {bound:?} for {what}; last seen: {why:?}");
        }
        tokio::time::sleep(STEP).await;
    }
}

/// [`eventually`] for code that is not async.
pub fn eventually_blocking<T, W: Debug>(
    bound: Duration,
    what: &str,
    mut condition: impl FnMut() -> Result<Result<T, W>>,
) -> Result<T> {
    let deadline = Instant::now() + bound;
    loop {
        let why = match condition()? {
            Ok(value) => return Ok(value),
            Err(why) => why,
        };
        if Instant::now() >= deadline {
            bail!("waited {bound:?} for {what}; last seen: {why:?}");
        }
        std::thread::sleep(STEP);
    }
}
