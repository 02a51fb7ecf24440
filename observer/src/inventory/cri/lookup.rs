//! Lookups of single containers: asked at once, and again while their runtime may not know them yet.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;

use super::super::{ContainerFact, Fact};
use super::pending::{self, FIRST_PAUSE, MAX_ASKING, PAUSES};
use super::runtime::{Answer, Runtime};

/// Answers requests until there can be no more.
pub(super) async fn serve(
    runtimes: Arc<[Arc<Runtime>]>,
    requests: mpsc::Receiver<String>,
    facts: mpsc::Sender<Fact>,
) {
    let asking = Arc::new(Semaphore::new(MAX_ASKING));
    pending::serve(requests, "a container's lookup ended early", |id| {
        let (runtimes, asking) = (Arc::clone(&runtimes), Arc::clone(&asking));
        Lookup { id, runtimes, asking, facts: facts.clone() }.run()
    })
    .await;
}

struct Lookup {
    id: String,
    runtimes: Arc<[Arc<Runtime>]>,
    asking: Arc<Semaphore>,
    facts: mpsc::Sender<Fact>,
}

impl Lookup {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        for attempt in 0..=PAUSES {
            let answer = {
                // Never closed; and held while asking only, not while pausing.
                let _asking = self.asking.acquire().await;
                self.ask().await
            };
            match answer {
                Asked::Found(runtime, fact) => {
                    self.tell(runtime, fact).await;
                    return;
                }
                Asked::NotYet if attempt < PAUSES => {
                    sleep(pause).await;
                    pause += pause / 2;
                }
                Asked::NotYet | Asked::Nobody => break,
            }
        }
        self.send(Fact::Unknown { container_id: self.id.clone() }).await;
    }

    /// Asks one runtime after the other; there is hardly ever more than one.
    async fn ask(&self) -> Asked<'_> {
        let mut answer = Asked::Nobody;
        for runtime in &*self.runtimes {
            match runtime.find(&self.id).await {
                Answer::Found(fact) => return Asked::Found(runtime, fact),
                Answer::NotYet => answer = Asked::NotYet,
                Answer::Nobody => {}
            }
        }
        answer
    }

    /// Tells what was found at once, and again should the image's name take another call.
    async fn tell(&self, runtime: &Runtime, mut fact: ContainerFact) {
        self.send(Fact::Container(fact.clone())).await;
        if let Some(name) = runtime.image_name(&fact).await {
            fact.image = name;
            self.send(Fact::Container(fact)).await;
        }
    }

    /// Where nobody listens any more, these tasks are about to be stopped.
    async fn send(&self, fact: Fact) {
        let _closed = self.facts.send(fact).await;
    }
}

/// What all runtimes together say.
enum Asked<'a> {
    Found(&'a Runtime, ContainerFact),
    NotYet,
    Nobody,
}
