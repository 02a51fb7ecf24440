//! Who gets what, and what a slow one loses.

use std::sync::Arc;

use observer_proto::served;

use super::*;
use crate::event::examples::{connect, event, pod, tcp};
use crate::event::{BootTime, Event, Loss, LossSource, Now, Window, Workload};
use crate::filter::Purpose;
use crate::serve::queue::queue;
use crate::serve::{Ask, EventsRequest, Filters, Limits, Subscribers, SummariesRequest};

fn subscribers(limits: Limits) -> Subscribers {
    Subscribers::new("node-1", limits, Now::default())
}

fn happened(at: u64, port: u16) -> Arc<Event> {
    let remote = format!("192.0.2.1:{port}");
    Arc::new(event(&pod(1, "shop", "a"), at, connect(&tcp(at, true, &remote, None))))
}

fn follow(subscribers: &mut Subscribers, capacity: usize, filters: Filters, last: usize) -> Source {
    let (sink, source) = queue(capacity, "events");
    subscribers.add_events(EventsRequest { id: 1, filters, ask: newest(last), follow: true, sink });
    source
}

fn newest(last: usize) -> Option<Ask> {
    (last > 0).then(|| Ask { last: Some(last), ..Ask::default() })
}

/// Room for so many events in memory.
fn memory(events: usize) -> Limits {
    Limits { history_bytes: events * happened(1, 80).bytes(), ..Limits::default() }
}

