//! Calls at daemons, in the name of whoever asks the relay.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use observer_proto::v1::incidents_client::IncidentsClient;
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{NodeState, NodeStatus};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::chosen::Chosen;
use super::node::{Node, Up, words};
use crate::serve::{CALLER, Caller, Scope, told};

/// So many daemons answer one call at a time: each answer may have megabytes.
const ASKED_AT_A_TIME: usize = 64;

/// What is said of a node where asking it ended in the midst.
pub(super) const FELL: &str = "this relay failed over it, which is a bug: its log says more";

/// Who asks, as each daemon is told.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    told: Arc<[u8]>,
}

/// What the daemons answered.
#[derive(Debug)]
pub(super) struct Answers<T> {
    /// By the order of the nodes.
    pub(super) answers: Vec<(Arc<Node>, Arc<str>, T)>,
    /// Who did not, and why.
    pub(super) missing: Vec<NodeStatus>,
}

impl Visit {
    fn new(up: Arc<Up>, asker: Asker, filters: Filters) -> Self {
        let (observer, incidents) = (up.observer.clone(), up.incidents.clone());
        Self { up, asker, observer, incidents, filters }
    }
}

impl Asker {
    /// That client, who may see so much.
    pub(super) fn new(caller: &Caller, scope: &Scope) -> Self {
        Self { told: told(&caller.name(), scope).into() }
    }

    /// A call with that message.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let value = MetadataValue::from_bytes(&self.told);
        request.metadata_mut().insert_bin(CALLER, value);
        request
    }

    /// The answer, if the daemon says that it has heeded who asks: one that does not know of that would show all.
    pub(super) fn heeded<T>(&self, response: Response<T>) -> Result<T, Status> {
        let heeded = response.metadata().get_bin(CALLER).and_then(|value| value.to_bytes().ok());
        if heeded.is_some_and(|heeded| *heeded == *self.told) {
            return Ok(response.into_inner());
        }
        Err(Status::failed_precondition(
            "its daemon does not know how to answer for others: bring it to this relay's version",
        ))
    }
}

/// A daemon that is asked, in whose name, and for what.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) up: Arc<Up>,
    pub(super) asker: Asker,
    pub(super) observer: ObserverClient<Channel>,
    pub(super) incidents: IncidentsClient<Channel>,
    /// What of it passes.
    pub(super) filters: Filters,
}

/// Asks all nodes of which something may pass. A request that is wrong is so on each, and fails; so does one that all of them
/// refuse.
pub(super) async fn ask<T, F>(
    asker: &Asker,
    nodes: &[Arc<Node>],
    chosen: &Chosen,
    patience: Duration,
    call: impl Fn(Visit) -> F,
) -> Result<Answers<T>, Status>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Status>> + Send + 'static,
{
    let mut found = Answers { answers: Vec::new(), missing: Vec::new() };
    let mut asked = JoinSet::new();
    let mut left = nodes.iter().cloned().enumerate();
    let (mut places, mut names) = (Vec::new(), HashMap::new());
    let (mut denied, mut others) = (BTreeSet::new(), 0);
    loop {
        while asked.len() < ASKED_AT_A_TIME
            && let Some((place, node)) = left.next()
        {
            let up = match node.up(patience).await {
                Ok(up) => up,
                Err(status) => {
                    let asked_elsewhere = status.state() == NodeState::Unspecified;
                    if !asked_elsewhere && chosen.of(&node.name()).is_some() {
                        found.missing.push(status);
                        others += 1;
                    }
                    continue;
                }
            };
            let Some(filters) = chosen.of(&up.name) else { continue };
            node.counts.messages.fetch_add(1, Ordering::Relaxed);
            let answer = call(Visit::new(Arc::clone(&up), asker.clone(), filters));
            let name = Arc::clone(&up.name);
            let task = asked.spawn(async move { (place, node, up, timeout(patience, answer).await) });
            names.insert(task.id(), name);
        }
        let Some(answered) = asked.join_next_with_id().await else { break };
        let (place, node, up, answer) = match answered {
            Ok((id, answered)) => {
                names.remove(&id);
                answered
            }
            Err(fell) => {
                let name = names.remove(&fell.id()).unwrap_or_default();
                found.missing.push(missing(&name, FELL.to_owned()));
                others += 1;
                continue;
            }
        };
        match answer {
            Ok(Ok(answer)) => places.push((place, (node, Arc::clone(&up.name), answer))),
            Ok(Err(status)) if is_of_request(&status) => return Err(status),
            Ok(Err(status)) => {
                found.missing.push(missing(&up.name, words(&status)));
                if status.code() == Code::PermissionDenied {
                    denied.insert(status.message().to_owned());
                } else {
                    others += 1;
                }
            }
            Err(_elapsed) => {
                found.missing.push(missing(&up.name, no_answer(patience)));
                others += 1;
            }
        }
    }
    if places.is_empty() && others == 0 && !denied.is_empty() {
        let words: Vec<_> = denied.into_iter().collect();
        return Err(Status::permission_denied(words.join("; ")));
    }
    places.sort_by_key(|(place, _)| *place);
    found.answers.extend(places.into_iter().map(|(_, answer)| answer));
    found.missing.sort_by(|a, b| a.node_name.cmp(&b.node_name));
    Ok(found)
}

/// The filters for one node: those that let pass, and those that do not.
pub(super) type Filters = (Vec<observer_proto::v1::Filter>, Vec<observer_proto::v1::Filter>);

/// What is wrong is the request, wherever it goes.
pub(super) fn is_of_request(status: &Status) -> bool {
    status.code() == Code::InvalidArgument
}

/// A daemon that took longer than it may.
pub(super) fn no_answer(patience: Duration) -> String {
    format!("no answer within {} s", patience.as_secs_f64())
}

/// A node that did not answer.
pub(super) fn missing(node: &str, why: String) -> NodeStatus {
    NodeStatus {
        state: NodeState::Unavailable.into(),
        message: why,
        node_name: node.to_owned(),
        ..NodeStatus::default()
    }
}
