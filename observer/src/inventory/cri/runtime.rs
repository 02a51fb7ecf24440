//! One runtime: its connection, kept up for good, and the answer for one container.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_cri::v1::Container;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use super::super::{ContainerFact, Fact, PodFact};
use super::client::{Client, CriError};
use super::follow::Teller;
use super::known::{Known, is_complete};
use super::sources::{Health, Sources};
use super::{CriEndpoint, convert};
use crate::event::RuntimeEnd;

/// How often all pods and containers are listed.
const SURVEY_INTERVAL: Duration = Duration::from_secs(5);
/// The same where the runtime tells its events: for what these may have left out.
const FOLLOWED_INTERVAL: Duration = Duration::from_mins(1);
/// The first and the longest pause before a runtime that fails is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often a socket that is absent is looked for.
const ABSENT_PAUSE: Duration = Duration::from_secs(1);
/// A runtime whose socket went is restarting, until it was looked for so often at `FIRST_PAUSE`.
const RESTART_TRIES: u32 = 100;

/// One endpoint and what it told.
#[derive(Debug)]
pub(super) struct Runtime {
    endpoint: CriEndpoint,
    state: Mutex<State>,
    known: Mutex<Known>,
    /// A lookup met an outage.
    doubt: Notify,
    /// Its events are being followed: at least one has come.
    pub(super) followed: AtomicBool,
    /// The events broke off.
    pub(super) resurvey: Notify,
    /// It answered in the latest session.
    answered: AtomicBool,
}

#[derive(Clone, Debug)]
enum State {
    /// It answers.
    Ready(Client),
    /// It was not asked yet, or does not answer at the moment.
    Down,
    /// There is nobody to ask.
    Nobody,
}

/// What a runtime says to a lookup.
#[derive(Debug)]
pub(super) enum Answer {
    /// It knows that id.
    Found(ContainerFact),
    /// It does not know it or cannot say: it may be asked again.
    NotYet,
    /// There is no runtime at this endpoint.
    Nobody,
}

/// What a runtime says of an end.
#[derive(Debug)]
pub(super) enum End {
    /// So it ended.
    Ended(RuntimeEnd),
    /// It has not heard of an end, or cannot say: it may be asked again.
    NotYet,
    /// It does not know that container, or there is no runtime.
    Nobody,
}

impl Runtime {
    /// An endpoint that nobody asked yet.
    pub(super) fn new(endpoint: CriEndpoint) -> Self {
        Self {
            endpoint,
            state: Mutex::new(State::Down),
            known: Mutex::default(),
            doubt: Notify::new(),
            followed: AtomicBool::new(false),
            resurvey: Notify::new(),
            answered: AtomicBool::new(false),
        }
    }

    /// Asks for a container or sandbox.
    pub(super) async fn find(&self, id: &str) -> Answer {
        let client = match &*self.state() {
            State::Ready(client) => client.clone(),
            State::Down => return Answer::NotYet,
            State::Nobody => return Answer::Nobody,
        };
        match self.ask(&client, id).await {
            Ok(Some(fact)) => {
                self.known().tell(id);
                Answer::Found(fact)
            }
            Ok(None) => Answer::NotYet,
            Err(error) => {
                self.failed(&error);
                Answer::NotYet
            }
        }
    }

    /// Asks how a container ended.
    pub(super) async fn end(&self, id: &str) -> End {
        let client = match &*self.state() {
            State::Ready(client) => client.clone(),
            State::Down => return End::NotYet,
            State::Nobody => return End::Nobody,
        };
        match client.status(id).await {
            Ok(Some(status)) => convert::end(status).map_or(End::NotYet, End::Ended),
            Ok(None) => End::Nobody,
            Err(error) => {
                self.failed(&error);
                End::NotYet
            }
        }
    }

    /// Where it listens.
    pub(super) const fn endpoint(&self) -> &CriEndpoint {
        &self.endpoint
    }

    fn failed(&self, error: &CriError) {
        log::debug!("{}: {}", self.endpoint, error.explain());
        if error.is_outage() {
            *self.state() = State::Down;
            self.doubt.notify_one();
        }
    }

    /// The name of a container's image, where the runtime told an id and has a name for it.
    pub(super) async fn image_name(&self, fact: &ContainerFact) -> Option<String> {
        if !convert::is_image_id(&fact.image) {
            return None;
        }
        let client = match &*self.state() {
            State::Ready(client) => client.clone(),
            State::Down | State::Nobody => return None,
        };
        self.name_image(&client, fact).await
    }

