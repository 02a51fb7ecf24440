//! What keys and messages make of a page: search, order, pause, the way down and back.

use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{ConnectionOrder, Filter, Incident, ListIncidentsResponse, NodeState, NodeStatus};

use super::*;

const DOWN: KeyCode = KeyCode::Down;

#[test]
fn the_selected_row_is_the_same_one_where_the_order_changes() {
    let mut shown = Shown::of_shop((80, 24));
    assert!(shown.chosen().starts_with("! shop/cart-7d9f/app"), "the crash loop is the worst");
    shown.press(&[DOWN]);
    let before = shown.chosen();
    assert!(before.contains("shop/client-1-5a37"), "{before}");
    shown.tell(fixture::window(1));
    let screen = shown.screen();
    let place = |name: &str| screen.find(name).unwrap();
    assert!(place("shop/server-0-8c0a/serve") < place("shop/client-1-5a37/connect"), "{screen}");
    assert!(shown.chosen().contains("shop/client-1-5a37"), "{screen}");
    shown.press(&[KeyCode::Home]);
    assert!(shown.chosen().contains("cart"));
    shown.press(&[KeyCode::End]);
    assert!(shown.chosen().contains("idle-0"), "{}", shown.chosen());
    // Beyond the end there is nothing.
    shown.press(&[DOWN, KeyCode::PageDown]);
    assert!(shown.chosen().contains("idle-0"));
    shown.press(&[KeyCode::PageUp]);
    assert!(shown.chosen().contains("cart"));
}

#[test]
fn a_search_narrows_as_it_is_typed() {
    let mut shown = Shown::of_shop((80, 24));
    shown.type_in("/SERV");
    let screen = shown.screen();
    assert!(screen.contains("1 of 5 WORKLOADS") && screen.contains("/SERV_"), "{screen}");
    assert!(shown.chosen().contains("shop/server-0-8c0a"), "{screen}");
    shown.press(&[KeyCode::Backspace, KeyCode::Enter]);
    assert!(shown.screen().contains("Workloads, worst first, with \"SER\""), "{}", shown.screen());
    // `q` and `?` are keys again only after that.
    shown.type_in("/xyz?q");
    assert!(!shown.top.ended());
    shown.press(&[KeyCode::Backspace, KeyCode::Backspace]);
    assert!(shown.screen().contains("nothing here has \"xyz\": Esc shows all"));
    shown.press(&[KeyCode::Esc]);
    assert!(shown.screen().contains("5 WORKLOADS"));
    // A figure below the table is found as well.
    shown.type_in("/code 1");
    assert!(shown.chosen().contains("cart"));
    shown.press(&[KeyCode::Enter, KeyCode::Esc]);
    assert!(shown.screen().contains("5 WORKLOADS") && !shown.top.ended());
}

#[test]
fn rows_are_sorted_in_turn_and_the_other_way_round() {
    let mut shown = Shown::of_shop((80, 24));
    let mut titles = Vec::new();
    for _ in sort::WORKLOADS {
        titles.push(shown.top.page().title(80));
        shown.type_in("s");
    }
    assert_eq!(titles.first().map(String::as_str), Some("Workloads, worst first"));
    assert_eq!(titles[1], "Workloads, by restarts");
    assert_eq!(shown.top.page().title(80), titles[0], "it begins again");
    titles.sort();
    titles.dedup();
    assert_eq!(titles.len(), sort::WORKLOADS.len());
    shown.type_in("r");
    assert!(shown.screen().contains("Workloads, worst first, reversed"));
    assert!(!shown.chosen().contains("cart"));
}

#[test]
fn a_page_asks_for_what_it_shows_in_its_order() {
    let mut shown = client((80, 24));
    shown.type_in("s");
    let (number, request) = shown.top.wants().connections.unwrap();
    assert_eq!(request.order(), ConnectionOrder::Retransmits);
    let id = fixture::pod("shop", "client-1-5a37", "connect").container_id;
    assert_eq!(request.allow, [Filter { containers: vec![id], ..Filter::default() }]);
    // The third row is the first connection.
    shown.press(&[DOWN, DOWN, KeyCode::Enter]);
    let (events, request, subject) = shown.top.wants().events.unwrap();
    assert!(events > number && request.follow && request.last > 0);
    assert_eq!(request.allow[0].ports, [40_001]);
    assert!(matches!(subject, Subject::Connection(one) if one.tcp.as_ref().unwrap().connection_id == "1"));
    assert_eq!(shown.top.wants().connections, None);
    // Answers to another page are not for this one.
    shown.tell(fixture::lines(1..=1).map(|line| Message::Line(number, line)));
    assert!(shown.screen().contains("nothing of it is in the daemon's memory"));
    shown.press(&[KeyCode::Esc]);
    assert_eq!(shown.top.wants().connections.unwrap().0, number);
    assert!(shown.chosen().starts_with(":40001 -> shop/server-0-8c…:8080"), "{}", shown.chosen());
    shown.press(&[KeyCode::Left, KeyCode::Backspace, KeyCode::Esc]);
    assert!(shown.screen().contains("Workloads, worst first"));
    shown.type_in("q");
    assert!(shown.top.ended());
}

