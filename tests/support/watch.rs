//! A gRPC client that follows events and keeps them, with the times of their arrival.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{
    Event, EventType, Filter, Folded, LossSource, Lost, Tcp, WatchEventsRequest, event::Detail,
};
use tokio::task::JoinHandle;

use crate::daemon::Daemon;
use crate::losses::is_own;
use crate::wait::{PATIENCE, eventually};

/// Longer than anything that a daemon holds back: names (1 s, and as long all at its start), losses (each 250 ms), records (5 ms).
const QUIET: Duration = Duration::from_millis(1500);
/// In so many pieces it is waited.
const PIECES: u32 = 15;

/// One event, and when it arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When it was read.
    pub at: SystemTime,
    /// What it says.
    pub event: Event,
}

#[derive(Debug, Default)]
struct Seen {
    events: Vec<Arrival>,
    lost: Vec<Lost>,
    folded: Vec<Folded>,
    connected: bool,
    ended: Option<String>,
}

/// A stream of events in the background. Dropping it ends the call.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    reader: JoinHandle<()>,
}

impl Watch {
    /// Follows all events; what happens after this is seen.
    pub async fn all(daemon: &Daemon) -> Result<Self> {
        Self::filtered(daemon, Vec::new(), Vec::new()).await
    }

    /// Follows the events of one type.
    pub async fn of(daemon: &Daemon, kind: EventType) -> Result<Self> {
        let filter = Filter { types: vec![kind.into()], ..Filter::default() };
        Self::filtered(daemon, vec![filter], Vec::new()).await
    }

    /// Follows events that pass the filters.
    pub async fn filtered(daemon: &Daemon, allow: Vec<Filter>, deny: Vec<Filter>) -> Result<Self> {
        let mut client = ObserverClient::new(daemon.channel().await?);
        let request = WatchEventsRequest { allow, deny, follow: true, ..WatchEventsRequest::default() };
        let mut stream = client.watch_events(request).await?.into_inner();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let reader = tokio::spawn(async move {
            loop {
                let message = stream.message().await;
                let at = SystemTime::now();
                let mut seen = lock(&shared);
                match message {
                    Ok(Some(message)) => seen.take(at, message.payload),
                    Ok(None) => return seen.ended = Some("the stream ended".to_owned()),
                    Err(status) => return seen.ended = Some(status.to_string()),
                }
            }
        });
        let watch = Self { seen, reader };
        eventually(PATIENCE, "the stream to be connected", async || {
            Ok(if lock(&watch.seen).connected { Ok(()) } else { Err("nothing") })
        })
        .await?;
        Ok(watch)
    }

    /// All events so far with the times at which they arrived.
    pub fn arrivals(&self) -> Vec<Arrival> {
        lock(&self.seen).events.clone()
    }

    /// All events so far that `is_it`.
    pub fn events(&self, is_it: impl Fn(&Event) -> bool) -> Vec<Event> {
        let seen = lock(&self.seen);
        seen.events.iter().map(|arrival| &arrival.event).filter(|event| is_it(event)).cloned().collect()
    }

    /// How many events so far `is_it`.
    pub fn count(&self, is_it: impl Fn(&Event) -> bool) -> usize {
        lock(&self.seen).events.iter().filter(|arrival| is_it(&arrival.event)).count()
    }

    /// The numbers of all events so far that `is_it`.
    pub fn sequences(&self, is_it: impl Fn(&Event) -> bool) -> BTreeSet<u64> {
        self.events(is_it).iter().map(|event| event.sequence).collect()
    }

    /// All notices of losses so far, but of connections older than the daemon: any other test may have such ones.
    pub fn lost(&self) -> Vec<Lost> {
        let mut lost = lock(&self.seen).lost.clone();
        lost.retain(is_own);
        lost
    }

    /// All notices of what was only counted so far.
    pub fn folded(&self) -> Vec<Folded> {
        lock(&self.seen).folded.clone()
    }

