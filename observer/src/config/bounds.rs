//! The bounds of every number in the configuration, in one table, and the numbers' spelling.

use std::time::Duration;

use super::{Error, Settings};

/// What a number counts; decides how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Things.
    Count,
    /// Bytes, a power of two.
    RingBytes,
    /// Bytes.
    Bytes,
    /// Whole seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// What one key allows.
struct Bound {
    key: &'static str,
    unit: Unit,
    min: u64,
    max: u64,
    default: u64,
}

const fn bound(key: &'static str, unit: Unit, min: u64, max: u64, default: u64) -> Bound {
    Bound { key, unit, min, max, default }
}

const BOUNDS: [Bound; 29] = [
    bound("window", Unit::Seconds, 1, 3_600, 10),
    bound("process_ring_bytes", Unit::RingBytes, 4 << 10, 1 << 30, 4 << 20),
    bound("network_ring_bytes", Unit::RingBytes, 4 << 10, 1 << 30, 16 << 20),
    bound("event_budget", Unit::Count, 0, 10_000_000, 40_000),
    bound("history_bytes", Unit::Bytes, 0, 1 << 40, 32 << 20),
    bound("record_bytes", Unit::Bytes, 16 << 20, 1 << 40, 256 << 20),
    bound("record_age", Unit::Seconds, 60, 8_760 * 3_600, 24 * 3_600),
    bound("max_memory", Unit::Bytes, 40 << 20, 1 << 40, 128 << 20),
    bound("max_workloads", Unit::Count, 1, 1_000_000, 10_000),
    bound("max_cluster_objects", Unit::Count, 1, 10_000_000, 50_000),
    bound("max_connections", Unit::Count, 1, 10_000_000, 200_000),
    bound("max_edges", Unit::Count, 1, 10_000_000, 50_000),
    bound("attribution_hold", Unit::Milliseconds, 0, 10_000, 1_000),
    bound("crash_loop_ends", Unit::Count, 2, 20, 3),
    bound("crash_loop_window", Unit::Seconds, 1, 3_600, 600),
    bound("trigger_connect_failures", Unit::Count, 2, 1_000_000, 10),
    bound("trigger_lost_percent", Unit::Count, 1, 100, 5),
    bound("trigger_resets", Unit::Count, 2, 1_000_000, 20),
    bound("trigger_latency_factor", Unit::Count, 2, 1_000, 3),
    bound("trigger_unaccepted", Unit::Milliseconds, 1_000, 3_600_000, 3_000),
    bound("trigger_unread", Unit::Milliseconds, 1_000, 3_600_000, 15_000),
    bound("trigger_start_up", Unit::Seconds, 0, 3_600, 60),
    bound("trigger_cool_down", Unit::Seconds, 0, 86_400, 600),
    bound("incident_before", Unit::Seconds, 0, 3_600, 300),
    bound("incident_after", Unit::Seconds, 1, 3_600, 60),
    bound("subscriber_queue", Unit::Count, 1, 1_000_000, 8_192),
    bound("subscriber_queue_bytes", Unit::Bytes, 64 << 10, 1 << 40, 16 << 20),
    bound("max_client_streams", Unit::Count, 1, 100_000, 256),
    bound("max_client_calls", Unit::Count, 1, 1_000_000, 500),
];

/// The number that was given for a key of the table, else its default.
pub(crate) fn number(settings: &Settings, key: &'static str) -> Result<u64, Error> {
    // A key that is not in the table has no default: a test asks for each.
    let Some(bound) = BOUNDS.iter().find(|bound| bound.key == key) else { return Ok(0) };
    let Some(setting) = settings.get(key) else { return Ok(bound.default) };
    let text = setting.single(&bound.allowed())?;
    bound.parse(text).ok_or_else(|| setting.refused(text, bound.allowed()))
}

impl Bound {
    fn parse(&self, text: &str) -> Option<u64> {
        let value = match self.unit {
            Unit::Count => parse_count(text)?,
            Unit::RingBytes => parse_bytes(text).filter(|bytes| bytes.is_power_of_two())?,
            Unit::Bytes => parse_bytes(text)?,
            Unit::Seconds => {
                let duration = parse_duration(text)?;
                if duration.subsec_nanos() != 0 {
                    return None;
                }
                duration.as_secs()
            }
            Unit::Milliseconds => u64::try_from(parse_duration(text)?.as_millis()).ok()?,
        };
        (self.least()..=self.max).contains(&value).then_some(value)
    }

    /// A ring is made of whole pages, which are larger than 4 KiB on some machines.
    fn least(&self) -> u64 {
        match self.unit {
            Unit::RingBytes => self.min.max(rustix::param::page_size() as u64),
            Unit::Count | Unit::Bytes | Unit::Seconds | Unit::Milliseconds => self.min,
        }
    }

    fn allowed(&self) -> String {
        let (min, max) = (self.least(), self.max);
        match self.unit {
            Unit::Count => format!("a whole number from {min} to {max}"),
            Unit::RingBytes => format!(
                "a power of two from {} to {}, such as `{}`",
                bytes_text(min),
                bytes_text(max),
                bytes_text(self.default)
            ),
            Unit::Bytes => {
                format!(
                    "a size from {} to {}, such as `{}`",
                    bytes_text(min),
                    bytes_text(max),
                    bytes_text(self.default)
                )
            }
            Unit::Seconds => {
                format!("whole seconds from {min}s to {}h, such as `{}s`", max / 3_600, self.default)
            }
            Unit::Milliseconds => {
                format!(
                    "a duration from {min}s to {}s, such as `500ms` or `{}s`",
                    max / 1_000,
                    self.default / 1_000
                )
            }
        }
    }
}

/// A number; `_` may group its digits.
fn parse_count(text: &str) -> Option<u64> {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    if digits.starts_with('+') { None } else { digits.parse().ok() }
}

/// A size: bytes, or with one of `KiB`, `MiB`, `GiB` behind it.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];
    let (digits, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
        .unwrap_or((text, 1));
    parse_count(digits.trim_end())?.checked_mul(factor)
}

pub(crate) fn bytes_text(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 30) => format!("{}GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        _ => bytes.to_string(),
    }
}

/// A duration: a whole number and one of `ns`, `us`, `ms`, `s`, `m`, `h`; or `0`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let number = parse_count(digits)?;
    match unit.trim_start() {
        "ns" => Some(Duration::from_nanos(number)),
        "us" | "µs" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3_600).map(Duration::from_secs),
        "" if number == 0 => Some(Duration::ZERO),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("10s"), Some(Duration::from_secs(10)));
        assert_eq!(parse_duration("500 ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Some(Duration::from_mins(2)));
        assert_eq!(parse_duration("0"), Some(Duration::ZERO));
        for wrong in ["", "10", "s", "-1s", "1.5s", "1d", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_may_have_a_unit() {
        assert_eq!(parse_bytes("8MiB"), Some(8 << 20));
        assert_eq!(parse_bytes("4096"), Some(4096));
        assert_eq!(parse_bytes("1 GiB"), Some(1 << 30));
        for wrong in ["8MB", "MiB", "8M", "-1", "99999999999GiB"] {
            assert_eq!(parse_bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_default_is_within_its_bounds() {
        for bound in &BOUNDS {
            assert!((bound.least()..=bound.max).contains(&bound.default), "{}", bound.key);
            assert!(super::super::KEYS.contains(&bound.key), "{}", bound.key);
        }
    }
}
