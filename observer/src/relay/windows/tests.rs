//! Windows of several nodes: what is told together, what is waited for, and that nothing is told twice or not at all.

mod properties;

use observer_proto::v1;
use prost_types::Timestamp;

use super::*;

const SECOND: i128 = 1_000_000_000;
const LENGTH: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(7);

/// Windows, and a clock that goes on by hand; times are in tenths of a second, so that they show as they are.
struct Site {
    windows: Windows,
    began: Instant,
    now: i128,
}

/// What was told: the starts of the windows, and who was waited for in vain.
type ToldTogether = (Vec<i128>, Vec<NodeNumber>);

impl Site {
    fn new(once: bool, now: i128) -> Self {
        Self { windows: Windows::new(LENGTH, GRACE, once), began: Instant::now(), now }
    }

    /// Nodes that are asked, of their past or not.
    fn with(past: bool, nodes: usize, now: i128) -> Self {
        let mut site = Self::new(false, now);
        (0..nodes).for_each(|node| site.windows.expect(node, past));
        site
    }

    fn instant(&self) -> Instant {
        self.began + Duration::from_millis(u64::try_from(self.now * 100).unwrap())
    }

    /// A window comes that is so long.
    fn adds_of(&mut self, node: NodeNumber, start: i128, length: i128) {
        let nanos = start * SECOND / 10;
        let end = v1::WindowEnd {
            window_start: Some(Timestamp { seconds: start as i64, nanos: 0 }),
            window_ns: (length * SECOND / 10) as u64,
            ..v1::WindowEnd::default()
        };
        let window = NodeWindow { end, ..NodeWindow::default() };
        self.windows.add(node, nanos, window, self.now * SECOND / 10, self.instant());
    }

    fn add(&mut self, node: NodeNumber, start: i128) {
        self.adds_of(node, start, 100);
    }

    /// Windows come as they end.
    fn live(&mut self, told: impl IntoIterator<Item = (NodeNumber, i128)>) {
        for (node, start) in told {
            self.now = self.now.max(start + 100);
            self.add(node, start);
        }
    }

    fn next(&mut self) -> Option<ToldTogether> {
        let now = self.instant();
        self.windows.next(now).map(starts)
    }

    fn all(&mut self) -> Vec<ToldTogether> {
        std::iter::from_fn(|| self.next()).collect()
    }

    fn passes(&mut self, tenths: i128) {
        self.now += tenths;
    }

    fn fall_behind(&mut self) -> Vec<NodeNumber> {
        let now = self.instant();
        self.windows.fall_behind(now)
    }
}

fn starts(next: Next) -> ToldTogether {
    let start = |window: &NodeWindow| i128::from(window.end.window_start.unwrap().seconds);
    match next {
        Next::Together(together) => (together.windows.iter().map(start).collect(), together.without),
        Next::LeftOut(window) => (vec![-start(&window)], vec![]),
    }
}

#[test]
fn windows_of_one_time_are_told_together() {
    let mut site = Site::with(false, 3, 0);
    site.live([(0, 99), (1, 101)]);
    assert_eq!(site.next(), None, "one is waited for");
    site.live([(2, 140)]);
    assert_eq!(site.next(), Some((vec![99, 101, 140], vec![])));
    site.live([(0, 199), (1, 201)]);
    assert_eq!(site.windows.due().map(|due| due - site.began), None, "nobody has looked yet");
    assert_eq!(site.next(), None);
    assert_eq!(site.windows.due().unwrap() - site.began, Duration::from_millis(29_900) + GRACE);
    site.passes(70);
    assert_eq!(site.next(), Some((vec![199, 201], vec![2])));
    site.windows.leave(2);
    site.live([(0, 299), (1, 301)]);
    assert_eq!(site.next(), Some((vec![299, 301], vec![])));
}