    /// How much was lost so far in one place, of one kind or (empty) of all.
    pub fn lost_count(&self, source: LossSource, kind: &str) -> u64 {
        let seen = lock(&self.seen);
        let fits = |lost: &&Lost| lost.source() == source && (kind.is_empty() || lost.kind == kind);
        seen.lost.iter().filter(fits).map(|lost| lost.count).sum()
    }

    /// Waits until at least `count` events `is_it`.
    pub async fn wait_count(&self, what: &str, count: usize, is_it: impl Fn(&Event) -> bool) -> Result<()> {
        eventually(PATIENCE, &format!("{count} of {what}"), async || {
            let ended = lock(&self.seen).ended.clone();
            let found = self.count(&is_it);
            ensure!(found >= count || ended.is_none(), "{ended:?} after {found} of {count} of {what}");
            Ok(if found >= count { Ok(()) } else { Err((found, self.lost())) })
        })
        .await
    }

    /// Waits until no event that `is_it` is new for longer than the daemon may hold one back: then what has been
    /// seen is all.
    pub async fn settle(&self, is_it: impl Fn(&Event) -> bool) -> Result<()> {
        loop {
            let before = (self.count(&is_it), self.lost());
            // In pieces: a machine that stands still in the midst of it stops the daemon as well.
            for _ in 0..PIECES {
                tokio::time::sleep(QUIET / PIECES).await;
            }
            let ended = lock(&self.seen).ended.clone();
            ensure!(ended.is_none(), "{ended:?}");
            if (self.count(&is_it), self.lost()) == before {
                return Ok(());
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Seen {
    fn take(&mut self, at: SystemTime, payload: Option<Payload>) {
        match payload {
            Some(Payload::Event(event)) => self.events.push(Arrival { at, event }),
            Some(Payload::Lost(lost)) => self.lost.push(lost),
            Some(Payload::Folded(folded)) => self.folded.push(folded),
            Some(Payload::NodeStatus(_)) => self.connected = true,
            Some(Payload::History(_) | Payload::Gap(_)) | None => {}
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The connection that an event is about.
pub fn tcp(event: &Event) -> Option<&Tcp> {
    match event.detail.as_ref()? {
        Detail::TcpConnect(detail) => detail.tcp.as_ref(),
        Detail::TcpAccept(detail) => detail.tcp.as_ref(),
        Detail::TcpConnectFailure(detail) => detail.tcp.as_ref(),
        Detail::TcpConnectPending(detail) => detail.tcp.as_ref(),
        Detail::TcpRetransmit(detail) => detail.tcp.as_ref(),
        Detail::TcpReset(detail) => detail.tcp.as_ref(),
        Detail::TcpClose(detail) => detail.tcp.as_ref(),
        Detail::TcpResponse(detail) => detail.tcp.as_ref(),
        Detail::ProcessExec(_)
        | Detail::ProcessExit(_)
        | Detail::OomKill(_)
        | Detail::ContainerStart(_)
        | Detail::ContainerStop(_)
        | Detail::ContainerReady(_)
        | Detail::ContainerCrashLoop(_)
        | Detail::PacketDrop(_)
        | Detail::Signal(_)
        | Detail::OpenFailure(_) => None,
    }
}

/// Source and destination as `address:port` (IPv6 in brackets), as the workload prints its own.
pub fn ends(tcp: &Tcp) -> (String, String) {
    let end = |end: &Option<observer_proto::v1::Endpoint>| {
        let Some(end) = end else { return String::new() };
        let (address, port) = (&end.address, end.port);
        if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
    };
    (end(&tcp.source), end(&tcp.destination))
}

/// Whether an event is about a connection to a port.
pub fn to_port(event: &Event, port: u16) -> bool {
    tcp(event).and_then(|tcp| tcp.destination.as_ref()).is_some_and(|end| end.port == u32::from(port))
}