    async fn ask(&self, client: &Client, id: &str) -> Result<Option<ContainerFact>, CriError> {
        if let Some(container) = client.container(id).await? {
            return self.complete(client, container).await.map(Some);
        }
        Ok(self.pod(client, id).await?.map(convert::sandbox))
    }

    /// Adds to a container what is known of its pod, and its image's name where that costs no call.
    pub(super) async fn complete(
        &self,
        client: &Client,
        container: Container,
    ) -> Result<ContainerFact, CriError> {
        let pod = match self.pod(client, &container.pod_sandbox_id).await {
            Ok(Some(pod)) => pod,
            Err(error) if error.is_outage() => return Err(error),
            // Its own labels tell whose it is, too.
            Ok(None) | Err(_) => Arc::new(convert::pod_of_container(&container)),
        };
        let mut fact = convert::container(container, pod);
        if let Some(name) = self.known().image(&fact.image) {
            fact.image = name;
        }
        Ok(fact)
    }

    pub(super) async fn name_image(&self, client: &Client, fact: &ContainerFact) -> Option<String> {
        let name = client.image_name(&fact.container_id).await.ok()??;
        // Without a name, the id is remembered: it is not asked for again.
        self.known().learn_image(fact.image.clone(), name.clone());
        (name != fact.image).then_some(name)
    }

    /// A pod from memory, or else from the runtime.
    async fn pod(&self, client: &Client, sandbox_id: &str) -> Result<Option<Arc<PodFact>>, CriError> {
        if let Some(pod) = self.known().pod(sandbox_id).filter(|pod| is_complete(pod)) {
            return Ok(Some(pod));
        }
        let Some(status) = client.sandbox(sandbox_id).await? else { return Ok(None) };
        let pod = Arc::new(convert::pod(status));
        self.known().learn(&pod);
        Ok(Some(pod))
    }

    /// Connects and surveys for as long as the runtime answers.
    async fn session(&self, index: usize, sources: &Sources, facts: &mpsc::Sender<Fact>) -> CriError {
        if !self.endpoint.socket().exists() {
            return CriError::Absent;
        }
        let client = Client::new(self.endpoint.socket());
        loop {
            let name = match client.version().await {
                Ok(name) => name,
                Err(error) => return error,
            };
            *self.state() = State::Ready(client.clone());
            self.answered.store(true, Ordering::Relaxed);
            sources.report(index, Health::Answers(name.clone())).await;
            let teller = Teller { name: &name, index, sources };
            let mut follower = pin!(self.follow(&client, &teller, facts));
            // Until a lookup meets an outage: then it has to tell its version again.
            loop {
                if let Err(error) = self.survey(&client, facts).await {
                    return error;
                }
                sources.surveyed(index).await;
                let followed = self.followed.load(Ordering::Relaxed);
                tokio::select! {
                    () = sleep(if followed { FOLLOWED_INTERVAL } else { SURVEY_INTERVAL }) => {}
                    () = self.resurvey.notified() => {}
                    () = &mut follower => {}
                    () = self.doubt.notified() => break,
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the connection to one runtime up, for good.
pub(super) async fn keep(
    runtime: Arc<Runtime>,
    index: usize,
    sources: Arc<Sources>,
    facts: mpsc::Sender<Fact>,
) {
    let mut pause = FIRST_PAUSE;
    let mut restart_tries = 0;
    while !facts.is_closed() {
        let error = runtime.session(index, &sources, &facts).await;
        if runtime.answered.swap(false, Ordering::Relaxed) {
            pause = FIRST_PAUSE;
            restart_tries = RESTART_TRIES;
        }
        let restarting = restart_tries > 0;
        let (state, health) = match &error {
            CriError::Absent if restarting => (State::Down, Health::Absent),
            CriError::Absent => (State::Nobody, Health::Absent),
            CriError::Unsupported(_) => (State::Nobody, Health::Fails(error.explain())),
            CriError::Timeout { .. } | CriError::Failed { .. } => {
                (State::Down, Health::Fails(error.explain()))
            }
        };
        *runtime.state() = state;
        sources.report(index, health).await;
        sources.surveyed(index).await;
        if !matches!(error, CriError::Absent) {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        } else if restarting {
            restart_tries -= 1;
            sleep(FIRST_PAUSE).await;
        } else {
            sleep(ABSENT_PAUSE).await;
        }
    }
}

/// Sends a fact. Where nobody listens any more, these tasks are about to be stopped.
pub(super) async fn send(facts: &mpsc::Sender<Fact>, fact: Fact) {
    let _closed = facts.send(fact).await;
}
