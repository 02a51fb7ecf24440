//! What all windows' summaries tell of edges, added up in the background.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{Lost, Summary, WatchSummariesRequest};
use tokio::task::JoinHandle;

use crate::daemon::Daemon;
use crate::losses::is_own;
use crate::wait::{PATIENCE, eventually};

/// The sums of one port's edges, of the side that asks or of the one that is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EdgeSum {
    /// Connections established.
    pub opened: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Connections alive at the end of the last window.
    pub live: u64,
    /// Payload sent.
    pub sent_bytes: u64,
    /// Payload received.
    pub received_bytes: u64,
}

#[derive(Debug, Default)]
struct Seen {
    /// By the listening side's port, and whether it is the asking side.
    sums: BTreeMap<(u32, bool), EdgeSum>,
    /// What is alive, of the window whose summaries come now.
    live: BTreeMap<(u32, bool), u64>,
    windows: u64,
    lost_events: u64,
    lost: Vec<Lost>,
    ended: Option<String>,
}

/// The sums since this was started, over windows of a second.
#[derive(Debug)]
pub struct Edges {
    seen: Arc<Mutex<Seen>>,
    reader: JoinHandle<()>,
}

impl Edges {
    /// Follows the summaries.
    pub async fn start(daemon: &Daemon) -> Result<Self> {
        let mut client = ObserverClient::new(daemon.channel().await?);
        let window = Some(prost_types::Duration { seconds: 1, nanos: 0 });
        let request = WatchSummariesRequest { follow: true, window, ..WatchSummariesRequest::default() };
        let mut stream = client.watch_summaries(request).await?.into_inner();
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
        Ok(Self { seen, reader })
    }

    /// The sums of a listening port: of the asking side, and of the side that is asked.
    pub fn of(&self, port: u16) -> [EdgeSum; 2] {
        let seen = lock(&self.seen);
        [true, false].map(|outgoing| seen.sums.get(&(u32::from(port), outgoing)).copied().unwrap_or_default())
    }

    /// Waits until the sums of a port are those, on both sides, and demands that none of what only grows is ever more.
    pub async fn reach(&self, port: u16, expected: EdgeSum) -> Result<()> {
        eventually(PATIENCE, "the summaries to tell it", async || {
            let told = self.of(port);
            let at_most = |sum: &EdgeSum| {
                sum.opened <= expected.opened
                    && sum.closed <= expected.closed
                    && sum.sent_bytes <= expected.sent_bytes
                    && sum.received_bytes <= expected.received_bytes
            };
            ensure!(told.iter().all(at_most), "{told:?}, more than {expected:?}");
            Ok(if told == [expected; 2] { Ok(()) } else { Err((told, expected)) })
        })
        .await
    }

    /// How many windows have ended. An error where the stream has.
    pub fn windows(&self) -> Result<u64> {
        let seen = lock(&self.seen);
        ensure!(seen.ended.is_none(), "{:?}", seen.ended);
        Ok(seen.windows)
    }

    /// How many events are known to be missing in the sums.
    pub fn lost_events(&self) -> u64 {
        lock(&self.seen).lost_events
    }

    /// All notices of losses, but of connections older than the daemon: any other test may have such ones.
    pub fn lost(&self) -> Vec<Lost> {
        let mut lost = lock(&self.seen).lost.clone();
        lost.retain(is_own);
        lost
    }
}

impl Drop for Edges {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Seen {
    fn take(&mut self, payload: Option<Payload>) {
        match payload {
            Some(Payload::Summary(summary)) => self.add(&summary),
            Some(Payload::Lost(lost)) => self.lost.push(lost),
            Some(Payload::WindowEnd(end)) => {
                self.windows += 1;
                self.lost_events += end.lost_events;
                let live = std::mem::take(&mut self.live);
                for (key, sum) in &mut self.sums {
                    sum.live = live.get(key).copied().unwrap_or(0);
                }
            }
            Some(Payload::NodeStatus(_) | Payload::Gap(_)) | None => {}
        }
    }

    fn add(&mut self, summary: &Summary) {
        let (Some(edge), Some(tcp)) = (&summary.edge, &summary.tcp) else { return };
        let key = (edge.port, edge.outgoing);
        *self.live.entry(key).or_default() += tcp.live;
        let sum = self.sums.entry(key).or_default();
        sum.opened += tcp.opened;
        sum.closed += tcp.closed;
        sum.sent_bytes += tcp.sent_bytes;
        sum.received_bytes += tcp.received_bytes;
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
