//! Tests of feeds, with subscribers and no event loop.

use observer_proto::v1::IncidentState;

use super::*;
use crate::event::examples::{connect, event, pod, tcp};
use crate::event::{BootTime, Event};
use crate::serve::{Limits, Subscribers};
use crate::status::ExporterState;

struct Daemon {
    link: Link,
    requests: mpsc::Receiver<Request>,
    subscribers: Subscribers,
    state: State,
}

/// A link, and what comes through it.
pub(in crate::export) fn link(capacity: usize) -> (Link, mpsc::Receiver<Request>) {
    let (sender, requests) = mpsc::channel(4);
    let link = Link {
        requests: sender,
        book: Book::default(),
        node_name: "node1".into(),
        start_time: WallTime(1),
        window: Duration::from_secs(10),
        queue: (capacity, 1 << 20),
        streams: Arc::default(),
        room: crate::room::Room::default(),
        stopping: CancellationToken::new(),
    };
    (link, requests)
}

impl Daemon {
    fn new(capacity: usize, streams: usize) -> Self {
        let (link, requests) = link(capacity);
        let limits = Limits { subscribers: streams, ..Limits::default() };
        let subscribers = Subscribers::new("node1", limits, Now::default());
        Self { link, requests, subscribers, state: State::new("json.a", "json", "a") }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "a feed asks for nothing else")]
    fn answer(&mut self, request: Request) {
        match request {
            Request::Events(request) => self.subscribers.add_events(request),
            Request::Summaries(request) => self.subscribers.add_summaries(request),
            other => panic!("{other:?}"),
        }
    }

    async fn subscribe(&mut self, wanted: &Wanted) -> Feed {
        let (link, state) = (self.link.clone(), self.state.clone());
        let feed = link.subscribe(wanted, &state);
        tokio::pin!(feed);
        loop {
            tokio::select! {
                feed = &mut feed => return feed.unwrap(),
                request = self.requests.recv() => self.answer(request.unwrap()),
            }
        }
    }

    fn publish(&mut self, at: u64) {
        let happened: Event = event(&pod(1, "shop", "a"), at, connect(&tcp(at, true, "192.0.2.1:80", None)));
        self.subscribers.publish(&[Arc::new(happened)]);
    }
}

fn all() -> Wanted {
    Wanted { events: Some(Filters::default()), windows: true, incidents: true }
}

fn short(told: &Told) -> String {
    match told {
        Told::Event(published) => published.event.sequence.to_string(),
        Told::Folded(..) => "folded".to_owned(),
        Told::Lost(loss, _) => format!("-{} {}", loss.count, loss.kind),
        Told::Window(window, _) => format!("w{}", window.start.0),
        Told::Incident(incident) => format!("{} {}", incident.id, incident.state().as_str_name()),
        Told::Deleted(incident) => format!("{} deleted", incident.id),
        Told::Missed(known) => format!("missed {}", known.len()),
    }
}

/// What is there now, up to `most`; and whether more may come.
async fn next(feed: &mut Feed, most: usize) -> (Vec<String>, bool) {
    let mut told = Vec::new();
    let more = feed.batch(&mut told, most).await;
    (told.iter().map(short).collect(), more)
}

fn incident(id: &str, state: IncidentState) -> Arc<v1::Incident> {
    Arc::new(v1::Incident { id: id.to_owned(), state: state.into(), ..v1::Incident::default() })
}

#[tokio::test]
async fn what_happens_comes_until_the_daemon_stops() {
    let mut daemon = Daemon::new(100, 10);
    daemon.publish(1);
    daemon.link.book.put_told(incident("a", IncidentState::Open));
    let mut feed = daemon.subscribe(&all()).await;
    // What was before is not in it, but for what goes on.
    assert_eq!(feed.after, 1);
    assert_eq!(next(&mut feed, 9).await, (vec!["a INCIDENT_STATE_OPEN".to_owned()], true));
    daemon.publish(2);
    daemon.publish(3);
    let window = Window { start: BootTime(7), length_ns: 1_000_000_000, ..Window::default() };
    daemon.subscribers.publish_window(&Arc::new(window), Now::default());
    daemon.link.book.put_told(incident("a", IncidentState::Closed));
    // What seldom comes is not kept waiting by what often does.
    assert_eq!(next(&mut feed, 3).await.0, ["a INCIDENT_STATE_CLOSED", "w7", "2"]);
    // The third event was taken out with the second one.
    assert_eq!(daemon.state.status().queued, 1);
    daemon.link.book.delete("a");
    daemon.subscribers.stop();
    daemon.link.book.stop();
    assert_eq!(next(&mut feed, 9).await, (vec!["a deleted".to_owned(), "3".to_owned()], true));
    assert_eq!(next(&mut feed, 9).await, (vec![], false));
}

#[tokio::test]
async fn what_finds_no_room_is_counted_at_once_and_told_later() {
    let mut daemon = Daemon::new(4, 10);
    let mut feed = daemon.subscribe(&Wanted { events: Some(Filters::default()), ..Wanted::default() }).await;
    (1..=10).for_each(|at| daemon.publish(at));
    let status = daemon.state.status();
    assert_eq!((status.queued, status.lost[0]), (4, ("queue", 6)));
    assert_eq!(next(&mut feed, 9).await.0, ["1", "2", "3", "4"]);
    daemon.publish(11);
    assert_eq!(next(&mut feed, 9).await.0, ["-6 events", "11"]);
    // Another feed goes on counting.
    drop(feed);
    let _feed = daemon.subscribe(&all()).await;
    assert_eq!(daemon.state.status().lost[0], ("queue", 6));
}

#[tokio::test(start_paused = true)]
async fn it_asks_again_where_there_are_too_many_streams() {
    let mut daemon = Daemon::new(4, 1);
    let first = daemon.subscribe(&Wanted { events: Some(Filters::default()), ..Wanted::default() }).await;
    let link = daemon.link.clone();
    let later = State::new("json.b", "json", "b");
    let wanted = Wanted { windows: true, ..Wanted::default() };
    let second = link.subscribe(&wanted, &later);
    tokio::pin!(second);
    let mut first = Some(first);
    let _feed = loop {
        tokio::select! {
            feed = &mut second => break feed.unwrap(),
            request = daemon.requests.recv() => {
                daemon.answer(request.unwrap());
                if later.status().state == ExporterState::Retrying {
                    first = None;
                }
            }
        }
    };
    assert!(first.is_none() && later.status().last_error.contains("1 streams are open already"));
    daemon.link.stopping.cancel();
    assert!(!daemon.link.pause(Duration::from_secs(9)).await);
}
