//! What a runtime tells by itself: its stream of container events, where following it takes nothing from others.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use k8s_cri::v1::{ContainerEventResponse, ContainerEventType};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::super::{EndFact, Fact};
use super::client::{Client, CriError};
use super::convert;
use super::runtime::{Answer, End, Runtime, send};
use super::sources::{Health, Sources};

/// The first and the longest pause before a stream that broke is asked for again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Each of several clients gets all events of that runtime. Before, clients shared one queue, and each event that we
/// read was one that the kubelet missed.
pub(super) fn is_shared(name: &str) -> bool {
    let mut words = name.split(' ');
    let (runtime, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']);
    let mut number = || numbers.next().and_then(|number| number.parse::<u32>().ok()).unwrap_or(0);
    let version = (number(), number());
    match runtime {
        "containerd" => version >= (2, 0),
        "cri-o" => version >= (1, 28),
        _ => false,
    }
}

/// A runtime that answers, to be reported of.
pub(super) struct Teller<'a> {
    /// Its name and version.
    pub(super) name: &'a str,
    /// Which endpoint it is.
    pub(super) index: usize,
    pub(super) sources: &'a Sources,
}

impl Teller<'_> {
    async fn report(&self, suffix: &str) {
        let health = Health::Answers(format!("{}{suffix}", self.name));
        self.sources.report(self.index, health).await;
    }
}

impl Runtime {
    /// Follows the runtime's events for good, if it has any and shares them.
    pub(super) async fn follow(&self, client: &Client, teller: &Teller<'_>, facts: &mpsc::Sender<Fact>) {
        let mut pause = FIRST_PAUSE;
        self.followed.store(false, Ordering::Relaxed);
        if !is_shared(teller.name) {
            pending::<()>().await;
        }
        loop {
            let error = self.follow_once(client, teller, facts).await;
            if self.followed.swap(false, Ordering::Relaxed) {
                // What happened meanwhile is found by a survey.
                self.resurvey.notify_one();
                teller.report("").await;
                pause = FIRST_PAUSE;
            }
            match error {
                Some(CriError::Unsupported(_)) => break,
                Some(error) => log::debug!("{}: {}", self.endpoint(), error.explain()),
                None => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        pending::<()>().await;
    }

    /// Follows one stream to its end; the reason, where there is one.
    async fn follow_once(
        &self,
        client: &Client,
        teller: &Teller<'_>,
        facts: &mpsc::Sender<Fact>,
    ) -> Option<CriError> {
        let mut events = match client.events().await {
            Ok(events) => events,
            Err(error) => return Some(error),
        };
        loop {
            match events.message().await {
                Ok(Some(event)) => {
                    if !self.followed.swap(true, Ordering::Relaxed) {
                        teller.report(", whose events are followed").await;
                    }
                    self.take(event, facts).await;
                }
                Ok(None) => return None,
                Err(status) => {
                    return Some(CriError::Failed { call: "GetContainerEvents", source: Box::new(status) });
                }
            }
        }
    }

    async fn take(&self, event: ContainerEventResponse, facts: &mpsc::Sender<Fact>) {
        let kind = event.container_event_type();
        let ContainerEventResponse { container_id, pod_sandbox_status, containers_statuses, .. } = event;
        let pod = pod_sandbox_status.filter(|pod| pod.id == container_id).map(convert::pod);
        let is_sandbox = pod.is_some() || self.known().pod(&container_id).is_some();
        match kind {
            ContainerEventType::ContainerCreatedEvent | ContainerEventType::ContainerStartedEvent => {
                if let Some(pod) = pod.map(Arc::new) {
                    let changed = self.known().learn(&pod);
                    if self.known().tell(&container_id) || changed {
                        send(facts, Fact::Container(convert::sandbox(pod))).await;
                    }
                } else if let Answer::Found(fact) = self.find(&container_id).await {
                    send(facts, Fact::Container(fact)).await;
                }
            }
            ContainerEventType::ContainerStoppedEvent | ContainerEventType::ContainerDeletedEvent
                if is_sandbox =>
            {
                if self.known().is_gone(&container_id) {
                    send(facts, Fact::PodGone { sandbox_id: container_id }).await;
                }
            }
            ContainerEventType::ContainerStoppedEvent => {
                let told = containers_statuses.into_iter().find(|status| status.id == container_id);
                let end = match told.and_then(convert::end) {
                    Some(end) => End::Ended(end),
                    // Its status was read a moment too early.
                    None => self.end(&container_id).await,
                };
                if let End::Ended(end) = end {
                    send(facts, Fact::Ended(EndFact { container_id, end })).await;
                }
            }
            ContainerEventType::ContainerDeletedEvent => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_runtimes_that_share_their_events_are_followed() {
        for name in ["containerd v2.0.0", "containerd 2.1.4-k3s1", "cri-o 1.28.0", "cri-o 2.0"] {
            assert!(is_shared(name), "{name}");
        }
        for name in
            ["containerd 1.6.20~ds1", "containerd v1.7.27", "cri-o 1.27.9", "docker 28.1", "", "cri-o x"]
        {
            assert!(!is_shared(name), "{name}");
        }
    }
}
