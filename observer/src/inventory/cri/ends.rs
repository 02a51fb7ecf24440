//! Ends of containers: asked for at once, and again while their runtime has not heard of them.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;

use super::super::{EndFact, EndLookup, Fact};
use super::pending::{self, FIRST_PAUSE, MAX_ASKING, PAUSES};
use super::runtime::{End, Runtime};
use crate::event::RuntimeEnd;

/// Answers requests until there can be no more.
pub(super) async fn serve(
    runtimes: Arc<[Arc<Runtime>]>,
    requests: mpsc::Receiver<EndLookup>,
    facts: mpsc::Sender<Fact>,
) {
    let asking = Arc::new(Semaphore::new(MAX_ASKING));
    pending::serve(requests, "a container's end was not asked for to the last", |lookup| {
        let (runtimes, asking, facts) = (Arc::clone(&runtimes), Arc::clone(&asking), facts.clone());
        async move { look_up(&lookup, &runtimes, &asking, &facts).await }
    })
    .await;
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
