//! What happened in an incident, as a story: the cause before the effect, in words that need nothing else. Pure.
//!
//! It is made of events as they were told and of figures of windows, wherever these come from: the daemon's memory, its
//! recording, a file that was exported. Tellers look at one subject each (containers, people, edges, ends of connections,
//! windows) and give lines; of these the most telling are kept, in order, and the most likely cause is marked as such.

mod about;
mod containers;
mod deaths;
mod edges;
mod firings;
mod line;
mod names;
mod order;
mod people;
#[cfg(test)]
mod rules;
mod signals;
#[cfg(test)]
mod tests;
mod windows;

use observer_proto::v1::{self, Incident, TimelineEntry, TimelineKind};
use prost_types::Timestamp;

use self::about::About;
use self::containers::Containers;
use self::deaths::Deaths;
use self::edges::Edges;
use self::line::{At, Line, Moment};
use self::people::People;
use self::windows::Windows;
use crate::event::{WallTime, Window};

/// Something of an incident's time, in its order.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// An event, and when the daemon was started that counted it.
    Event(Timestamp, Box<v1::Event>),
    /// Something is missing here, in words.
    Gap { since: Option<Timestamp>, until: Option<Timestamp>, words: String },
}

/// The figures of one window, and when that began by the wall clock.
pub(crate) type ToldWindow = (WallTime, Window);

/// An incident's story.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Story {
    pub(crate) timeline: Vec<TimelineEntry>,
    /// Lines that are left out.
    pub(crate) omitted: u32,
}

/// Gaps that are told.
const MOST_GAPS: usize = 1_024;

/// Tells what happened.
pub(crate) fn tell(
    incident: &Incident,
    told: impl Iterator<Item = Told>,
    windows: impl Iterator<Item = ToldWindow>,
) -> Story {
    let mut teller = Teller::new(incident);
    told.for_each(|one| teller.hear(one));
    let mut seen = Windows::default();
    windows.for_each(|(start, window)| seen.add(start, &window, &teller.about));
    teller.finish(incident, &seen)
}

/// Hears of one thing after the other.
struct Teller {
    about: About,
    moments: order::Moments,
    containers: Containers,
    people: People,
    edges: Edges,
    deaths: Deaths,
    /// What is missing: since when, and in words.
    gaps: Vec<(i64, String)>,
}

impl Teller {
    fn new(incident: &Incident) -> Self {
        Self {
            about: About::of(incident),
            moments: order::Moments::default(),
            containers: Containers::default(),
            people: People::default(),
            edges: Edges::default(),
            deaths: Deaths::default(),
            gaps: Vec::new(),
        }
    }

    fn hear(&mut self, told: Told) {
        let (start, event) = match told {
            Told::Event(start, event) => (start, event),
            Told::Gap { since, until, words } => return self.gap(since, until, &words),
        };
        let Some(time) = event.time else { return };
        let at = At { moment: self.moments.of(time), start, sequence: event.sequence };
        self.containers.hear(&event, at);
        self.people.hear(&event, at, &self.about);
        if let Some(tcp) = event.tcp() {
            self.edges.hear(&event, tcp, at, &self.about);
            self.deaths.hear(&event, tcp, at, &self.about);
        }
    }

    /// Something is missing in the recording: a story that is silent about that would lie.
    fn gap(&mut self, since: Option<Timestamp>, until: Option<Timestamp>, words: &str) {
        let Some(time) = since.or(until) else { return };
        let lasted = since.zip(until).map(|(since, until)| line::between_ns(&since, &until));
        let lasted = lasted.filter(|ns| *ns > 0).map(crate::units::duration);
        let lasted = lasted.map_or_else(String::new, |lasted| format!(" for {lasted}"));
        let text = format!("what happened{lasted} from here on is not recorded: {words}");
        if self.gaps.len() < MOST_GAPS {
            self.gaps.push((nanos(&time), text));
        }
    }

    fn finish(mut self, incident: &Incident, windows: &Windows) -> Story {
        let Self { about, moments, containers, people, edges, deaths, gaps } = &mut self;
        let mut lines = edges.lines(windows);
        lines.extend(containers.lines(about, edges, people));
        lines.extend(deaths.lines(containers, about));
        lines.extend(people.lines());
        lines.extend(windows.lines(moments));
        lines.extend(firings::lines(incident, moments, &lines));
        let gap = |(since, text): (i64, String)| Line::new(moments.beside(since), TimelineKind::Gap, text);
        lines.extend(gaps.drain(..).map(gap));
        order::tell(lines)
    }
}

/// A moment of the wall clock, in nanoseconds.
fn nanos(time: &Timestamp) -> i64 {
    time.seconds.saturating_mul(1_000_000_000).saturating_add(time.nanos.into())
}

impl Moment {
    /// So much earlier.
    fn before(self, ns: u64) -> Self {
        let ns = i64::try_from(ns).unwrap_or(0);
        Self { told: self.told.saturating_sub(ns), order: self.order.saturating_sub(ns) }
    }
}