#[test]
fn one_that_is_late_once_keeps_its_place_after_that() {
    let mut site = Site::with(false, 2, 0);
    site.live([(0, 100), (1, 120)]);
    assert_eq!(site.all(), [(vec![100, 120], vec![])]);
    site.live([(0, 200)]);
    site.passes(70);
    assert_eq!(site.all(), [(vec![200], vec![1])]);
    // It comes after all, by itself, and the next one is where it belongs.
    site.add(1, 220);
    assert_eq!(site.all(), [(vec![220], vec![])]);
    site.live([(0, 300), (1, 320), (0, 400), (1, 420)]);
    assert_eq!(site.all(), [(vec![300, 320], vec![]), (vec![400, 420], vec![])]);
}

#[test]
fn what_is_told_once_leaves_out_what_is_late() {
    let mut site = Site::new(true, 0);
    (0..2).for_each(|node| site.windows.expect(node, false));
    site.live([(0, 100), (1, 120), (0, 200)]);
    assert_eq!(site.all(), [(vec![100, 120], vec![])]);
    site.passes(70);
    assert_eq!(site.all(), [(vec![200], vec![1])]);
    site.add(1, 220);
    assert_eq!(site.all(), [(vec![-220], vec![])]);
    // Of two of one node the later one is told.
    site.live([(0, 300)]);
    site.adds_of(0, 330, 10);
    site.live([(1, 320)]);
    assert_eq!(site.all(), [(vec![-300], vec![]), (vec![330, 320], vec![])]);
}

#[test]
fn a_short_window_moves_no_later_one() {
    let mut site = Site::with(false, 2, 0);
    site.live([(0, 100), (1, 110)]);
    site.adds_of(1, 210, 20);
    site.live([(0, 200), (1, 230), (0, 300), (1, 330)]);
    // Both of the second one's that begin in one slot are in it.
    assert_eq!(
        site.all(),
        [(vec![100, 110], vec![]), (vec![200, 210, 230], vec![]), (vec![300, 330], vec![])]
    );
}

#[test]
fn windows_that_begin_between_two_stay_on_one_side() {
    let mut site = Site::with(false, 2, 0);
    let shaky = [49, 151, 249, 351, 452, 548];
    for (number, start) in shaky.into_iter().enumerate() {
        site.live([(0, number as i128 * 100), (1, start)]);
        assert_eq!(site.all(), [(vec![number as i128 * 100, start], vec![])]);
    }
}

#[test]
fn a_recording_that_begins_later_or_has_a_gap_holds_nobody_up() {
    let mut site = Site::with(true, 2, 10_000);
    for start in [0, 100, 200] {
        site.add(0, start);
    }
    assert_eq!(site.all(), []);
    site.add(1, 210);
    assert_eq!(site.all(), [(vec![0], vec![]), (vec![100], vec![]), (vec![200, 210], vec![])]);
    site.add(1, 610);
    for start in [300, 400, 500, 600] {
        site.add(0, start);
    }
    let alone = [300, 400, 500].map(|start| (vec![start], vec![]));
    assert_eq!(site.all(), [&alone[..], &[(vec![600, 610], vec![])]].concat());
}

