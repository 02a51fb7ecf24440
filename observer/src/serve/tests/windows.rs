//! How a stream of summaries makes its windows.

use std::sync::Arc;

use observer_proto::served::watch_summaries_response::Payload;
use tokio_stream::StreamExt as _;

use super::seat;
use crate::event::{BootTime, Loss, LossSource, Now, Window};
use crate::serve::queue::queue;
use crate::serve::service::SummaryStream;
use crate::serve::{Filters, Limits, Settings, Subscribers, SummariesRequest};

const SECOND: u64 = 1_000_000_000;

fn window(start: u64, lost_events: u64) -> Arc<Window> {
    Arc::new(Window { start: BootTime(start * SECOND), length_ns: SECOND, lost_events, ..Window::default() })
}

fn loss(count: u64) -> Loss {
    let (since, until) = (BootTime(0), BootTime(1));
    Loss { source: LossSource::Ring, kind: "tcp_close", cpu: Some(0), count, since, until }
}

/// Streams windows of 2 s: what `feed` does, then the daemon's end.
async fn told(capacity: usize, feed: impl FnOnce(&mut Subscribers)) -> Vec<String> {
    let mut subscribers = Subscribers::new("node-1", Limits::default(), Now::default());
    let (sink, source) = queue(capacity, "windows");
    subscribers.add_summaries(SummariesRequest { length_ns: 2 * SECOND, sink });
    feed(&mut subscribers);
    subscribers.stop();
    let stream = SummaryStream::new(
        source,
        &Settings::new("node-1".into()),
        Filters::default(),
        2 * SECOND,
        true,
        seat(),
    );
    let messages: Vec<_> = stream.collect().await;
    let short = |payload| match payload {
        Payload::Summary(_) => "summary".to_owned(),
        Payload::Lost(lost) => format!("lost {} {:?}", lost.count, lost.source()),
        Payload::Gap(gap) => format!("gap {:?}", gap.reason()),
        Payload::NodeStatus(status) => format!("{:?}", status.state()),
        Payload::WindowEnd(end) => {
            let start = end.window_start.unwrap().seconds;
            format!("{start}+{} lost {}", end.window_ns / SECOND, end.lost_events)
        }
    };
    messages.into_iter().map(|message| short(message.unwrap().payload.unwrap())).collect()
}

#[tokio::test]
async fn losses_are_added_up_and_precede_the_end_of_their_window() {
    let told = told(64, |subscribers| {
        subscribers.publish_window(&window(0, 2), Now::default());
        subscribers.publish_loss(&loss(2));
        subscribers.publish_loss(&loss(3));
        subscribers.publish_window(&window(1, 3), Now::default());
        subscribers.publish_window(&window(2, 0), Now::default());
        subscribers.publish_window(&window(3, 0), Now::default());
        subscribers.publish_window(&window(4, 0), Now::default());
    });
    let expected = ["Connected", "lost 5 Ring", "0+2 lost 5", "2+2 lost 0", "Stopping"];
    assert_eq!(told.await, expected);
}

#[tokio::test]
async fn a_window_ends_where_time_is_missing() {
    let told = told(64, |subscribers| {
        for start in [0, 100, 101] {
            subscribers.publish_window(&window(start, 0), Now::default());
        }
    });
    assert_eq!(told.await, ["Connected", "0+1 lost 0", "100+2 lost 0", "Stopping"]);
}

#[tokio::test]
async fn a_slow_one_is_told_of_windows_that_it_lost() {
    let told = told(4, |subscribers| {
        for start in 0..8 {
            subscribers.publish_window(&window(start, 0), Now::default());
        }
    });
    assert_eq!(told.await, ["Connected", "0+2 lost 0", "lost 5 Subscriber", "Stopping"]);
}
