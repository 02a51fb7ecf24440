//! One node's daemon: the connection to it, made again and again, and what is known of it.

mod claims;
mod keep;
mod up;

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use observer_proto::v1::{NodeState, NodeStatus, RelayedNode};
use prost_types::Timestamp;
use tokio::sync::watch;
use tokio::time::timeout;

use self::claims::Claims;
pub(super) use self::keep::Shared;
pub(super) use self::up::{CLOCKS_AGREE, Up};
use super::Settings;
use super::find::Found;

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it is asked.
    pub(super) address: String,
    found: Found,
    /// What it is called; before its daemon has said so, the address.
    name: Mutex<Arc<str>>,
    link: watch::Sender<Link>,
    /// How much its daemon's clock is ahead of this one's, where that is more than can be told.
    clock_ahead_ns: AtomicI64,
    pub(super) counts: Counts,
}

/// What it was asked for.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) streams: AtomicU32,
    pub(super) messages: AtomicU64,
    pub(super) lost: AtomicU64,
    connects: AtomicU64,
}

/// How it is connected.
#[derive(Clone, Debug)]
pub(super) enum Link {
    /// Nobody has tried yet.
    New,
    /// It is not: why, and since when.
    Down { why: Arc<str>, since: Timestamp },
    /// Its daemon is asked at another address already.
    Twin { of: Arc<str>, since: Timestamp },
    /// It is.
    Up(Arc<Up>),
    /// It is not among those that are found any more.
    Gone { since: Timestamp },
}

impl Node {
    /// One that was found and not asked yet.
    pub(super) fn new(found: Found) -> Self {
        let address = found.server.to_string();
        let name = found.node_name.clone().unwrap_or_else(|| address.clone());
        let (link, _) = watch::channel(Link::New);
        let clock_ahead_ns = AtomicI64::new(0);
        Self {
            address,
            found,
            name: Mutex::new(name.into()),
            link,
            clock_ahead_ns,
            counts: Counts::default(),
        }
    }

    /// It is that daemon which was found. What its node is called says the daemon.
    pub(super) fn is_found_as(&self, found: &Found) -> bool {
        let Found { server, tls_name, node_name: _ } = found;
        self.found.server == *server && self.found.tls_name == *tls_name
    }

    /// What it is called.
    pub(super) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It is known what it is called, by its daemon or by who found it.
    pub(super) fn is_named(&self) -> bool {
        *self.name() != *self.address
    }

    /// How it is connected, now and later.
    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// It is not to be found any more.
    pub(super) fn leave(&self) {
        self.link.send_replace(Link::Gone { since: now() });
    }

    /// It is connected like that.
    #[cfg(test)]
    pub(super) fn stand(&self, link: Link) {
        self.relink(link);
    }

    /// It is connected in another way; but who is gone stays so, whoever still tries.
    fn relink(&self, link: Link) {
        if let Link::Up(up) = &link {
            self.clock_ahead_ns.store(up.clock_ahead_ns(), Ordering::Relaxed);
        }
        self.link.send_if_modified(|now| {
            let changes = !matches!(now, Link::Gone { .. });
            if changes {
                *now = link;
            }
            changes
        });
    }

    /// How much its daemon's clock is ahead of this one's, where that is more than can be told.
    pub(super) fn clock_ahead_ns(&self) -> i64 {
        self.clock_ahead_ns.load(Ordering::Relaxed)
    }

    /// It, if it is connected; else why not, in a state that is unspecified where there is nothing to be said of it: its daemon is
    /// asked elsewhere. One that nobody has tried yet is waited for.
    pub(super) async fn up(&self, patience: Duration) -> Result<Arc<Up>, NodeStatus> {
        let mut link = self.link();
        let tried = link.wait_for(|link| !matches!(link, Link::New));
        let _elapsed = timeout(patience, tried).await.is_err();
        let now = link.borrow().clone();
        match now {
            Link::Up(up) => Ok(up),
            other @ (Link::New | Link::Down { .. } | Link::Twin { .. } | Link::Gone { .. }) => {
                Err(self.status(&other))
            }
        }
    }

    /// It, once it is connected; `Err` where it is gone.
    pub(super) async fn up_again(&self) -> Result<Arc<Up>, NodeStatus> {
        let mut link = self.link();
        let _unless_it_is_dropped =
            link.wait_for(|link| matches!(link, Link::Up(_) | Link::Gone { .. })).await.is_err();
        let now = link.borrow().clone();
        match now {
            Link::Up(up) => Ok(up),
            other @ (Link::New | Link::Down { .. } | Link::Twin { .. } | Link::Gone { .. }) => {
                Err(self.status(&other))
            }
        }
    }

    /// How it is now.
    pub(super) fn status_now(&self) -> NodeStatus {
        let link = self.link.borrow().clone();
        self.status(&link)
    }

    /// That state in a message.
    pub(super) fn status(&self, link: &Link) -> NodeStatus {
        let (state, message) = match link {
            Link::New => (NodeState::Unavailable, "it is being connected to".to_owned()),
            Link::Down { why, .. } => (NodeState::Unavailable, why.to_string()),
            Link::Twin { of, .. } => {
                (NodeState::Unspecified, format!("the same daemon as {of}, where it is asked"))
            }
            Link::Up(up) => return up.status(),
            Link::Gone { .. } => (NodeState::Gone, "it is not found any more".to_owned()),
        };
        let node_name = self.name().to_string();
        NodeStatus { state: state.into(), message, node_name, ..NodeStatus::default() }
    }

    /// What the relay's status says of it.
    pub(super) fn told(&self) -> RelayedNode {
        let link = self.link.borrow().clone();
        let NodeStatus { state, message, start_time, node_name, .. } = self.status(&link);
        let (since, version, ahead) = match link {
            Link::New => (None, String::new(), None),
            Link::Down { since, .. } | Link::Twin { since, .. } | Link::Gone { since } => {
                (Some(since), String::new(), None)
            }
            Link::Up(up) => (Some(up.since), up.version.clone(), Some(up.clock.ahead_ns)),
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RelayedNode {
            name: node_name,
            address: self.address.clone(),
            state,
            message,
            since,
            version,
            start_time,
            clock_ahead_ns: ahead,
            streams: self.counts.streams.load(Ordering::Relaxed),
            messages: count(&self.counts.messages),
            lost: count(&self.counts.lost),
            connects: count(&self.counts.connects),
        }
    }
}

/// Why a call failed, in one line.
pub(super) fn words(status: &tonic::Status) -> String {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(status);
    let mut last = None;
    while let Some(error) = cause {
        last = Some(error.to_string());
        cause = error.source();
    }
    match last {
        Some(last) => format!("the connection broke: {}", first_line(&last)),
        None if status.message().is_empty() => status.code().description().to_owned(),
        None => first_line(status.message()),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(500).collect()
}

/// A time as one number.
pub(super) fn nanos(time: &Timestamp) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
}

/// The time by this machine's clock.
#[allow(clippy::disallowed_methods, reason = "messages carry the time of their sending")]
pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}
