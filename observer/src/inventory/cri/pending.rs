//! Questions to the runtimes that wait for their answer: how many at once, and when each is asked again.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Questions that are asked at the same moment.
pub(super) const MAX_ASKING: usize = 32;
/// Questions that are asked or wait to be asked again. More wait in the queue.
const MAX_PENDING: usize = 2048;
/// The first pause before a question is asked again; each one is half as long again as the one before. A runtime hears of
/// an end a few milliseconds after the kernel; it knows a container before its cgroup is made, but a sandbox only some
/// 30 ms later.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// After so many pauses, 2.9 s in all, a question is not asked any more.
pub(super) const PAUSES: u32 = 14;

/// Answers requests until there can be no more; `failure` is what an answer's early end is called.
pub(super) async fn serve<Request, Answer>(
    mut requests: mpsc::Receiver<Request>,
    failure: &str,
    answer: impl Fn(Request) -> Answer,
) where
    Answer: Future<Output = ()> + Send + 'static,
{
    let mut pending = JoinSet::new();
    loop {
        tokio::select! {
            Some(done) = pending.join_next() => {
                if let Err(error) = done {
                    log::error!("{failure}: {error}");
                }
            }
            request = requests.recv(), if pending.len() < MAX_PENDING => {
                let Some(request) = request else { return };
                pending.spawn(answer(request));
            }
        }
    }
}
