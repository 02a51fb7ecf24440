//! Single rules of stories: what may be a cause, what was asked for, what is in which order.

use observer_proto::v1::{
    ContainerStop, EndKind, Endpoint, Event, Process, SignalOrigin, SignalSent, TcpConnectFailure,
    TimelineKind, Workload, event::Detail,
};

use super::*;

fn pod(name: &str) -> Workload {
    Workload {
        kind: v1::WorkloadKind::Pod.into(),
        namespace: "shop".to_owned(),
        pod: name.to_owned(),
        pod_uid: name.to_owned(),
        container: "app".to_owned(),
        container_id: format!("{name}-1"),
        ..Workload::default()
    }
}

fn event(milliseconds: i64, workload: &Workload, detail: Detail) -> Event {
    let nanos = (milliseconds % 1_000) as i32 * 1_000_000;
    Event {
        time: Some(Timestamp { seconds: milliseconds / 1_000, nanos }),
        workload: Some(workload.clone()),
        detail: Some(detail),
        ..Event::default()
    }
}

fn refused(milliseconds: i64, client: &Workload, server: &Workload) -> Event {
    let end = |of: &Workload, port| Endpoint {
        workload: Some(of.clone()),
        kind: v1::PeerKind::Pod.into(),
        port,
        ..Endpoint::default()
    };
    let tcp = v1::Tcp {
        outgoing: true,
        source: Some(end(client, 40_000)),
        destination: Some(end(server, 5_432)),
        ..v1::Tcp::default()
    };
    let failure =
        TcpConnectFailure { tcp: Some(tcp), error: "refused".to_owned(), ..TcpConnectFailure::default() };
    event(milliseconds, client, Detail::TcpConnectFailure(failure))
}

fn fails(milliseconds: i64, workload: &Workload, stop: ContainerStop) -> Event {
    let stop = ContainerStop { kind: EndKind::Error.into(), code: Some(1), ..stop };
    event(milliseconds, workload, Detail::ContainerStop(stop))
}

fn lines(about: &[&Workload], told: Vec<Told>) -> Vec<(TimelineKind, String)> {
    let workloads = about.iter().copied().cloned().collect();
    let incident = Incident { workloads, ..Incident::default() };
    let story = tell(&incident, told.into_iter(), std::iter::empty());
    story.timeline.iter().map(|entry| (entry.kind(), entry.text.clone())).collect()
}

fn told(events: Vec<Event>) -> Vec<Told> {
    let start = Timestamp { seconds: 1, nanos: 0 };
    events.into_iter().map(|event| Told::Event(start, Box::new(event))).collect()
}

fn causes(lines: &[(TimelineKind, String)]) -> Vec<&str> {
    lines.iter().filter(|(kind, _)| *kind == TimelineKind::Cause).map(|(_, text)| text.as_str()).collect()
}

#[test]
fn a_containers_own_dying_is_not_why_it_died() {
    let (web, db, auth) = (pod("web"), pod("db"), pod("auth"));
    let dies = fails(10_000, &db, ContainerStop::default());
    let own = lines(&[&db], told(vec![refused(9_950, &web, &db), dies.clone()]));
    assert_eq!(causes(&own), Vec::<&str>::new(), "{own:?}");
    let other = lines(&[&db], told(vec![refused(9_900, &db, &auth), refused(9_950, &web, &db), dies]));
    let [cause] = causes(&other)[..] else { panic!("{other:?}") };
    assert!(cause.starts_with("shop/db cannot connect to shop/auth:5432"), "{cause}");
}

#[test]
fn where_nothing_failed_nothing_is_a_cause() {
    let (web, db) = (pod("web"), pod("db"));
    let all = lines(&[&web], told(vec![refused(9_950, &web, &db)]));
    assert_eq!(causes(&all), Vec::<&str>::new(), "{all:?}");
}

#[test]
fn a_signal_long_before_an_end_asked_for_something_else() {
    let db = pod("db");
    let kinds = |before_end_ns| {
        let asked_by = SignalSent {
            origin: SignalOrigin::Outside.into(),
            sender: Some(Process { comm: "runc".to_owned(), ..Process::default() }),
            before_end_ns,
            ..SignalSent::default()
        };
        let stop = ContainerStop { asked_by: Some(asked_by), ..ContainerStop::default() };
        let all = lines(&[&db], told(vec![fails(10_000_000, &db, stop)]));
        all.iter().any(|(kind, _)| *kind == TimelineKind::Failure)
    };
    assert!(!kinds(30_000_000_000));
    assert!(kinds(3_600_000_000_000));
}

#[test]
fn a_gap_is_no_step_of_the_clock() {
    let (web, db) = (pod("web"), pod("db"));
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let gap = Told::Gap { since: at(100), until: at(400), words: "it was paused".to_owned() };
    let mut all = told(vec![refused(500_000, &web, &db), fails(502_000, &web, ContainerStop::default())]);
    all.insert(1, gap);
    let all = lines(&[&web], all);
    let kinds: Vec<TimelineKind> = all.iter().map(|(kind, _)| *kind).take(3).collect();
    assert_eq!(kinds, [TimelineKind::Gap, TimelineKind::Cause, TimelineKind::Failure], "{all:?}");
}

#[test]
fn what_no_event_tells_of_lies_beside_the_events_of_its_time() {
    let mut moments = order::Moments::default();
    let at = |seconds| Timestamp { seconds, nanos: 0 };
    let before = moments.of(at(10_000));
    let after = moments.of(at(4_000));
    let last = moments.of(at(4_100));
    assert!(before.order <= after.order && after < last);
    assert!(moments.beside(9_999_000_000_000) < before.min(after), "it was before the clock was set back");
    let between = moments.beside(4_050_000_000_000);
    assert!(after < between && between < last);
}

#[test]
fn whom_a_run_asks_is_bounded() {
    let (web, mut deaths) = (pod("web"), Deaths::default());
    let about = About::of(&Incident { workloads: vec![web.clone()], ..Incident::default() });
    let mut moments = order::Moments::default();
    for number in 0..2_000 {
        let event = refused(1_000 + number, &web, &pod(&format!("scanned-{number}")));
        let at = At {
            moment: moments.of(event.time.unwrap()),
            start: Timestamp::default(),
            sequence: number.unsigned_abs(),
        };
        deaths.hear(&event, event.tcp().unwrap(), at, &about);
    }
    assert_eq!(deaths.most_asked(), 512);
}
