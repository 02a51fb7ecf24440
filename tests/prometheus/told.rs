//! What the windows of the gRPC summaries tell of each pod, added up in the background.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{Distribution, Summary, WatchSummariesRequest};
use observer_tests::Daemon;
use tokio::task::JoinHandle;

/// The figures of a pod, by names of this test, and its handshakes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) sums: BTreeMap<String, u64>,
    pub(crate) handshakes: Buckets,
}

/// A histogram, put together of windows'.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buckets {
    counts: BTreeMap<i32, u64>,
    zero: u64,
    pub(crate) sum_ns: u64,
}

/// The sums of all windows that ended since this was started.
pub(crate) struct Told {
    pods: Arc<Mutex<BTreeMap<String, Figures>>>,
    reader: JoinHandle<()>,
}

impl Told {
    pub(crate) async fn start(daemon: &Daemon) -> Result<Self> {
        let mut client = ObserverClient::new(daemon.channel().await?);
        let window = Some(prost_types::Duration { seconds: 1, nanos: 0 });
        let request = WatchSummariesRequest { follow: true, window, ..WatchSummariesRequest::default() };
        let mut stream = client.watch_summaries(request).await?.into_inner();
        let pods = Arc::new(Mutex::new(BTreeMap::<String, Figures>::new()));
        let shared = Arc::clone(&pods);
        let reader = tokio::spawn(async move {
            while let Ok(Some(message)) = stream.message().await {
                let Some(Payload::Summary(summary)) = message.payload else { continue };
                if let (None, Some(workload)) = (&summary.edge, &summary.workload) {
                    let mut pods = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    pods.entry(workload.pod.clone()).or_default().add(&summary);
                }
            }
        });
        Ok(Self { pods, reader })
    }

    pub(crate) fn of(&self, pod: &str) -> Figures {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner).get(pod).cloned().unwrap_or_default()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Figures {
    fn add(&mut self, summary: &Summary) {
        let mut add = |name: String, count: u64| *self.sums.entry(name).or_default() += count;
        if let Some(tcp) = &summary.tcp {
            for (name, count) in [
                ("opened", tcp.opened),
                ("failed", tcp.failed),
                ("closed", tcp.closed),
                ("sent_bytes", tcp.sent_bytes),
                ("received_bytes", tcp.received_bytes),
                ("sent_segments", tcp.sent_segments),
                ("received_segments", tcp.received_segments),
                ("retransmitted_segments", tcp.retransmitted_segments),
                ("resets_sent", tcp.resets_sent),
                ("resets_received", tcp.resets_received),
                ("busy_ns", tcp.busy_ns),
                ("rtts", tcp.rtt.as_ref().map_or(0, |rtt| rtt.count)),
                ("lives", tcp.duration.as_ref().map_or(0, |lives| lives.count)),
                ("handshakes", tcp.handshake_latency.as_ref().map_or(0, |of| of.count)),
            ] {
                add(name.to_owned(), count);
            }
            for failure in &tcp.failures {
                add(format!("failed/{}", failure.error), failure.count);
            }
            let retransmits = tcp.retransmits.iter().map(|one| one.segments).sum();
            add("retransmits".to_owned(), retransmits);
            if let Some(handshakes) = &tcp.handshake_latency {
                self.handshakes.add(handshakes);
            }
        }
        let mut add = |name: String, count: u64| *self.sums.entry(name).or_default() += count;
        if let Some(processes) = &summary.processes {
            add("execs".to_owned(), processes.execs);
            add("container_starts".to_owned(), processes.container_starts);
            add("container_stops".to_owned(), processes.container_stops);
            for exit in processes.exits.iter().filter(|exit| exit.code.is_some()) {
                add(format!("exits/{}", exit.code()), exit.count);
            }
        }
    }
}

impl Buckets {
    fn add(&mut self, window: &Distribution) {
        assert_eq!(window.scale, 5);
        self.zero += window.zero_count;
        self.sum_ns += window.sum_ns;
        for (index, count) in (window.offset..).zip(&window.buckets) {
            *self.counts.entry(index).or_default() += count;
        }
    }

    /// In seconds: the middle of the bucket that holds it.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let all = self.zero + self.counts.values().sum::<u64>();
        let rank = (q * all as f64).ceil() as u64;
        let mut seen = self.zero;
        for (index, count) in &self.counts {
            seen += count;
            if rank <= seen {
                return ((f64::from(*index) + 0.5) / 32.0).exp2();
            }
        }
        0.0
    }
}
