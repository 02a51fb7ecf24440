//! A stream of changes says the same as one of whole windows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::{Mask, v1};
use proptest::prelude::*;
use prost::Message as _;
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

use super::seat;
use crate::aggregate::{self, Aggregator};
use crate::event::examples::{close, connect, counters, event, pod, tcp};
use crate::event::{BootTime, Loss, LossSource, Now, WallTime};
use crate::serve::queue::queue;
use crate::serve::service::{Changes, SummaryStream};
use crate::serve::{Filters, Limits, Settings, Subscribers, SummariesRequest};

const SECOND: u64 = 1_000_000_000;
const WINDOWS: u64 = 8;

/// What happens in one second: a connection with that number begins or ends, from one of three pods.
#[derive(Clone, Copy, Debug)]
struct Step {
    pod: u64,
    number: u64,
    ends: bool,
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = (1..4_u64, 1..5_u64, any::<bool>()).prop_map(|(pod, number, ends)| Step { pod, number, ends });
    prop::collection::vec(prop::collection::vec(step, 0..3), WINDOWS as usize)
}

/// Feeds the same windows to streams of those kinds.
async fn told(steps: &[Vec<Step>], streams: Vec<(Option<Mask>, Option<Changes>)>) -> Vec<Vec<Payload>> {
    let mut subscribers = Subscribers::new("node-1", Limits::default(), Now::default());
    let sources: Vec<_> = streams
        .iter()
        .map(|_| {
            let (sink, source) = queue(256, "windows");
            subscribers.add_summaries(SummariesRequest { length_ns: SECOND, sink });
            source
        })
        .collect();
    let mut aggregator = Aggregator::new(aggregate::Settings::default(), BootTime(0));
    let pods = [1, 2, 3].map(|id| pod(id, "shop", &format!("web-{id}")));
    for (second, steps) in (0..).zip(steps) {
        for Step { pod, number, ends } in steps {
            let tcp = tcp(pod * 100 + number, true, &format!("10.0.0.{number}:5432"), None);
            let detail = if *ends { close(&tcp, counters(*number, 0)) } else { connect(&tcp) };
            aggregator.record(&event(&pods[*pod as usize - 1], second * SECOND + 5, detail));
        }
        let end = BootTime((second + 1) * SECOND);
        let now = Now { boot: end, wall: WallTime(end.0) };
        if second == 3 {
            let loss = Loss {
                source: LossSource::Ring,
                kind: "tcp_close",
                cpu: None,
                count: 2,
                since: end,
                until: end,
            };
            subscribers.publish_loss(&loss);
        }
        aggregator.advance(end).iter().for_each(|window| subscribers.publish_window(window, now));
    }
    drop(subscribers);
    let mut told = Vec::new();
    for (source, (mask, changes)) in sources.into_iter().zip(streams) {
        let stream =
            SummaryStream::new(source, &Settings::new("n".into()), Filters::default(), SECOND, true, seat());
        let messages: Vec<_> = stream.shaped(mask, changes).collect().await;
        let payload = |message: Result<observer_proto::served::WatchSummariesResponse, Status>| {
            let bytes = message.unwrap().encode_to_vec();
            v1::WatchSummariesResponse::decode(bytes.as_slice()).unwrap().payload.unwrap()
        };
        told.push(messages.into_iter().map(payload).collect());
    }
    told
}

/// A window as a client has it.
type Whole = (v1::WindowEnd, Vec<v1::Summary>, Vec<v1::Lost>);