/// The items in short: `+` connected, a number for an event, `[..]` for old ones, `-n(since..until)`.
fn told(source: &mut Source) -> String {
    let short = |item: Item| match item {
        Item::Connected { .. } => "+".to_owned(),
        Item::Refused { subscribers } => format!("refused {subscribers}"),
        Item::Event(published) => published.event.sequence.to_string(),
        Item::Elsewhere => "elsewhere".to_owned(),
        Item::History(reach) => format!("missing {}", reach.missing),
        Item::Page(page) => {
            let numbers: Vec<_> = page.events.iter().map(|event| event.sequence).collect();
            format!("{numbers:?}{}", if page.more { " and more" } else { "" })
        }
        Item::Window(window) => format!("w{}", window.0.start.0),
        Item::Windows(past) => {
            format!("{:?}", past.newest.iter().map(|window| window.start.0).collect::<Vec<_>>())
        }
        Item::Folded(folded) => format!("folded {:?}", folded.0.counts),
        Item::Lost(lost) => {
            let Loss { source, count, since, until, .. } = lost.0;
            format!("-{count} {source:?} {}..{}", since.0, until.0)
        }
    };
    drain(source).into_iter().map(short).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_slow_one_loses_its_own_and_is_told_before_what_comes_later() {
    let mut subscribers = subscribers(Limits::default());
    let mut slow = follow(&mut subscribers, 4, Filters::default(), 0);
    let mut fast = follow(&mut subscribers, 100, Filters::default(), 0);
    (1..=8).for_each(|at| subscribers.publish(&[happened(at, 80)]));
    assert_eq!(told(&mut slow), "+ 1 2 3");
    subscribers.publish(&[happened(9, 80)]);
    assert_eq!(told(&mut slow), "-5 Subscriber 4..8 9");
    assert_eq!(told(&mut fast), "+ 1 2 3 4 5 6 7 8 9");
}

#[test]
fn a_slow_one_holds_no_more_bytes_than_it_may() {
    let mut subscribers = subscribers(Limits::default());
    let (mut sink, mut source) = queue(100, "events");
    // What is in there already is over it with the third.
    sink.hold(2 * happened(1, 80).bytes() + 1_500);
    let ask = EventsRequest { id: 1, filters: Filters::default(), ask: None, follow: true, sink };
    subscribers.add_events(ask);
    (1..=8).for_each(|at| subscribers.publish(&[happened(at, 80)]));
    assert_eq!(told(&mut source), "+ 1 2 3");
    subscribers.publish(&[happened(9, 80)]);
    assert_eq!(told(&mut source), "-5 Subscriber 4..8 9");
    // What was taken out takes nothing any more, however much it was.
    for at in 10..=50 {
        subscribers.publish(&[happened(at, 80)]);
        assert_eq!(told(&mut source), at.to_string());
    }
}

#[test]
fn a_loss_is_told_within_a_second_even_if_nothing_happens_any_more() {
    let mut subscribers = subscribers(Limits::default());
    let mut slow = follow(&mut subscribers, 4, Filters::default(), 0);
    (1..=5).for_each(|at| subscribers.publish(&[happened(at, 80)]));
    let ring = |count, until| Loss {
        source: LossSource::Ring,
        kind: "tcp_close",
        cpu: Some(0),
        count,
        since: BootTime(1),
        until: BootTime(until),
    };
    subscribers.publish_loss(&ring(2, 5));
    subscribers.publish_loss(&ring(3, 7));
    assert_eq!(told(&mut slow), "+ 1 2 3");
    subscribers.publish_window(&Arc::default(), Now::default());
    assert_eq!(told(&mut slow), "-2 Subscriber 4..5 -5 Ring 1..7");
}

#[test]
fn filters_and_the_last_ones_in_memory() {
    let mut subscribers = subscribers(memory(4));
    (1..=6).for_each(|at| subscribers.publish(&[happened(at, 80 + at as u16 % 2)]));
    assert_eq!(subscribers.events_stored(), 4);
    let port_81 = served::Filter { ports: vec![81], ..served::Filter::default() };
    let filters = Filters::compile(vec![port_81], Vec::new(), Purpose::Events, "").unwrap();
    let mut source = follow(&mut subscribers, 10, filters, 9);
    subscribers.publish(&[happened(7, 80)]);
    subscribers.publish(&[happened(8, 81)]);
    assert_eq!(told(&mut source), "+ missing 2 [3, 5] 8");
}

#[test]
fn what_happens_while_the_memory_is_read_comes_once() {
    let mut subscribers = subscribers(memory(2_000));
    let publish = |subscribers: &mut Subscribers, at: u64| subscribers.publish(&[happened(at, 80)]);
    (1..=700).for_each(|at| publish(&mut subscribers, at));
    let mut source = follow(&mut subscribers, 4, Filters::default(), 2_000);
    let numbers = |source: &mut Source| {
        let mut numbers = Vec::new();
        for item in drain(source) {
            if let Item::Page(page) = item {
                numbers.extend(page.events.iter().map(|event| event.sequence));
            } else if let Item::Event(published) = item {
                numbers.push(published.event.sequence);
            }
        }
        numbers
    };
    assert_eq!(numbers(&mut source), (1..=512).collect::<Vec<_>>());
    // More than its queue would hold.
    (701..=800).for_each(|at| publish(&mut subscribers, at));
    assert_eq!(numbers(&mut source), Vec::<u64>::new());
    subscribers.read_on(1);
    assert_eq!(numbers(&mut source), (513..=800).collect::<Vec<_>>());
    (801..=803).for_each(|at| publish(&mut subscribers, at));
    subscribers.read_on(1);
    assert_eq!(numbers(&mut source), [801, 802, 803]);
}

#[test]
fn who_reads_the_memory_too_slowly_is_told_what_made_room() {
    let mut subscribers = subscribers(memory(600));
    (1..=600).for_each(|at| subscribers.publish(&[happened(at, 80)]));
    let mut source = follow(&mut subscribers, 4, Filters::default(), 600);
    let first = told(&mut source);
    assert!(first.starts_with("+ missing 0 [1, 2, ") && first.ends_with(", 512] and more"), "{first}");
    // 513 to 520 make room before it comes to them, and 1 to 512 after it read them.
    (601..=1_120).for_each(|at| subscribers.publish(&[happened(at, 80)]));
    subscribers.read_on(1);
    let second = told(&mut source);
    assert!(second.starts_with("-8 Subscriber 600..1120 [521, 522, "), "{second}");
    assert!(second.ends_with(", 1032] and more"), "{second}");
    subscribers.read_on(1);
    assert_eq!(told(&mut source).split(' ').count(), 1_120 - 1_032);
}

#[test]
fn those_that_are_gone_are_let_go_and_too_many_refused() {
    let mut subscribers = subscribers(Limits { subscribers: 1, ..Limits::default() });
    let source = follow(&mut subscribers, 10, Filters::default(), 0);
    let mut second = follow(&mut subscribers, 10, Filters::default(), 0);
    assert_eq!((told(&mut second).as_str(), subscribers.count()), ("refused 1", 1));
    drop(source);
    subscribers.publish_window(&Arc::default(), Now::default());
    assert_eq!(subscribers.count(), 0);
}

#[test]
fn a_new_one_gets_the_newest_windows_first() {
    let mut subscribers = subscribers(Limits { kept_windows: 3, ..Limits::default() });
    let window = |start| Arc::new(Window { start: BootTime(start), length_ns: 1, ..Window::default() });
    (1..=5).for_each(|start| subscribers.publish_window(&window(start), Now::default()));
    for (length_ns, expected) in [(2, "+ [4, 5] w6"), (10, "+ [4, 5, 6] w7")] {
        let (sink, mut source) = queue(10, "windows");
        subscribers.add_summaries(SummariesRequest { length_ns, sink });
        let next = if length_ns == 2 { 6 } else { 7 };
        subscribers.publish_window(&window(next), Now::default());
        assert_eq!(told(&mut source), expected);
    }
}

#[test]
fn the_end_is_told_with_what_is_still_untold() {
    let mut subscribers = subscribers(Limits::default());
    let mut slow = follow(&mut subscribers, 4, Filters::default(), 0);
    (1..=5).for_each(|at| subscribers.publish(&[happened(at, 80)]));
    subscribers.stop();
    assert_eq!(told(&mut slow), "+ 1 2 3");
    let untold = slow.last_words().expect("a farewell");
    assert_eq!(untold.first().map(|(loss, _)| loss.count), Some(2));
    let (sink, mut short) = queue(4, "events");
    let filters = Filters::default();
    subscribers.add_events(EventsRequest { id: 2, filters, ask: newest(5), follow: false, sink });
    assert_eq!(told(&mut short), "+ missing 0 [1, 2, 3, 4, 5]");
    assert!(short.last_words().is_none(), "a stream at its end is no stopping daemon");
}

#[test]
fn what_became_known_later_is_kept_and_not_sent_again() {
    let mut subscribers = subscribers(memory(2));
    let mut fast = follow(&mut subscribers, 100, Filters::default(), 0);
    (1..=3).for_each(|at| subscribers.publish(&[happened(at, 80)]));
    let named = |event: Arc<Event>, pod: &str| {
        let workload = Workload { pod: pod.to_owned(), ..(**event.workload.as_ref().unwrap()).clone() };
        Event { workload: Some(Arc::new(workload)), ..(*event).clone() }
    };
    subscribers.amend(Arc::new(named(happened(3, 80), "late")));
    // That one is not kept any more.
    subscribers.amend(Arc::new(named(happened(1, 80), "gone")));
    assert_eq!(told(&mut fast), "+ 1 2 3");
    let pods = |subscribers: &mut Subscribers| {
        let mut source = follow(subscribers, 100, Filters::default(), 10);
        let mut pods = Vec::new();
        for item in drain(&mut source) {
            if let Item::Page(page) = item {
                pods.extend(page.events.iter().map(|event| event.workload.as_ref().unwrap().pod.clone()));
            }
        }
        pods
    };
    assert_eq!(pods(&mut subscribers), ["a", "late"]);
    subscribers.complete(&pod(2, "shop", "other"));
    assert_eq!(pods(&mut subscribers), ["a", "late"]);
    subscribers.complete(&pod(1, "shop", "whole"));
    assert_eq!(pods(&mut subscribers), ["whole", "whole"]);
}
