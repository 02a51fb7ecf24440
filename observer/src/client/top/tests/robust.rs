//! Terminals that are small or know ASCII alone, and names that would steer them.

use proptest::prelude::*;

use super::*;

fn keys() -> impl Strategy<Value = Vec<KeyCode>> {
    let letters = prop::sample::select("qqsrp /?ejkgGx".chars().skip(2).collect::<Vec<_>>());
    let named = prop::sample::select(vec![
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::PageDown,
        KeyCode::PageUp,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::Backspace,
    ]);
    prop::collection::vec(prop_oneof![letters.prop_map(KeyCode::Char), named], 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is pressed at whatever size, one row at most is selected and all is drawn within the screen.
    #[test]
    fn any_size_and_any_keys_give_a_screen(columns in 1_u16..200, rows in 3_u16..60, keys in keys(), n in 0_u64..3) {
        let mut shown = Shown::of_shop((columns, rows));
        for key in keys {
            shown.press(&[key]);
            let wants = shown.top.wants();
            if let Some((number, _)) = wants.connections {
                shown.tell([Message::Connections(number, fixture::connections(n))]);
            }
            if let Some((number, ..)) = wants.events {
                shown.tell(fixture::lines(1..=n).map(|line| Message::Line(number, line)));
            }
            shown.tell(fixture::window_of(n, n));
            shown.chosen();
        }
    }
}

#[test]
fn the_smallest_terminals_get_what_fits() {
    for size in [(1, 1), (1, 24), (80, 1), (80, 2), (3, 3)] {
        let mut shown = Shown::of_shop(size);
        assert_eq!(shown.screen().lines().count(), usize::from(size.1));
    }
    // What stands below the table has to make room for it first.
    let screen = Shown::of_shop((80, 9)).screen();
    assert!(screen.contains("shop/client-1-5a37/connect") && !screen.contains('─'), "{screen}");
}

#[test]
fn another_size_is_another_screen() {
    let mut shown = Shown::of_shop((80, 24));
    shown.screen();
    shown.terminal.backend_mut().resize(120, 40);
    shown.tell([Message::Resized(120, 40)]);
    expect_file!["../screens/workloads-120x40.txt"].assert_eq(&shown.screen());
}

#[test]
fn a_terminal_of_ascii_alone_gets_nothing_else() {
    let mut setup = setup();
    setup.theme.unicode = false;
    let mut shown = Shown::new(setup, (80, 24));
    shown.tell(fixture::window(0));
    let screen = shown.screen();
    assert!(screen.is_ascii() && screen.contains("142us") && screen.contains("-----"), "{screen}");
}

#[test]
fn names_do_not_steer_the_terminal() {
    let mut shown = Shown::new(setup(), (80, 24));
    let mut messages = fixture::window(0);
    for message in &mut messages {
        let Message::Summary(summary) = message else { continue };
        summary.node_name = "node\x1b[2J".to_owned();
        if let Some(Payload::Summary(summary)) = &mut summary.payload {
            let workload = summary.workload.as_mut().unwrap();
            workload.pod = "evil\x1b[31m\u{202e}".to_owned();
            if let Some(tcp) = &mut summary.tcp {
                tcp.failures.iter_mut().for_each(|failure| failure.error = "bad\n\x07".to_owned());
            }
        }
    }
    shown.tell(messages);
    let screen = shown.screen();
    assert!(screen.contains("[node\\x1b[2J]") && screen.contains("shop/evil\\x1b[31m"), "{screen}");
    let shows = screen.chars().filter(|c| *c != '\n').all(|c| !super::super::super::escape::is_harmful(c));
    assert!(shows, "{screen:?}");
    // What is typed goes through the same.
    shown.type_in("/a\u{9b}b\u{202e}");
    assert!(shown.screen().contains("/ab_"));
}
