//! A debugging session of a test's own, read in the background; and which programs of a daemon are attached.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use observer_proto::v1::debug_response::Payload;
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_events_response::Payload as Update;
use observer_proto::v1::{DebugEnd, DebugRequest, DebugSession, DebugStatistics, Event, Filter};
use serde_json::Value;
use tokio::task::JoinHandle;
use tonic::Code;

use crate::daemon::Daemon;
use crate::loaded::{list, programs};
use crate::pod::Pod;
use crate::wait::{PATIENCE, eventually};

/// What has come so far.
#[derive(Debug, Default)]
struct Seen {
    sessions: Vec<DebugSession>,
    events: Vec<Event>,
    statistics: Vec<DebugStatistics>,
    end: Option<DebugEnd>,
    /// The stream has ended, and how.
    ended: Option<String>,
}

/// A session. Dropping it ends the call.
#[derive(Debug)]
pub struct Debugging {
    seen: Arc<Mutex<Seen>>,
    reader: JoinHandle<()>,
}

/// Asks for a session on a pod, of everything that can be seen for free.
pub fn on_pod(pod: &Pod) -> DebugRequest {
    let pods = vec![format!("{}/{}", pod.namespace(), pod.name())];
    DebugRequest { allow: vec![Filter { pods, ..Filter::default() }], ..DebugRequest::default() }
}

impl Debugging {
    /// Opens a session.
    ///
    /// What has only just started may not have its name yet.
    pub async fn open(daemon: &Daemon, request: DebugRequest) -> Result<Self> {
        let client = ObserverClient::new(daemon.channel().await?);
        let mut stream = eventually(PATIENCE, "somebody to be watched", async || {
            match client.clone().debug(request.clone()).await {
                Ok(stream) => Ok(Ok(stream.into_inner())),
                Err(status) if status.code() == Code::NotFound => Ok(Err(status)),
                Err(status) => Err(status.into()),
            }
        })
        .await?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let reader = tokio::spawn(async move {
            loop {
                let message = stream.message().await;
                let mut seen = lock(&shared);
                match message {
                    Ok(Some(message)) => seen.take(message.payload),
                    Ok(None) => return seen.ended = Some("the stream ended".to_owned()),
                    Err(status) => return seen.ended = Some(status.to_string()),
                }
            }
        });
        let debugging = Self { seen, reader };
        debugging.wait("the session", |seen| seen.sessions.first().cloned()).await?;
        Ok(debugging)
    }

    async fn wait<T>(&self, what: &str, find: impl Fn(&Seen) -> Option<T>) -> Result<T> {
        eventually(PATIENCE, what, async || {
            let seen = lock(&self.seen);
            let found = find(&seen);
            ensure!(found.is_some() || seen.ended.is_none(), "{:?} before {what}: {seen:#?}", seen.ended);
            Ok(found.ok_or_else(|| format!("{seen:#?}")))
        })
        .await
    }

    /// The session as it was told last.
    pub fn session(&self) -> DebugSession {
        lock(&self.seen).sessions.last().cloned().unwrap_or_default()
    }

    /// Waits until the session is told to be so.
    pub async fn wait_session(&self, what: &str, is_it: impl Fn(&DebugSession) -> bool) -> Result<()> {
        self.wait(what, |seen| seen.sessions.last().filter(|session| is_it(session)).map(|_| ())).await
    }

    /// All events so far that `is_it`.
    pub fn events(&self, is_it: impl Fn(&Event) -> bool) -> Vec<Event> {
        lock(&self.seen).events.iter().filter(|event| is_it(event)).cloned().collect()
    }

    /// Waits until at least so many events `is_it`, and gives them.
    pub async fn wait_events(
        &self,
        what: &str,
        count: usize,
        is_it: impl Fn(&Event) -> bool,
    ) -> Result<Vec<Event>> {
        self.wait(what, |seen| {
            let found: Vec<_> = seen.events.iter().filter(|event| is_it(event)).cloned().collect();
            (found.len() >= count).then_some(found)
        })
        .await
    }

    /// Waits for statistics that `is_it`.
    pub async fn wait_statistics(
        &self,
        what: &str,
        is_it: impl Fn(&DebugStatistics) -> bool,
    ) -> Result<DebugStatistics> {
        self.wait(what, |seen| seen.statistics.iter().find(|one| is_it(one)).cloned()).await
    }

    /// Waits for the session's end, by itself.
    pub async fn wait_end(&self) -> Result<DebugEnd> {
        self.wait("the session's end", |seen| seen.end.clone()).await
    }
}

impl Drop for Debugging {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Seen {
    fn take(&mut self, payload: Option<Payload>) {
        match payload {
            Some(Payload::Session(session)) => self.sessions.push(session),
            Some(Payload::Update(update)) => {
                if let Some(Update::Event(event)) = update.payload {
                    self.events.push(event);
                }
            }
            Some(Payload::Statistics(statistics)) => self.statistics.push(statistics),
            Some(Payload::End(end)) => self.end = Some(end),
            None => {}
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The names of a daemon's programs that the kernel says are attached to a tracepoint or a function, in order.
pub fn attached(daemon: &Daemon) -> Result<Vec<String>> {
    let programs = programs(daemon)?;
    let links = list("link")?;
    let hooked = |program: &&Value| {
        links.iter().any(|link| link["prog_id"] == program["id"] && link["type"] != "iter")
    };
    let mut names: Vec<String> = programs
        .iter()
        .filter(hooked)
        .filter_map(|program| Some(program["name"].as_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}