#[test]
fn paused_nothing_moves_and_the_header_says_so() {
    let mut shown = client((80, 24));
    shown.type_in("p");
    let paused = shown.screen();
    assert!(paused.lines().next().unwrap().ends_with("PAUSED"), "{paused}");
    let (number, _) = shown.top.wants().connections.unwrap();
    shown.tell([Message::Connections(number, fixture::connections(20))]);
    shown.tell(fixture::window(1));
    assert_eq!(shown.screen(), paused);
    shown.type_in(" ");
    let now = shown.screen();
    assert!(now != paused && !now.contains("PAUSED") && now.contains("08:12:05 to 08:12:07"), "{now}");
}

#[test]
fn paused_events_are_those_up_to_the_time_that_is_shown() {
    let mut shown = events((80, 24));
    let (number, ..) = shown.top.wants().events.unwrap();
    shown.type_in("p");
    let before = shown.screen();
    shown.tell(fixture::lines(31..=33).map(|line| Message::Line(number, line)));
    let after = shown.screen();
    assert!(after.contains("PAUSED (3 new)"), "{after}");
    assert_eq!(before.lines().skip(1).collect::<Vec<_>>(), after.lines().skip(1).collect::<Vec<_>>());
    // Of a page that is opened meanwhile, what was before is shown: until 08:12:05.
    shown.press(&[KeyCode::Esc, DOWN, KeyCode::Enter]);
    let (number, ..) = shown.top.wants().events.unwrap();
    shown.tell(fixture::lines(1..=9).map(|line| Message::Line(number, line)));
    let screen = shown.screen();
    assert!(screen.contains("2 EVENTS") && screen.contains("PAUSED (7 new)"), "{screen}");
    shown.type_in("p");
    assert!(shown.screen().contains("9 EVENTS"), "{}", shown.screen());
    // And also where it was paused before there was a window.
    let mut early = Shown::new(setup(), (80, 24));
    early.tell([Message::Workloads(fixture::workloads())]);
    early.press(&[KeyCode::Char('e')]);
    let (number, ..) = early.top.wants().events.unwrap();
    early.type_in("p");
    early.tell(fixture::lines(1..=2).map(|line| Message::Line(number, line)));
    assert!(early.screen().contains("PAUSED (2 new)"), "{}", early.screen());
}

#[test]
fn events_go_on_at_the_bottom_unless_another_one_is_selected() {
    let mut shown = events((80, 24));
    let (number, ..) = shown.top.wants().events.unwrap();
    assert!(shown.chosen().contains("08:12:30"), "{}", shown.chosen());
    shown.press(&[KeyCode::Up]);
    shown.tell(fixture::lines(31..=40).map(|line| Message::Line(number, line)));
    assert!(shown.chosen().contains("08:12:29"), "{}", shown.chosen());
    shown.press(&[KeyCode::End]);
    assert!(shown.chosen().contains("08:12:40"));
    shown.tell(fixture::lines(41..=41).map(|line| Message::Line(number, line)));
    assert!(shown.chosen().contains("08:12:41"));
    shown.press(&[KeyCode::Home]);
    assert!(shown.chosen().contains("08:12:01"));
}

#[test]
fn lines_that_make_room_are_told() {
    let mut shown = events((80, 24));
    let (number, ..) = shown.top.wants().events.unwrap();
    let lines = |count| fixture::lines(1..=count).map(move |line| Message::Line(number, line));
    shown.tell(lines(1_980));
    assert!(shown.screen().contains("2000 of 2010 EVENTS"), "{}", shown.screen());
    shown.type_in("p");
    shown.tell(lines(2_003));
    assert!(shown.screen().contains("PAUSED (2003 new)"), "{}", shown.screen());
    shown.type_in("p");
    assert!(shown.screen().contains("2000 of 4013 EVENTS"), "{}", shown.screen());
}

#[test]
fn a_page_that_is_refused_says_why_until_it_is_told() {
    let mut shown = client((80, 24));
    let (number, _) = shown.top.wants().connections.unwrap();
    shown.tell([Message::Refused(number, "listing connections: no answer within 5 s".to_owned())]);
    assert!(shown.screen().contains("no answer within 5 s"), "{}", shown.screen());
    shown.tell([Message::Connections(number, fixture::connections(0))]);
    assert!(!shown.screen().contains("no answer"), "{}", shown.screen());
}

