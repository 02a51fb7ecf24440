//! Pods, their edges and their listeners come and go while a client scrapes: the daemon's series are kept by windows from its
//! queues, read over a socket, in gzip.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::read::GzDecoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::tests::{link, serve};
use super::*;
use crate::event::{
    BootTime, Edge, EdgeSummary, ListenerSummary, Now, Peer, PeerKind, ProcessSummary, TcpSummary, WallTime,
    Window, Workload, WorkloadId, WorkloadKind, WorkloadSummary,
};
use crate::export::metrics::labels::Label;
use crate::serve::{Limits, Request, Subscribers, WorkloadList};

const SECOND: u64 = 1_000_000_000;
const WINDOWS: u64 = 40;
/// New ones in each window, with so many edges and listeners each.
const PODS: u64 = 50;
const EACH: u16 = 4;
const MOST: usize = 3_000;
/// An optimised daemon takes a hundredth of it.
const SCRAPE: Duration = Duration::from_secs(5);

fn window(second: u64) -> Window {
    let mut window = Window { start: BootTime(second * SECOND), length_ns: SECOND, ..Window::default() };
    for id in second * PODS..(second + 1) * PODS {
        let mut pod = Workload::unknown(WorkloadId(id), WorkloadKind::Pod, id);
        (pod.namespace, pod.pod) = (format!("namespace-{}", id % 10), format!("a-pod-{id:05}"));
        let pod = Arc::new(pod);
        let tcp = TcpSummary { opened: 1, sent_bytes: 1 << 20, ..TcpSummary::default() };
        for n in 0..EACH {
            let port = 1_024 + (id as u16).wrapping_mul(EACH).wrapping_add(n) % 60_000;
            let edge = Edge {
                workload: pod.id,
                kind: PeerKind::Outside,
                peer: None,
                address: Some([192, 0, 2, n as u8].into()),
                interface: 0,
                port,
                outgoing: true,
                backend: None,
            };
            let peer = Peer::of(PeerKind::Outside);
            let of_edge = EdgeSummary { workload: Arc::clone(&pod), peer, backend: None, tcp: tcp.clone() };
            window.edges.insert(edge, of_edge);
            let listener = ListenerSummary {
                workload: Arc::clone(&pod),
                most_waiting: 1,
                limit: 8,
                dropped: 1,
                overflowed: 0,
            };
            window.listeners.insert((pod.id, port), listener);
        }
        let processes = ProcessSummary { execs: 2, ..ProcessSummary::default() };
        let of_pod = WorkloadSummary { workload: Arc::clone(&pod), tcp, processes };
        window.workloads.insert(pod.id, of_pod);
    }
    window
}

/// The metrics that a client reads, by name: the sum of all series.
async fn scrape(at: SocketAddr) -> BTreeMap<String, f64> {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(answer.starts_with(b"HTTP/1.0 200"));
    let mut text = String::new();
    if answer[head..].starts_with(&[0x1f, 0x8b]) {
        GzDecoder::new(&answer[head..]).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(answer.split_off(head)).unwrap();
    }
    assert!(text.len() < 16 << 20, "{}", text.len());
    let mut sums = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        *sums.entry(name.to_owned()).or_default() += value.parse::<f64>().unwrap();
    }
    sums
}

/// The event loop, as far as the series ask it.
#[allow(clippy::wildcard_enum_match_arm, reason = "nothing else is asked")]
async fn answer(mut requests: mpsc::Receiver<Request>, subscribers: Arc<Mutex<Subscribers>>) {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Summaries(request) => subscribers.lock().unwrap().add_summaries(request),
            Request::Workloads { reply, .. } => {
                drop(reply.send(WorkloadList { workloads: Vec::new(), now: Now::default() }));
            }
            Request::Status { reply } => drop(reply),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scrapes_are_quick_and_whole_while_pods_come_and_go() {
    let (sender, requests) = mpsc::channel(16);
    let subscribers = Subscribers::new("n1", Limits::default(), Now::default());
    let subscribers = Arc::new(Mutex::new(subscribers));
    tokio::spawn(answer(requests, Arc::clone(&subscribers)));
    let labels = vec![Label::Namespace, Label::Pod, Label::Peer, Label::Port];
    let settings = Settings { labels, max_series: MOST, ..Settings::default() };
    let kept = Kept::new(&settings, &link(sender));
    let (at, stopping) = serve(kept.clone()).await;
    let state = State::new("metrics", "metrics", "here");
    tokio::spawn(kept.clone().keep(state.clone()));
    let subscribed = async {
        while state.status().state != crate::status::ExporterState::Running {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(SCRAPE, subscribed).await.unwrap();
    for second in 1..=WINDOWS {
        let now = Now { boot: BootTime((second + 1) * SECOND), wall: WallTime((1_000 + second) * SECOND) };
        subscribers.lock().unwrap().publish_window(&Arc::new(window(second)), now);
        if second % 8 == 0 {
            timeout(SCRAPE, scrape(at)).await.unwrap();
        }
    }
    let all_taken = async {
        while kept.figures().await.windows < WINDOWS {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(6 * SCRAPE, all_taken).await.unwrap();
    let figures = kept.figures().await;
    assert!(figures.series <= MOST && figures.series > MOST * 9 / 10, "{figures:?}");
    let sums = timeout(SCRAPE, scrape(at)).await.unwrap();
    let of = |name: &str| sums.get(name).copied().unwrap_or(0.0) as u64;
    // Nothing is missing, in series of its own or in the overflow's.
    let edges = WINDOWS * PODS * u64::from(EACH);
    assert_eq!(of("observer_tcp_connection_successes_total"), edges);
    assert_eq!(of("observer_tcp_listener_drops_total"), edges);
    assert_eq!(of("observer_process_execs_total"), 2 * WINDOWS * PODS);
    stopping.cancel();
}
