//! The health of the CRI endpoints, told to the core when it changes.

use std::collections::BTreeSet;

use tokio::sync::{Mutex, mpsc};

use super::super::Fact;
use super::CriEndpoint;
use crate::status::IdentitySource;

/// The name that all of these sources bear.
const NAME: &str = "cri";

/// How an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Nobody asked it yet.
    Unasked,
    /// There is no socket.
    Absent,
    /// It answers, by this name.
    Answers(String),
    /// It does not, for this reason.
    Fails(String),
}

/// All endpoints' health.
#[derive(Debug)]
pub(super) struct Sources {
    endpoints: Vec<CriEndpoint>,
    given: bool,
    facts: mpsc::Sender<Fact>,
    health: Mutex<Vec<Health>>,
    /// Those that are still to say whom they have.
    unsurveyed: Mutex<BTreeSet<usize>>,
}

impl Sources {
    /// Endpoints that nobody asked yet.
    pub(super) fn new(endpoints: Vec<CriEndpoint>, given: bool, facts: mpsc::Sender<Fact>) -> Self {
        let health = Mutex::new(vec![Health::Unasked; endpoints.len()]);
        let unsurveyed = Mutex::new((0..endpoints.len()).collect());
        Self { endpoints, given, facts, health, unsurveyed }
    }

    /// Takes note of one endpoint's health, and tells the core where that is news.
    pub(super) async fn report(&self, index: usize, news: Health) {
        // Held while it is sent, so that the last word that is sent is the last word.
        let mut health = self.health.lock().await;
        let before = self.sources(&health);
        if let (Some(health), Some(endpoint)) = (health.get_mut(index), self.endpoints.get(index)) {
            if self.given && news == Health::Absent && *health != news {
                log::warn!(
                    "there is no socket at {}: its containers show by id; in a pod, mount the folder of the runtime's socket there",
                    endpoint.socket().display()
                );
            }
            *health = news;
        }
        let sources = self.sources(&health);
        if sources != before && !sources.is_empty() {
            // Nobody listens any more: then these tasks are about to be stopped.
            let _closed = self.facts.send(Fact::Sources(NAME, sources)).await;
        }
    }

    /// Tells that there is nobody to ask.
    pub(super) async fn report_nowhere(&self) {
        for fact in [Fact::Sources(NAME, vec![self.nowhere()]), Fact::Surveyed] {
            let _closed = self.facts.send(fact).await;
        }
    }

    /// One endpoint has told whom it has, or does not answer; tells the core once all have.
    pub(super) async fn surveyed(&self, index: usize) {
        let mut left = self.unsurveyed.lock().await;
        if left.remove(&index) && left.is_empty() {
            let _closed = self.facts.send(Fact::Surveyed).await;
        }
    }

    fn sources(&self, health: &[Health]) -> Vec<IdentitySource> {
        let asked = health.iter().zip(&self.endpoints).filter(|(health, _)| **health != Health::Unasked);
        let present = health.iter().any(|health| !matches!(health, Health::Absent | Health::Unasked));
        let all_asked = !health.contains(&Health::Unasked);
        if !present && (!self.given || self.endpoints.is_empty()) {
            return if all_asked { vec![self.nowhere()] } else { Vec::new() };
        }
        asked
            .filter_map(|(health, endpoint)| {
                let (healthy, message) = match health {
                    Health::Answers(name) => (true, name.clone()),
                    Health::Fails(reason) => (false, format!("{reason}; new containers show by id")),
                    Health::Absent if self.given => {
                        (false, "there is no socket; its containers show by id".to_owned())
                    }
                    Health::Absent | Health::Unasked => return None,
                };
                Some(IdentitySource { name: NAME, endpoint: endpoint.to_string(), healthy, message })
            })
            .collect()
    }

    /// No runtime at all.
    fn nowhere(&self) -> IdentitySource {
        let places: Vec<String> =
            self.endpoints.iter().map(|endpoint| endpoint.socket().display().to_string()).collect();
        let message = match places.as_slice() {
            [] => "no CRI endpoint is set; containers show by id".to_owned(),
            places => format!("no CRI socket found at {}; containers show by id", places.join(", ")),
        };
        IdentitySource { name: NAME, endpoint: String::new(), healthy: false, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(given: bool) -> (Sources, mpsc::Receiver<Fact>) {
        let (facts, told) = mpsc::channel(16);
        let endpoints = ["unix:///run/a.sock", "unix:///run/b.sock"];
        let endpoints = endpoints.map(|endpoint| endpoint.parse().unwrap()).into();
        (Sources::new(endpoints, given, facts), told)
    }

    fn messages(told: &mut mpsc::Receiver<Fact>) -> Vec<(String, bool, String)> {
        let Ok(Fact::Sources(NAME, sources)) = told.try_recv() else { return Vec::new() };
        sources.into_iter().map(|source| (source.endpoint, source.healthy, source.message)).collect()
    }

    #[tokio::test]
    async fn absent_usual_places_are_told_together_or_not_at_all() {
        let (sources, mut told) = sources(false);
        sources.report(0, Health::Absent).await;
        assert!(told.try_recv().is_err());
        sources.report(1, Health::Absent).await;
        let message = "no CRI socket found at /run/a.sock, /run/b.sock; containers show by id";
        assert_eq!(messages(&mut told), [(String::new(), false, message.to_owned())]);
        sources.report(1, Health::Answers("containerd 1.6".into())).await;
        let healthy = ("unix:///run/b.sock".to_owned(), true, "containerd 1.6".to_owned());
        assert_eq!(messages(&mut told), [healthy]);
        sources.report(0, Health::Absent).await;
        assert!(told.try_recv().is_err());
    }

    #[tokio::test]
    async fn absent_endpoints_that_were_given_are_told() {
        let (sources, mut told) = sources(true);
        sources.report(0, Health::Absent).await;
        assert_eq!(messages(&mut told).len(), 1);
        sources.report(1, Health::Fails("Version failed: broken".into())).await;
        let messages = messages(&mut told);
        assert!(messages[0].2.starts_with("there is no socket"), "{messages:?}");
        assert_eq!(messages[1].2, "Version failed: broken; new containers show by id");
    }

    #[tokio::test]
    async fn no_endpoint_at_all_is_told() {
        let (facts, mut told) = mpsc::channel(2);
        Sources::new(Vec::new(), true, facts).report_nowhere().await;
        let message = "no CRI endpoint is set; containers show by id";
        assert_eq!(messages(&mut told), [(String::new(), false, message.to_owned())]);
        assert_eq!(told.try_recv(), Ok(Fact::Surveyed));
    }

    #[tokio::test]
    async fn that_all_are_surveyed_is_told_once() {
        let (sources, mut told) = sources(true);
        sources.surveyed(1).await;
        sources.surveyed(1).await;
        assert!(told.try_recv().is_err());
        sources.surveyed(0).await;
        assert_eq!(told.try_recv(), Ok(Fact::Surveyed));
        sources.surveyed(0).await;
        assert!(told.try_recv().is_err());
    }
}
