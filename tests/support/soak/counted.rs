//! A subscriber of events that counts them and keeps none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{Event, EventType, Filter, LossSource, WatchEventsRequest};
use tokio::task::JoinHandle;

use crate::daemon::Daemon;
use crate::totals::{Figures, of_events};
use crate::wait::{PATIENCE, eventually};

#[derive(Debug, Default)]
struct Seen {
    by_pod: BTreeMap<String, Figures>,
    /// By the container's name: starts and stops.
    containers: BTreeMap<String, [u64; 2]>,
    /// What this subscriber had no room for.
    lost: u64,
    connected: bool,
}

/// The counts so far.
#[derive(Debug)]
pub(super) struct Counted {
    seen: Arc<Mutex<Seen>>,
    reader: JoinHandle<()>,
}

impl Counted {
    /// Follows the events of one Kubernetes namespace.
    pub(super) async fn start(daemon: &Daemon, namespace: &str) -> Result<Self> {
        let mut client = ObserverClient::new(daemon.channel().await?);
        let filter = Filter { namespaces: vec![namespace.to_owned()], ..Filter::default() };
        let request =
            WatchEventsRequest { allow: vec![filter], follow: true, ..WatchEventsRequest::default() };
        let mut stream = client.watch_events(request).await?.into_inner();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let reader = tokio::spawn(async move {
            while let Ok(Some(message)) = stream.message().await {
                let mut seen = lock(&shared);
                match message.payload {
                    Some(Payload::Event(event)) => seen.add(&event),
                    Some(Payload::Lost(lost)) if lost.source() == LossSource::Subscriber => {
                        seen.lost += lost.count;
                    }
                    Some(Payload::NodeStatus(_)) => seen.connected = true,
                    Some(Payload::Lost(_) | Payload::Folded(_) | Payload::History(_) | Payload::Gap(_))
                    | None => {}
                }
            }
        });
        let counted = Self { seen, reader };
        eventually(PATIENCE, "the stream to be connected", async || {
            Ok(if lock(&counted.seen).connected { Ok(()) } else { Err("nothing") })
        })
        .await?;
        Ok(counted)
    }

    /// What the events of a pod add up to.
    pub(super) fn of(&self, pod: &str) -> Figures {
        lock(&self.seen).by_pod.get(pod).cloned().unwrap_or_default()
    }

    /// Starts and stops of the containers of that name.
    pub(super) fn containers(&self, name: &str) -> [u64; 2] {
        lock(&self.seen).containers.get(name).copied().unwrap_or_default()
    }

    /// How many events this subscriber lost.
    pub(super) fn lost(&self) -> u64 {
        lock(&self.seen).lost
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Seen {
    fn add(&mut self, event: &Event) {
        let Some(workload) = &event.workload else { return };
        let sums = self.by_pod.entry(workload.pod.clone()).or_default();
        for (name, figure) in of_events([event]) {
            *sums.entry(name).or_default() += figure;
        }
        let [starts, stops] = self.containers.entry(workload.container.clone()).or_default();
        match event.r#type() {
            EventType::ProcessExec => *sums.entry("execs").or_default() += 1,
            EventType::ProcessExit => *sums.entry("exits").or_default() += 1,
            EventType::ContainerStart => *starts += 1,
            EventType::ContainerStop => *stops += 1,
            EventType::Unspecified
            | EventType::OomKill
            | EventType::TcpConnect
            | EventType::TcpAccept
            | EventType::TcpConnectFailure
            | EventType::TcpRetransmit
            | EventType::TcpReset
            | EventType::TcpClose
            | EventType::TcpConnectPending
            | EventType::ContainerReady
            | EventType::ContainerCrashLoop => {}
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