#[test]
fn the_past_is_waited_for_as_long_as_it_goes_on() {
    let mut site = Site::with(true, 3, 10_000);
    site.windows.leave(2);
    for start in [0, 100, 200, 300] {
        site.add(0, start);
        assert_eq!((site.next(), site.fall_behind()), (None, vec![]));
        site.passes(40);
        assert_eq!((site.next(), site.fall_behind()), (None, vec![]));
        site.add(1, start + 10);
        assert_eq!(site.all(), [(vec![start, start + 10], vec![])]);
    }
    site.add(0, 400);
    assert_eq!(site.next(), None);
    // Nobody is late while nothing can be told.
    site.passes(100);
    site.windows.stood_still(Duration::from_secs(10));
    assert_eq!((site.fall_behind(), site.next()), (vec![], None));
    site.passes(50);
    assert_eq!(site.windows.due(), Some(site.instant()));
    assert_eq!((site.fall_behind(), site.next()), (vec![1], Some((vec![400], vec![]))));
    // From then on it is not waited for, and what comes late has its own time.
    for start in [500, 600] {
        site.add(0, start);
    }
    assert_eq!(site.all(), [500, 600].map(|start| (vec![start], vec![])));
    for start in [410, 510] {
        site.add(1, start);
    }
    assert_eq!(site.all(), [410, 510].map(|start| (vec![start], vec![])));
    // Once it tells what happens it is one of all again.
    let now = site.now;
    site.live([(0, now), (1, now + 10), (0, now + 100)]);
    assert_eq!(site.all(), [(vec![now, now + 10], vec![])]);
    site.live([(1, now + 110)]);
    assert_eq!(site.all(), [(vec![now + 100, now + 110], vec![])]);
}

#[test]
fn who_tells_the_past_is_waited_for_by_what_happens_and_not_the_other_way_round() {
    let mut site = Site::with(true, 2, 10_000);
    site.windows.tells(7);
    for start in [0, 100] {
        site.add(0, start);
    }
    site.add(1, 110);
    assert_eq!(site.all(), [(vec![0], vec![]), (vec![100, 110], vec![])]);
    site.add(7, 9_900);
    site.add(0, 9_890);
    site.passes(40);
    site.add(1, 5_000);
    assert_eq!(site.all(), [(vec![5_000], vec![])]);
    site.passes(40);
    assert_eq!((site.fall_behind(), site.next()), (vec![], None));
    site.windows.leave(1);
    assert_eq!(site.all(), [(vec![9_890, 9_900], vec![])]);
}

#[test]
fn what_is_recorded_has_windows_of_ten_seconds() {
    let mut site = Site::with(true, 2, 10_000);
    site.windows.length = SECOND;
    for (node, start) in [(0, 0), (1, 40), (0, 100), (1, 140)] {
        site.add(node, start);
    }
    assert_eq!(site.all(), [(vec![0, 40], vec![]), (vec![100, 140], vec![])]);
    let now = site.now;
    for (node, start) in [(0, now), (1, now + 4), (0, now + 10), (1, now + 14)] {
        site.now = start + 10;
        site.adds_of(node, start, 10);
    }
    assert_eq!(site.all(), [(vec![now, now + 4], vec![]), (vec![now + 10, now + 14], vec![])]);
}

#[test]
fn a_clock_that_is_wrong_harms_nobody_else() {
    let mut site = Site::with(false, 2, 0);
    site.live([(0, 100), (1, 100)]);
    assert_eq!(site.all(), [(vec![100, 100], vec![])]);
    site.now = 300;
    site.add(1, 50_000);
    site.add(0, 200);
    site.passes(70);
    assert_eq!(site.all().concat_starts(), [200, 50_000]);
    site.live([(0, 300), (1, 300), (0, 400), (1, 400)]);
    assert_eq!(site.all().concat_starts(), [300, 300, 400, 400]);
    assert_eq!(site.all(), []);
}

#[test]
fn a_relay_whose_clock_is_set_back_goes_on() {
    let mut site = Site::with(false, 2, 50_000);
    site.live([(0, 50_000), (1, 50_010)]);
    assert_eq!(site.all(), [(vec![50_000, 50_010], vec![])]);
    site.now = 0;
    site.live([(0, 100), (1, 110), (0, 200), (1, 210)]);
    assert_eq!(site.all(), [(vec![100, 110], vec![]), (vec![200, 210], vec![])]);
}

trait Starts {
    fn concat_starts(&self) -> Vec<i128>;
}

impl Starts for Vec<ToldTogether> {
    fn concat_starts(&self) -> Vec<i128> {
        let mut all: Vec<_> = self.iter().flat_map(|(starts, _)| starts).copied().collect();
        all.sort_unstable();
        all
    }
}
