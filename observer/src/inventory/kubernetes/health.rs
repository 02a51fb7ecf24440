//! How well the API is known: one source of identities, made of the health of each resource.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::{Mutex, mpsc};

use super::super::Fact;
use super::super::cluster::Resource;
use super::access::Access;
use crate::status::IdentitySource;

/// The name that this source bears.
const NAME: &str = "kubernetes";

/// How a resource is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It is known and followed.
    Followed,
    /// It cannot be asked for, for this reason.
    Fails(String),
}

/// A resource as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    /// It was known once: what was known then is still used.
    known: bool,
    /// Why it is not followed, and since when.
    failing: Option<(String, Timestamp)>,
}

/// All resources' health, told to the core when it changes.
pub(super) struct Healths {
    access: Arc<Access>,
    facts: mpsc::Sender<Fact>,
    states: Mutex<States>,
}

/// All resources as they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct States {
    resources: [State; Resource::ALL.len()],
    /// What the API calls no node, although it is told to be this one's name.
    no_such_node: Option<Arc<str>>,
}

impl Healths {
    pub(super) fn new(access: Arc<Access>, facts: mpsc::Sender<Fact>) -> Self {
        Self { access, facts, states: Mutex::default() }
    }

    /// Takes note of a resource's health, and tells the core.
    pub(super) async fn report(&self, resource: Resource, news: Health, now: Timestamp) {
        // Held while it is sent, so that the last word that is sent is the last word.
        let mut states = self.states.lock().await;
        let before = states.clone();
        let state = &mut states.resources[resource as usize];
        match news {
            Health::Followed => *state = State { known: true, failing: None },
            Health::Fails(reason) => {
                let since = state.failing.as_ref().map_or(now, |(_, since)| *since);
                state.failing = Some((reason, since));
            }
        }
        self.tell(&states, &before).await;
    }

    /// Takes note of whether the API knows a node by this one's name.
    pub(super) async fn report_node(&self, name: &Arc<str>, found: bool) {
        let mut states = self.states.lock().await;
        let before = states.clone();
        states.no_such_node = (!found).then(|| Arc::clone(name));
        self.tell(&states, &before).await;
    }

    async fn tell(&self, states: &States, before: &States) {
        if states != before {
            let source = source(self.access.endpoint(), states);
            // Nobody listens any more: then these tasks are about to be stopped.
            let _closed = self.facts.send(Fact::Sources(NAME, vec![source])).await;
        }
    }
}

fn source(endpoint: String, states: &States) -> IdentitySource {
    let States { resources: states, no_such_node } = states;
    let of = |holds: &dyn Fn(&State) -> bool| -> Vec<&'static str> {
        let all = Resource::ALL.into_iter();
        all.filter(|resource| holds(&states[*resource as usize])).map(name).collect()
    };
    let stale = of(&|state| state.known && state.failing.is_some());
    let unknown = of(&|state| !state.known);
    let mut words = Vec::new();
    if !stale.is_empty() {
        let since = states.iter().filter(|state| state.known);
        let since = since.filter_map(|state| state.failing.as_ref().map(|(_, since)| *since)).min();
        let since = since.map_or_else(String::new, |since| format!(" since {since:.0}"));
        words.push(format!("stale{since}: {}", stale.join(", ")));
    }
    if !unknown.is_empty() {
        words.push(format!("not known: {}", unknown.join(", ")));
    }
    if let Some(name) = no_such_node {
        words.push(format!("no node is called `{name}`, so that its pods are not known: set node_name"));
    }
    // Most often it is the same for all of them.
    let mut reasons: Vec<&str> =
        states.iter().filter_map(|state| state.failing.as_ref().map(|(reason, _)| reason.as_str())).collect();
    reasons.dedup();
    words.extend(reasons.into_iter().map(str::to_owned));
    let healthy = words.is_empty();
    if healthy {
        words.push("pods, nodes, services and endpoint slices are followed".to_owned());
    }
    IdentitySource { name: NAME, endpoint, healthy, message: words.join("; ") }
}

const fn name(resource: Resource) -> &'static str {
    match resource {
        Resource::OwnPods => "this node's pods",
        Resource::Nodes => "nodes",
        Resource::Services => "services",
        Resource::EndpointSlices => "endpoint slices",
        Resource::FarPods => "other nodes' pods",
    }
}

#[cfg(test)]
mod tests {
    use super::super::ApiAccess;
    use super::*;

    #[tokio::test]
    async fn what_was_known_is_stale_and_what_was_not_is_missing() {
        let (facts, mut told) = mpsc::channel(64);
        let access = Arc::new(Access::new(ApiAccess::Kubeconfig("/etc/k".into())));
        let healths = Healths::new(access, facts);
        let mut last = || {
            let mut last = None;
            while let Ok(Fact::Sources(_, sources)) = told.try_recv() {
                let source = sources.into_iter().next().unwrap();
                last = Some((source.healthy, source.message));
            }
            last
        };
        let at = Timestamp::from_second(1_769_847_123).unwrap();
        let refused = || Health::Fails("403: no".to_owned());
        healths.report(Resource::OwnPods, Health::Followed, at).await;
        let missing = "not known: nodes, services, endpoint slices, other nodes' pods";
        assert_eq!(last(), Some((false, missing.to_owned())));
        for resource in Resource::ALL {
            healths.report(resource, Health::Followed, at).await;
        }
        assert_eq!(last().map(|(healthy, _)| healthy), Some(true));
        healths.report(Resource::Nodes, Health::Followed, at).await;
        assert_eq!(last(), None, "no news");
        healths.report_node(&"n1".into(), false).await;
        let words = "no node is called `n1`, so that its pods are not known: set node_name";
        assert_eq!(last(), Some((false, words.to_owned())));
        healths.report_node(&"n1".into(), true).await;
        assert_eq!(last().map(|(healthy, _)| healthy), Some(true));
        for resource in [Resource::Nodes, Resource::Services] {
            healths.report(resource, refused(), at).await;
        }
        healths.report(Resource::Nodes, refused(), Timestamp::MAX).await;
        let stale = "stale since 2026-01-31T08:12:03Z: nodes, services; 403: no";
        assert_eq!(last(), Some((false, stale.to_owned())));
    }
}
