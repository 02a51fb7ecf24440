//! Lookups of single containers: asked at once, and again while their runtime may not know them yet.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::{ContainerFact, Fact};
use super::runtime::{Answer, Runtime};

/// Lookups that ask at the same moment.
const MAX_ASKING: usize = 32;
/// Lookups that ask or wait to ask again. More wait in the queue.
const MAX_PENDING: usize = 2048;
/// The first pause before an id is asked for again; each one is half as long again as the one before. A
/// runtime knows a container before its cgroup is made, but a sandbox only some 30 ms later.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// After so many pauses, 2.9 s in all, the answer is `Unknown`. The survey may find it later.
const PAUSES: u32 = 14;

/// Answers requests until there can be no more.
pub(super) async fn serve(
    runtimes: Arc<[Arc<Runtime>]>,
    mut requests: mpsc::Receiver<String>,
    facts: mpsc::Sender<Fact>,
) {
    let asking = Arc::new(Semaphore::new(MAX_ASKING));
    let mut lookups = JoinSet::new();
    loop {
        tokio::select! {
            Some(done) = lookups.join_next() => {
                if let Err(error) = done {
                    log::error!("a container's lookup ended early: {error}");
                }
            }
            request = requests.recv(), if lookups.len() < MAX_PENDING => {
                let Some(id) = request else { return };
                let (runtimes, asking) = (Arc::clone(&runtimes), Arc::clone(&asking));
                lookups.spawn(Lookup { id, runtimes, asking, facts: facts.clone() }.run());
            }
        }
    }
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
