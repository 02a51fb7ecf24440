//! Ends of containers: asked for at once, and again while their runtime has not heard of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::{EndFact, EndLookup, Fact};
use super::runtime::{End, Runtime};
use crate::event::RuntimeEnd;

/// Ends that are asked for at the same moment.
const MAX_ASKING: usize = 32;
/// Ends that are asked for or wait to be asked for again. More wait in the queue.
const MAX_PENDING: usize = 2048;
/// The first pause before a container is asked for again; each one is half as long again as the one before. A runtime
/// hears of an end a few milliseconds after the kernel.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// After so many pauses, 2.9 s in all, it is not asked for any more.
const PAUSES: u32 = 14;

/// Answers requests until there can be no more.
pub(super) async fn serve(
    runtimes: Arc<[Arc<Runtime>]>,
    mut requests: mpsc::Receiver<EndLookup>,
    facts: mpsc::Sender<Fact>,
) {
    let asking = Arc::new(Semaphore::new(MAX_ASKING));
    let mut lookups = JoinSet::new();
    loop {
        tokio::select! {
            Some(done) = lookups.join_next() => {
                if let Err(error) = done {
                    log::error!("a container's end was not asked for to the last: {error}");
                }
            }
            request = requests.recv(), if lookups.len() < MAX_PENDING => {
                let Some(lookup) = request else { return };
                let (runtimes, asking, facts) = (Arc::clone(&runtimes), Arc::clone(&asking), facts.clone());
                lookups.spawn(async move { look_up(&lookup, &runtimes, &asking, &facts).await });
            }
        }
    }
}

/// Asks until the runtime says how the container ended, and where the OOM killer ended it until the runtime knows that
/// as well.
async fn look_up(
    lookup: &EndLookup,
    runtimes: &[Arc<Runtime>],
    asking: &Semaphore,
    facts: &mpsc::Sender<Fact>,
) {
    let container_id = lookup.container_id.clone();
    let mut told: Option<RuntimeEnd> = None;
    let mut pause = FIRST_PAUSE;
    for attempt in 0..=PAUSES {
        let answer = {
            // Never closed; and held while asking only, not while pausing.
            let _asking = asking.acquire().await;
            ask(&container_id, runtimes).await
        };
        match answer {
            End::Ended(end) => {
                if told.as_ref() != Some(&end) {
                    told = Some(end.clone());
                    let fact = EndFact { container_id: container_id.clone(), end: end.clone() };
                    send(facts, Fact::Ended(fact)).await;
                }
                if end.is_oom() || !lookup.oom_killed {
                    return;
                }
            }
            End::NotYet => {}
            End::Nobody => break,
        }
        if attempt < PAUSES {
            sleep(pause).await;
            pause += pause / 2;
        }
    }
    if told.is_none() {
        for runtime in runtimes {
            // It may be away, and tell when it is back.
            runtime.known().owe(&container_id);
        }
        send(facts, Fact::NoEnd { container_id }).await;
    }
}

/// Asks one runtime after the other; there is hardly ever more than one.
async fn ask(id: &str, runtimes: &[Arc<Runtime>]) -> End {
    let mut answer = End::Nobody;
    for runtime in runtimes {
        match runtime.end(id).await {
            End::Ended(end) => return End::Ended(end),
            End::NotYet => answer = End::NotYet,
            End::Nobody => {}
        }
    }
    answer
}

/// Where nobody listens any more, these tasks are about to be stopped.
async fn send(facts: &mpsc::Sender<Fact>, fact: Fact) {
    let _closed = facts.send(fact).await;
}