#[test]
fn edges_that_were_selected_without_their_workloads_are_told_of() {
    let port = Filter { ports: vec![8080], ..Filter::default() };
    let selected = Selected { allow: vec![port], deny: Vec::new() };
    let mut shown = Shown::new(Setup { selected, ..setup() }, (80, 24));
    shown.tell([Message::Workloads(fixture::workloads())]);
    shown.tell(fixture::window(0).into_iter().skip(3));
    let screen = shown.screen();
    assert!(screen.contains("no workload was selected by itself: Tab shows 3 edges"), "{screen}");
    assert!(screen.contains("12 opened, 4 failed"), "the totals are the edges': {screen}");
    shown.press(&[KeyCode::Tab]);
    assert!(shown.screen().contains("3 EDGES"));
    shown.press(&[KeyCode::Enter]);
    assert!(matches!(shown.top.wants().events, Some((_, _, Subject::Edge(_)))));
}

#[test]
fn a_window_is_news_when_all_of_it_has_come() {
    let mut shown = Shown::of_shop((80, 24));
    let before = shown.screen();
    let mut messages = fixture::window(1);
    let end = messages.pop().unwrap();
    shown.tell(messages);
    assert!(!shown.top.changed());
    shown.tell([end]);
    assert!(shown.top.changed() && shown.screen() != before && !shown.top.changed());
}

#[test]
fn control_c_ends_it_whatever_the_keys_are_for() {
    for before in ["", "/", "/a", "?", "p"] {
        let mut shown = Shown::of_shop((80, 24));
        shown.type_in(before);
        shown.top.update(Message::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
        assert!(shown.top.ended(), "{before}");
    }
}

#[test]
fn a_daemon_that_goes_away_leaves_what_was_shown() {
    let mut shown = Shown::of_shop((80, 24));
    let greeting = |seconds| {
        let start_time = Some(fixture::at(seconds));
        let status = NodeStatus { start_time, state: NodeState::Connected.into(), ..NodeStatus::default() };
        fixture::message(Payload::NodeStatus(status))
    };
    shown.tell([greeting(0)]);
    shown.tell(fixture::window(0));
    shown.tell([Message::Away("the daemon stopped; waiting 60 s at most for it to come back".to_owned())]);
    let away = shown.screen();
    assert!(away.contains("RECONNECTING") && away.contains("the daemon stopped; waiting 60 s"), "{away}");
    assert!(away.contains("shop/client-1-5a37/connect"), "{away}");
    shown.tell([Message::Back, greeting(30)]);
    let back = shown.screen();
    assert!(
        !back.contains("RECONNECTING") && back.contains("the daemon was started anew at 08:12:33"),
        "{back}"
    );
    for n in 0..=u64::from(NOTICE) {
        shown.tell(fixture::window(n));
    }
    assert!(!shown.screen().contains("started anew"));
}

#[test]
fn what_was_lost_is_said_and_added_up() {
    let mut shown = Shown::of_shop((80, 24));
    shown.tell(fixture::window_of(1, 17));
    let screen = shown.screen();
    assert!(screen.lines().next().unwrap().ends_with("17 lost so far"), "{screen}");
    assert!(
        screen.contains("17 events lost in this window, its figures are too low: 17 events (tcp_close)"),
        "{screen}"
    );
    shown.tell(fixture::window_of(2, 3));
    shown.tell(fixture::window(3));
    let screen = shown.screen();
    assert!(screen.contains("20 lost so far") && !screen.contains("in this window"), "{screen}");
}

#[test]
fn an_empty_page_says_what_to_do() {
    let mut shown = Shown::new(setup(), (80, 24));
    assert!(shown.screen().contains("waiting for the first window to end"), "{}", shown.screen());
    shown.press(&[KeyCode::Enter, KeyCode::Char('e'), KeyCode::PageDown, KeyCode::End]);
    assert_eq!(shown.top.wants(), Wants::default());
    shown.tell(fixture::window(0).into_iter().skip(6));
    assert!(shown.screen().contains("nothing happens on this node: start something"), "{}", shown.screen());
    shown.tell([Message::Refused(0, "listing workloads: \"no\"".to_owned())]);
    assert!(shown.screen().contains("listing workloads: \"no\""));
}

#[test]
fn an_open_incident_is_said_until_it_is_closed() {
    let mut shown = Shown::of_shop((120, 20));
    let title = "shop/cart: killed\u{1b}".to_owned();
    let incident = Incident { id: "20260131-081203-1".to_owned(), title, ..Incident::default() };
    let open = |incidents: Vec<Incident>, total| {
        Message::Incidents(ListIncidentsResponse { incidents, total, ..ListIncidentsResponse::default() })
    };
    shown.tell([open(vec![incident.clone()], 1)]);
    let screen = shown.screen();
    assert!(screen.contains("1 open incident, shop/cart: killed"), "{screen}");
    assert!(screen.contains("(observer incident show 20260131-081203-1)"), "{screen}");
    assert!(!screen.contains('\u{1b}'), "{screen}");
    shown.tell([open(vec![incident], 3)]);
    assert!(shown.screen().contains("3 open incidents, the newest: shop/cart"), "{}", shown.screen());
    shown.tell([open(Vec::new(), 0)]);
    assert!(!shown.screen().contains("incident"), "{}", shown.screen());
}
