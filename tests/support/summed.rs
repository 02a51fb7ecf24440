//! One figure of all windows' summaries, added up in the background.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{TcpSummary, WatchSummariesRequest};
use tokio::task::JoinHandle;

use crate::daemon::Daemon;
use crate::pod::Pod;

/// The sums by pod, of all windows that ended since this was started.
#[derive(Debug)]
pub struct Summed {
    by_pod: Arc<Mutex<BTreeMap<String, u64>>>,
    reader: JoinHandle<()>,
}

impl Summed {
    /// Follows the summaries of workloads; `figure` is what is added up.
    pub async fn start(daemon: &Daemon, figure: fn(&TcpSummary) -> u64) -> Result<Self> {
        let mut client = ObserverClient::new(daemon.channel().await?);
        let window = Some(prost_types::Duration { seconds: 1, nanos: 0 });
        let request = WatchSummariesRequest { follow: true, window, ..WatchSummariesRequest::default() };
        let mut stream = client.watch_summaries(request).await?.into_inner();
        let by_pod = Arc::new(Mutex::new(BTreeMap::new()));
        let shared = Arc::clone(&by_pod);
        let reader = tokio::spawn(async move {
            while let Ok(Some(message)) = stream.message().await {
                let Some(Payload::Summary(summary)) = message.payload else { continue };
                let (None, Some(workload), Some(tcp)) = (summary.edge, summary.workload, summary.tcp) else {
                    continue;
                };
                let mut sums = shared.lock().unwrap_or_else(PoisonError::into_inner);
                *sums.entry(workload.pod).or_default() += figure(&tcp);
            }
        });
        Ok(Self { by_pod, reader })
    }

    /// The sum of one pod so far.
    pub fn of(&self, pod: &Pod) -> u64 {
        self.by_pod.lock().unwrap_or_else(PoisonError::into_inner).get(pod.name()).copied().unwrap_or(0)
    }
}

impl Drop for Summed {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
