//! Calls at daemons, in the name of whoever asks the relay.

mod gathering;
mod room;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use observer_proto::v1::incidents_client::IncidentsClient;
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{NodeState, NodeStatus};
use prost::Message;
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use self::gathering::Gathering;
pub(super) use self::gathering::{Answer, Answers};
pub(super) use self::room::{Room, Turn};
use super::chosen::Chosen;
use super::node::{Node, Up};
use crate::serve::{CALLER, Caller, Scope, told};

/// So many daemons answer one call at a time.
const ASKED_AT_A_TIME: usize = 32;
/// How long others are waited for where one answer is enough.
const A_MOMENT: Duration = Duration::from_secs(1);
/// The longest that a daemon is told of who asks. As text it is a third more, and a daemon takes 16 KiB of headers.
const LONGEST_CALLER: usize = 8 << 10;

/// What is said of a node where asking it ended in the midst.
pub(super) const FELL: &str = "this relay failed over it, which is a bug: its log says more";

/// Who asks, as each daemon is told.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    told: Arc<[u8]>,
    room: Room,
}

impl Visit {
    fn new(up: &Up, asker: Asker, filters: Filters) -> Self {
        Self { asker, observer: up.observer.clone(), incidents: up.incidents.clone(), filters }
    }
}

impl Asker {
    /// That client, who may see so much; the answers that it gets have that room.
    pub(super) fn new(caller: &Caller, scope: &Scope, room: Room) -> Result<Self, Status> {
        Self::told(&caller.name(), scope, room)
    }

    fn told(name: &str, scope: &Scope, room: Room) -> Result<Self, Status> {
        let told = told(name, scope);
        if told.len() > LONGEST_CALLER {
            return Err(too_many_namespaces(scope, told.len()));
        }
        Ok(Self { told: told.into(), room })
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
    pub(super) asker: Asker,
    pub(super) observer: ObserverClient<Channel>,
    pub(super) incidents: IncidentsClient<Channel>,
    /// What of it passes.
    pub(super) filters: Filters,
}

/// How long daemons are waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long the connections to those may take that nobody has tried yet, all together; and then each answer.
    pub(super) patience: Duration,
    /// So many answer at a time: each answer may have megabytes.
    pub(super) at_a_time: usize,
    /// One answer is enough: the others are not waited for any longer than a moment.
    pub(super) one_is_enough: bool,
}

impl Pace {
    /// As lists are asked for.
    pub(super) const fn usual(patience: Duration) -> Self {
        Self { patience, at_a_time: ASKED_AT_A_TIME, one_is_enough: false }
    }
}

/// What asking a daemon came to: its node's place, and its answer, or that it gave none in time.
type Heard<T> = (usize, Arc<Up>, Result<Result<T, Status>, Elapsed>);

/// Asks all nodes of which something may pass. A request that all of them refuse fails; one that has nothing of the kind (not
/// found) is neither among those that answered nor missing.
pub(super) async fn ask<T, F>(
    asker: &Asker,
    nodes: &[Arc<Node>],
    chosen: &Chosen,
    pace: Pace,
    call: impl Fn(Visit) -> F,
) -> Result<Answers<T>, Status>
where
    T: Message + 'static,
    F: Future<Output = Result<T, Status>> + Send + 'static,
{
    let Pace { patience, at_a_time, one_is_enough } = pace;
    let mut found = Gathering::new(asker.room.clone());
    let mut asked: JoinSet<Heard<T>> = JoinSet::new();
    let mut names = HashMap::new();
    let mut left = nodes.iter().enumerate();
    let connected = Instant::now() + patience;
    let mut enough = None;
    loop {
        while asked.len() < at_a_time
            && let Some((place, node)) = left.next()
        {
            let until = enough.map_or(connected, |enough| connected.min(enough));
            let up = match node.up(until.saturating_duration_since(Instant::now())).await {
                Ok(up) => up,
                Err(status) => {
                    if may_answer(node, &status, chosen) {
                        found.lacks(status);
                    }
                    continue;
                }
            };
            let Some(filters) = chosen.of(&up.name) else { continue };
            node.counts.messages.fetch_add(1, Ordering::Relaxed);
            let name = Arc::clone(&up.name);
            let answer = call(Visit::new(&up, asker.clone(), filters));
            let task = asked.spawn(async move { (place, up, timeout(patience, answer).await) });
            names.insert(task.id(), name);
        }
        let next = asked.join_next_with_id();
        let next = match enough {
            Some(enough) => timeout_at(enough, next).await,
            None => Ok(next.await),
        };
        match next {
            Ok(None) => break,
            Ok(Some(Ok((id, (place, up, answer))))) => {
                names.remove(&id);
                match answer {
                    Ok(answer) => found.take(place, up, answer),
                    Err(_elapsed) => found.lacks(missing(&up.name, no_answer(patience))),
                }
            }
            Ok(Some(Err(fell))) => {
                let name = names.remove(&fell.id()).unwrap_or_default();
                found.lacks(missing(&name, FELL.to_owned()));
            }
            Err(_elapsed) => {
                let late = names.values().map(|name| missing(name, "it was not waited for".to_owned()));
                late.for_each(|late| found.lacks(late));
                break;
            }
        }
        if one_is_enough && enough.is_none() && found.has_some() {
            enough = Some(Instant::now() + A_MOMENT);
        }
    }
    found.whole()
}

/// Whether a node that is not connected may have something of what is asked for. One whose name nobody knows yet may be any.
pub(super) fn may_answer(node: &Node, status: &NodeStatus, chosen: &Chosen) -> bool {
    let asked_elsewhere = status.state() == NodeState::Unspecified;
    !asked_elsewhere && (!node.is_named() || chosen.of(&node.name()).is_some())
}

/// Who may see so many namespaces that daemons would refuse to hear of them.
fn too_many_namespaces(scope: &Scope, bytes: usize) -> Status {
    let count = if let Scope::Namespaces(namespaces) = scope { namespaces.len() } else { 0 };
    Status::failed_precondition(format!(
        "what you may see are {count} namespaces, {bytes} bytes of names: a relay can tell daemons of {LONGEST_CALLER} at \
         most. A rule of its access file for fewer namespaces, or with `all = true`, helps; each daemon by itself can be \
         asked as it is",
    ))
}

/// The filters for one node: those that let pass, and those that do not.
pub(super) type Filters = (Vec<observer_proto::v1::Filter>, Vec<observer_proto::v1::Filter>);

/// A daemon that took longer than it may.
pub(super) fn no_answer(patience: Duration) -> String {
    format!("no answer within {} s", patience.as_secs_f64())
}

/// A node that did not answer.
pub(super) fn missing(node: &str, why: String) -> NodeStatus {
    said(NodeState::Unavailable, node, why)
}

/// A node that was waited for in vain, or too long.
pub(super) fn behind(node: &str, why: String) -> NodeStatus {
    said(NodeState::Behind, node, why)
}

fn said(state: NodeState, node: &str, message: String) -> NodeStatus {
    NodeStatus { state: state.into(), message, node_name: node.to_owned(), ..NodeStatus::default() }
}
