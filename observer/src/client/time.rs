//! Points in time as text: the wall clock here, RFC 3339, or since the first one that was shown.

use jiff::tz::TimeZone;
use prost_types::Timestamp;

/// How times are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TimeFormat {
    /// The wall clock here: 09:12:03.114
    Time,
    /// With date and zone: 2026-01-31T08:12:03.114159Z
    Rfc3339,
    /// Seconds since the first line: +1.204
    Relative,
    /// Not at all
    None,
}

/// Writes times in one format and zone.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    format: TimeFormat,
    zone: TimeZone,
    first: Option<Timestamp>,
}

impl Clock {
    /// A clock of the given format, in the given zone.
    pub(crate) const fn new(format: TimeFormat, zone: TimeZone) -> Self {
        Self { format, zone, first: None }
    }

    /// The time at a line's beginning, with the space behind it; empty where times are not wanted.
    pub(crate) fn prefix(&mut self, time: Option<&Timestamp>) -> String {
        if self.format == TimeFormat::None {
            return String::new();
        }
        let Some(time) = time else { return "- ".to_owned() };
        if self.format == TimeFormat::Relative {
            let first = self.first.get_or_insert(*time);
            let nanos = nanos(time) - nanos(first);
            let sign = if nanos < 0 { '-' } else { '+' };
            let millis = nanos.unsigned_abs() / 1_000_000;
            return format!("{sign}{}.{:03} ", millis / 1_000, millis % 1_000);
        }
        format!("{} ", self.text(time))
    }

    /// A time in the midst of a line.
    pub(crate) fn text(&self, time: &Timestamp) -> String {
        let Some(instant) = instant(time) else { return "-".to_owned() };
        match self.format {
            TimeFormat::Rfc3339 => format!("{instant:.6}"),
            TimeFormat::Time | TimeFormat::Relative | TimeFormat::None => {
                instant.to_zoned(self.zone.clone()).strftime("%H:%M:%S.%3f").to_string()
            }
        }
    }

    /// A time with its date, to the second.
    pub(crate) fn date(&self, time: &Timestamp) -> String {
        let Some(instant) = instant(time) else { return "-".to_owned() };
        instant.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
}

/// A time in nanoseconds since 1970.
pub(crate) fn nanos(time: &Timestamp) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
}

/// From one time to another in nanoseconds; 0 where the order is the other one.
pub(crate) fn between(from: &Timestamp, to: &Timestamp) -> u64 {
    u64::try_from(nanos(to) - nanos(from)).unwrap_or(0)
}

/// The time plus a duration.
pub(crate) fn after(time: &Timestamp, ns: u64) -> Timestamp {
    let sum = nanos(time) + i128::from(ns);
    Timestamp { seconds: (sum.div_euclid(1_000_000_000)) as i64, nanos: sum.rem_euclid(1_000_000_000) as i32 }
}

fn instant(time: &Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::new(time.seconds, time.nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp { seconds: 1_769_847_123, nanos: 114_159_265 };

    fn clock(format: TimeFormat) -> Clock {
        Clock::new(format, TimeZone::UTC)
    }

    #[test]
    fn times_in_every_format() {
        assert_eq!(clock(TimeFormat::Time).prefix(Some(&AT)), "08:12:03.114 ");
        assert_eq!(clock(TimeFormat::Rfc3339).prefix(Some(&AT)), "2026-01-31T08:12:03.114159Z ");
        assert_eq!(clock(TimeFormat::None).prefix(Some(&AT)), "");
        assert_eq!(clock(TimeFormat::Time).prefix(None), "- ");
        assert_eq!(clock(TimeFormat::Time).date(&AT), "2026-01-31 08:12:03");
        let mut relative = clock(TimeFormat::Relative);
        assert_eq!(relative.prefix(Some(&AT)), "+0.000 ");
        assert_eq!(relative.prefix(Some(&after(&AT, 1_204_000_000))), "+1.204 ");
        assert_eq!(relative.prefix(Some(&Timestamp { seconds: AT.seconds - 1, ..AT })), "-1.000 ");
    }

    #[test]
    fn a_time_beyond_the_calendar_is_no_time() {
        let wild = Timestamp { seconds: i64::MAX, nanos: -1 };
        assert_eq!(clock(TimeFormat::Time).prefix(Some(&wild)), "- ");
        assert_eq!(between(&wild, &AT), 0);
    }
}
