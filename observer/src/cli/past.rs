//! The flags that say which events of the past are shown.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use observer_proto::v1::WatchEventsRequest;

use super::Usage;
use crate::client::nanos;
use crate::client::recorded::Wanted;
use crate::config;

/// How many events are shown when nothing else was asked for.
const USUAL_LAST: u32 = 20;

/// Which events of the past: of those in memory and, further back, of those that are recorded.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "History")]
pub(super) struct Past {
    /// Begin with so many of the newest events [default: 20, but none with -f, and all of --input]
    #[arg(long, value_name = "N")]
    last: Option<u32>,
    /// Show so many of the oldest events
    #[arg(long, value_name = "N", conflicts_with_all = ["last", "follow"])]
    first: Option<u32>,
    /// Begin with all events that are recorded or in memory
    #[arg(long, conflicts_with_all = ["last", "first", "since"])]
    all: bool,
    /// Begin with what happened since: 5m (ago), or a time such as 2026-01-31T08:12:03Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Show what had happened by then: 5m (ago), or a time
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "follow")]
    until: Option<Timestamp>,
}

impl Past {
    /// The request, still without filters.
    pub(super) fn request(&self, follow: bool) -> WatchEventsRequest {
        let Self { last, first, all, since, until } = *self;
        let bounded = first.is_some() || all || since.is_some() || until.is_some();
        let last = last.unwrap_or(if follow || bounded { 0 } else { USUAL_LAST });
        let since = if all { Some(Timestamp::UNIX_EPOCH) } else { since };
        let [since, until] = [since, until].map(|time| time.map(|time| SystemTime::from(time).into()));
        WatchEventsRequest {
            follow,
            last,
            first: first.unwrap_or(0),
            since,
            until,
            ..WatchEventsRequest::default()
        }
    }
}

impl Past {
    /// The same of a recording, of which everything is shown unless something else was asked for.
    pub(super) fn recorded(&self) -> WatchEventsRequest {
        WatchEventsRequest { last: self.last.unwrap_or(0), ..self.request(false) }
    }

    /// Of what passes the filters what is wanted of a recording.
    pub(super) fn of(&self, wanted: Wanted) -> Result<Wanted, Usage> {
        let WatchEventsRequest { since, until, .. } = self.recorded();
        if since.zip(until).is_some_and(|(since, until)| nanos(&since) > nanos(&until)) {
            return Err(Usage("--since is later than --until, so nothing can be between them".to_owned()));
        }
        Ok(wanted.between(since, until).first(self.first).last(self.last))
    }
}

/// A time, or how long ago it was.
pub(super) fn time(text: &str) -> Result<Timestamp, &'static str> {
    const ALLOWED: &str = "allowed are durations such as 5m (ago), and times such as 2026-01-31T08:12:03Z";
    if let Some(ago) = config::parse_duration(text) {
        return before(Timestamp::now(), ago).ok_or(ALLOWED);
    }
    text.parse().map_err(|_no_time: jiff::Error| ALLOWED)
}

fn before(now: Timestamp, ago: Duration) -> Option<Timestamp> {
    now.checked_sub(ago).ok()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Events {
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        past: Past,
    }

    fn parse(flags: &str) -> Result<WatchEventsRequest, String> {
        let words = ["events"].into_iter().chain(flags.split_whitespace());
        let parsed = Events::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(parsed.past.request(parsed.follow))
    }

    fn none() -> WatchEventsRequest {
        WatchEventsRequest::default()
    }

    #[test]
    fn the_newest_are_shown_unless_something_else_was_asked_for() {
        assert_eq!(parse(""), Ok(WatchEventsRequest { last: 20, ..none() }));
        assert_eq!(parse("-f"), Ok(WatchEventsRequest { follow: true, ..none() }));
        assert_eq!(parse("-f --last 3"), Ok(WatchEventsRequest { follow: true, last: 3, ..none() }));
        assert_eq!(parse("--first 3"), Ok(WatchEventsRequest { first: 3, ..none() }));
        let epoch = Some(prost_types::Timestamp { seconds: 0, nanos: 0 });
        assert_eq!(parse("--all -f"), Ok(WatchEventsRequest { follow: true, since: epoch, ..none() }));
    }

    #[test]
    fn times_are_told_by_the_clock_or_from_now() {
        let since = Some(prost_types::Timestamp { seconds: 90, nanos: 5_000_000 });
        assert_eq!(parse("--since 1970-01-01T00:01:30.005Z"), Ok(WatchEventsRequest { since, ..none() }));
        let asked = parse("--since 10m --until 5m --last 2").unwrap();
        let [since, until] = [asked.since, asked.until].map(|time| time.unwrap().seconds);
        assert!((299..=301).contains(&(until - since)) && asked.last == 2, "{since} to {until}");
        let now = Timestamp::from_second(100).unwrap();
        assert_eq!(before(now, Duration::from_secs(40)), Timestamp::from_second(60).ok());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for flags in
            ["--first 1 --last 1", "--first 1 -f", "--until 1s -f", "--all --since 1s", "--since soon"]
        {
            let error = parse(flags).unwrap_err();
            assert!(
                error.contains("cannot be used with") || error.contains("durations such as 5m"),
                "{error}"
            );
        }
    }
}
