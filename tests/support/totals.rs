//! What all windows' summaries tell of each pod, added up in the background, and the same from events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use observer_proto::v1::event::Detail;
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{Event, ResetDirection, Summary, TcpCounters, TcpSummary, WatchSummariesRequest};
use tokio::task::JoinHandle;

use crate::daemon::Daemon;
use crate::losses::is_own;
use crate::pod::Pod;

/// Sums by the names that they have in a summary.
pub type Figures = BTreeMap<&'static str, u64>;

/// The sums of all windows that ended since this was started.
#[derive(Debug)]
pub struct Totals {
    sums: Arc<Mutex<Sums>>,
    reader: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Sums {
    workloads: BTreeMap<String, Figures>,
    edges: BTreeMap<String, Figures>,
    lost_events: u64,
}

impl Totals {
    /// Follows the summaries, a window a second.
    pub async fn start(daemon: &Daemon) -> Result<Self> {
        let mut client = ObserverClient::new(daemon.channel().await?);
        let window = Some(prost_types::Duration { seconds: 1, nanos: 0 });
        let request = WatchSummariesRequest { follow: true, window, ..WatchSummariesRequest::default() };
        let mut stream = client.watch_summaries(request).await?.into_inner();
        let sums = Arc::new(Mutex::new(Sums::default()));
        let shared = Arc::clone(&sums);
        let reader = tokio::spawn(async move {
            while let Ok(Some(message)) = stream.message().await {
                let mut sums = shared.lock().unwrap_or_else(PoisonError::into_inner);
                match message.payload {
                    Some(Payload::Summary(summary)) => sums.add(summary),
                    Some(Payload::WindowEnd(end)) => sums.lost_events += end.lost_events,
                    Some(Payload::Lost(lost)) if is_own(&lost) => sums.lost_events += lost.count,
                    Some(Payload::Lost(_) | Payload::NodeStatus(_) | Payload::Gap(_)) | None => {}
                }
            }
        });
        Ok(Self { sums, reader })
    }

    /// What a pod's own summaries tell.
    pub fn of(&self, pod: &Pod) -> Figures {
        self.sums().workloads.get(pod.name()).cloned().unwrap_or_default()
    }

    /// What the summaries of a pod's edges tell.
    pub fn of_edges(&self, pod: &Pod) -> Figures {
        self.sums().edges.get(pod.name()).cloned().unwrap_or_default()
    }

    /// How many events the windows, or the stream itself, lack.
    pub fn lost_events(&self) -> u64 {
        self.sums().lost_events
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Totals {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Sums {
    fn add(&mut self, summary: Summary) {
        let (Some(workload), Some(tcp)) = (summary.workload, summary.tcp) else { return };
        let by_pod = if summary.edge.is_some() { &mut self.edges } else { &mut self.workloads };
        let sums = by_pod.entry(workload.pod).or_default();
        add(sums, figures(&tcp));
        if let Some(processes) = summary.processes {
            let exits = processes.exits.iter().map(|exit| exit.count).sum();
            add(sums, [("execs", processes.execs), ("exits", exits)]);
        }
    }
}

fn add(sums: &mut Figures, more: impl IntoIterator<Item = (&'static str, u64)>) {
    for (name, figure) in more {
        *sums.entry(name).or_default() += figure;
    }
}

fn figures(tcp: &TcpSummary) -> [(&'static str, u64); 12] {
    let failures = tcp.failures.iter().map(|failure| failure.count).sum();
    let retransmits = tcp.retransmits.iter().map(|kind| kind.segments).sum();
    [
        ("opened", tcp.opened),
        ("failed", tcp.failed),
        ("failures", failures),
        ("closed", tcp.closed),
        ("sent_bytes", tcp.sent_bytes),
        ("received_bytes", tcp.received_bytes),
        ("sent_segments", tcp.sent_segments),
        ("received_segments", tcp.received_segments),
        ("retransmitted_segments", tcp.retransmitted_segments),
        ("retransmits", retransmits),
        ("resets_sent", tcp.resets_sent),
        ("resets_received", tcp.resets_received),
    ]
}

/// What events tell, by the same names: whole lives of connections that were established, and attempts that failed.
pub fn of_events<'a>(events: impl IntoIterator<Item = &'a Event>) -> Figures {
    let mut sums = figures(&TcpSummary::default()).into_iter().collect();
    for event in events {
        match &event.detail {
            Some(Detail::TcpConnect(_) | Detail::TcpAccept(_)) => add(&mut sums, [("opened", 1)]),
            Some(Detail::TcpConnectFailure(failure)) => {
                let again = u64::from(failure.syn_retransmits);
                add(&mut sums, [("failed", 1), ("failures", 1), ("retransmitted_segments", again)]);
            }
            Some(Detail::TcpClose(close)) => {
                add(&mut sums, [("closed", 1)]);
                add(&mut sums, close.counters.iter().flat_map(life));
            }
            Some(Detail::TcpRetransmit(retransmit)) => {
                add(&mut sums, [("retransmits", u64::from(retransmit.segments))]);
            }
            Some(Detail::TcpReset(reset)) => match reset.direction() {
                ResetDirection::Sent => add(&mut sums, [("resets_sent", 1)]),
                ResetDirection::Received => add(&mut sums, [("resets_received", 1)]),
                ResetDirection::Unspecified => {}
            },
            _ => {}
        }
    }
    sums
}

fn life(counters: &TcpCounters) -> [(&'static str, u64); 5] {
    [
        ("sent_bytes", counters.sent_bytes),
        ("received_bytes", counters.received_bytes),
        ("sent_segments", counters.sent_segments),
        ("received_segments", counters.received_segments),
        ("retransmitted_segments", u64::from(counters.retransmitted_segments)),
    ]
}
