//! One node's part in a stream over all nodes: asked again and again, for as long as the node is found.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use observer_proto::v1::{NodeState, NodeStatus};
use tokio::time::timeout;
use tonic::{Response, Status, Streaming};

use super::super::call::{Asker, Filters, missing, no_answer};
use super::super::chosen::Chosen;
use super::super::node::{Link, Node, Up, words};
use crate::export::Backoff;

/// The longest pause between two tries at a daemon that is connected and refuses.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whoever asked has gone.
pub(super) struct Gone;

/// How a daemon's stream ended.
pub(super) enum End {
    /// All that was asked for was told.
    Whole,
    /// The node is not found any more.
    Gone,
    /// Something broke it.
    Broken(String),
    /// The daemon ended it.
    Refused(Status),
}

/// What a daemon says, or how its stream ended.
pub(super) type Heard<T> = Result<T, End>;

/// A daemon's stream, for as long as its node is found: the connection alone may outlast that, and the same daemon be found
/// anew, which then tells all once more.
pub(super) struct Opened<T> {
    stream: Streaming<T>,
    gone: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Who is asked, in whose name.
#[derive(Debug)]
pub(super) struct Of {
    pub(super) node: Arc<Node>,
    pub(super) asker: Asker,
    pub(super) chosen: Chosen,
    /// How long the daemon may take to open a stream.
    pub(super) patience: Duration,
    /// The stream has no end.
    pub(super) follow: bool,
    /// Why the node tells nothing, as was said last: it is not said again.
    pub(super) told: String,
}

/// What is made of a daemon's stream.
pub(super) trait Part {
    /// Who is asked.
    fn of(&mut self) -> &mut Of;

    /// One stream of the daemon's, of what passes these filters, to its end.
    async fn stream(&mut self, up: &Up, filters: Filters) -> Result<End, Gone>;

    /// Says that the node tells nothing now.
    async fn state(&mut self, status: NodeStatus) -> Result<(), Gone>;

    /// Nothing more comes of what was asked for so far.
    async fn cut_off(&mut self) -> Result<(), Gone>;

    /// Says that nothing more comes at all.
    async fn end(&mut self) -> Result<(), Gone>;
}

/// Brings what a node tells until all was told, or for as long as it is found.
pub(super) async fn run(mut part: impl Part) {
    if let Ok(()) = bring(&mut part).await {
        // Whoever is gone has no need to hear of the end.
        let _gone = part.end().await.is_err();
    }
}

async fn bring(part: &mut impl Part) -> Result<(), Gone> {
    let node = &Arc::clone(&part.of().node);
    let _counted = Counted::new(&node.counts.streams);
    let mut pauses = Backoff::up_to(LONGEST_PAUSE);
    let mut up = node.up(part.of().patience).await;
    // What it was called when it was said to tell nothing: before it was ever connected, that is its address.
    let mut called = None;
    loop {
        match up {
            Ok(is) => {
                if let Some(called) = called.take().filter(|called| *called != *is.name) {
                    part.state(known_as(called, &is.name)).await?;
                }
                let Some(filters) = part.of().chosen.of(&is.name) else { return Ok(()) };
                let why = match part.stream(&is, filters).await? {
                    End::Whole => return Ok(()),
                    // What is to be said of that follows.
                    End::Gone => None,
                    End::Refused(status) => Some(words(&status)),
                    End::Broken(why) => Some(why),
                };
                if let Some(why) = why.filter(|why| part.of().told != *why) {
                    part.of().told.clone_from(&why);
                    part.state(missing(&is.name, why)).await?;
                }
                part.cut_off().await?;
                if !part.of().follow {
                    return Ok(());
                }
                until_it_changes(node, &is, pauses.next()).await;
            }
            Err(status) => {
                let gone = status.state() == NodeState::Gone;
                let asked_elsewhere = status.state() == NodeState::Unspecified;
                if !asked_elsewhere && part.of().chosen.of(&node.name()).is_some() {
                    called = Some(status.node_name.clone());
                    part.state(status).await?;
                }
                part.cut_off().await?;
                if gone || !part.of().follow {
                    return Ok(());
                }
            }
        }
        up = node.up_again().await;
    }
}

/// That what was called so is the node of that name.
fn known_as(called: String, name: &str) -> NodeStatus {
    let message = format!("that is {name}, which is connected now");
    NodeStatus { state: NodeState::Unspecified.into(), message, node_name: called, ..NodeStatus::default() }
}

/// One more of something, for as long as this is there.
struct Counted<'a>(&'a AtomicU32);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicU32) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits until that connection is not the node's any more, but no longer than a pause: a refusal is tried again.
async fn until_it_changes(node: &Node, up: &Up, pause: Duration) {
    let mut link = node.link();
    let changed = link.wait_for(|link| !matches!(link, Link::Up(now) if now.is_same(up)));
    let _elapsed = timeout(pause, changed).await.is_err();
}

impl Of {
    /// Opens a stream that answers in time and heeds who asks.
    pub(super) async fn open<T>(
        &mut self,
        call: impl Future<Output = Result<Response<Streaming<T>>, Status>>,
    ) -> Heard<Opened<T>> {
        let answer =
            timeout(self.patience, call).await.map_err(|_elapsed| End::Broken(no_answer(self.patience)))?;
        let stream = answer.and_then(|answer| self.asker.heeded(answer)).map_err(End::Refused)?;
        self.told.clear();
        let mut link = self.node.link();
        let gone = Box::pin(async move {
            let _gone = link.wait_for(|link| matches!(link, Link::Gone { .. })).await.is_err();
        });
        Ok(Opened { stream, gone })
    }

    /// The next message.
    pub(super) async fn next<T>(&self, Opened { stream, gone }: &mut Opened<T>) -> Heard<T> {
        let message = tokio::select! {
            biased;
            // What is past alone is not told again.
            () = gone, if self.follow => return Err(End::Gone),
            message = stream.message() => message,
        };
        let message = match message {
            Ok(Some(message)) => message,
            Ok(None) if self.follow => return Err(End::Broken("its stream has ended".to_owned())),
            Ok(None) => return Err(End::Whole),
            Err(status) if std::error::Error::source(&status).is_some() => {
                return Err(End::Broken(words(&status)));
            }
            Err(status) => return Err(End::Refused(status)),
        };
        self.node.counts.messages.fetch_add(1, Ordering::Relaxed);
        Ok(message)
    }
}

/// The daemon said that it ends.
pub(super) fn stopping() -> End {
    End::Broken("its daemon is stopping".to_owned())
}