fn whole(payloads: &[Payload]) -> Vec<Whole> {
    let (mut windows, mut summaries, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for payload in payloads {
        match payload.clone() {
            Payload::Summary(summary) => summaries.push(summary),
            Payload::Lost(one) => lost.push(one),
            Payload::NodeStatus(_) | Payload::Gap(_) => {}
            Payload::WindowEnd(end) => {
                assert_eq!((end.summaries, end.total), (summaries.len() as u64, summaries.len() as u64));
                windows.push((end, std::mem::take(&mut summaries), std::mem::take(&mut lost)));
            }
        }
    }
    windows
}

/// The same from a stream of changes, as its documentation says; and how many summaries were sent.
fn rebuilt(payloads: &[Payload], has_window: bool) -> (Vec<Whole>, usize) {
    let (mut windows, mut kept, mut lost, mut sent) = (Vec::new(), BTreeMap::new(), Vec::new(), 0);
    let without_window =
        |summary: &v1::Summary| v1::Summary { window_start: None, window_ns: 0, ..summary.clone() };
    let mut in_window = 0;
    for payload in payloads {
        match payload.clone() {
            Payload::Summary(summary) => {
                assert!(summary.key > 0);
                let before = kept.insert(summary.key, summary.clone());
                let same = before.is_some_and(|before| without_window(&before) == without_window(&summary));
                assert!(!same, "sent again without a change: {summary:?}");
                (sent, in_window) = (sent + 1, in_window + 1);
            }
            Payload::Lost(one) => lost.push(one),
            Payload::NodeStatus(_) | Payload::Gap(_) => {}
            Payload::WindowEnd(end) => {
                assert_eq!((end.snapshot, end.summaries), (windows.is_empty(), in_window));
                for key in &end.ended {
                    assert!(kept.remove(key).is_some(), "{key} was not there");
                }
                assert_eq!(kept.len() as u64, end.total);
                let of_window = |summary: &v1::Summary| v1::Summary {
                    window_start: end.window_start.filter(|_| has_window),
                    window_ns: if has_window { end.window_ns } else { 0 },
                    key: 0,
                    ..summary.clone()
                };
                let summaries = kept.values().map(of_window).collect();
                let end = v1::WindowEnd { summaries: end.total, snapshot: false, ended: Vec::new(), ..end };
                windows.push((end, summaries, std::mem::take(&mut lost)));
                in_window = 0;
            }
        }
    }
    (windows, sent)
}

/// Brings summaries into one order: a client that follows changes has them in none.
fn ordered(windows: Vec<Whole>) -> Vec<Whole> {
    let key = |summary: &v1::Summary| {
        let mut summary = summary.clone();
        let labels = summary.workload.as_mut().map(|workload| std::mem::take(&mut workload.labels));
        let labels: BTreeMap<_, _> = labels.into_iter().flatten().collect();
        format!("{summary:?} {labels:?}")
    };
    let sort = |(end, mut summaries, lost): Whole| {
        summaries.sort_by_cached_key(key);
        (end, summaries, lost)
    };
    windows.into_iter().map(sort).collect()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn changes_add_up_to_whole_windows(steps in steps()) {
        let counted = Arc::default();
        let mask = || Mask::compile("Summary", &["tcp.live".to_owned(), "workload.pod".to_owned()], &[]).unwrap();
        let told = run(told(&steps, vec![
            (None, None),
            (None, Some(Changes::new(&counted))),
            (Some(mask()), None),
            (Some(mask()), Some(Changes::new(&counted))),
        ]));
        let (from_changes, sent) = rebuilt(&told[1], true);
        let all = whole(&told[0]);
        prop_assert_eq!(all.len() as u64, WINDOWS);
        prop_assert!(sent <= all.iter().map(|(_, summaries, _)| summaries.len()).sum());
        prop_assert_eq!(ordered(from_changes), ordered(all));
        let (from_changes, sent_masked) = rebuilt(&told[3], false);
        prop_assert!(sent_masked <= sent, "what is not asked for is no change: {} and {}", sent_masked, sent);
        prop_assert_eq!(ordered(from_changes), ordered(whole(&told[2])));
        prop_assert_eq!(counted.load(Ordering::Relaxed), 0, "given back when the streams ended");
    }
}

#[test]
fn what_stands_still_is_told_once() {
    let begins = |pod| Step { pod, number: 1, ends: false };
    let mut steps = vec![Vec::new(); WINDOWS as usize];
    steps[0] = vec![begins(1), begins(2)];
    steps[5] = vec![Step { pod: 2, number: 1, ends: true }];
    let told = run(told(&steps, vec![(None, Some(Changes::new(&Arc::default())))]));
    let ends = told[0].iter().filter_map(|payload| match payload {
        Payload::WindowEnd(end) => Some((end.summaries, end.total, end.ended.len())),
        Payload::Summary(_) | Payload::Lost(_) | Payload::NodeStatus(_) | Payload::Gap(_) => None,
    });
    // A workload and an edge each: opened, then alive and nothing else, then one of them closed, then gone.
    let expected = [(4, 4, 0), (4, 4, 0), (0, 4, 0), (0, 4, 0), (0, 4, 0), (2, 4, 0), (0, 2, 2), (0, 2, 0)];
    assert_eq!(ends.collect::<Vec<_>>(), expected);
}

#[test]
fn a_stream_that_finds_no_room_ends_with_that() {
    let counted = Arc::new(AtomicUsize::new(1 << 40));
    let mut subscribers = Subscribers::new("node-1", Limits::default(), Now::default());
    let (sink, source) = queue(16, "windows");
    subscribers.add_summaries(SummariesRequest { length_ns: SECOND, sink });
    let mut aggregator = Aggregator::new(aggregate::Settings::default(), BootTime(0));
    let connected = connect(&tcp(1, true, "10.0.0.2:5432", None));
    aggregator.record(&event(&pod(1, "shop", "web"), 5, connected));
    for window in aggregator.advance(BootTime(SECOND)) {
        subscribers.publish_window(&window, Now::default());
    }
    let stream =
        SummaryStream::new(source, &Settings::new("n".into()), Filters::default(), SECOND, true, seat())
            .shaped(None, Some(Changes::new(&counted)));
    let messages: Vec<_> = run(stream.collect());
    let [Ok(_greeting), Err(refused)] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(counted.load(Ordering::Relaxed), 1 << 40);
}
