//! Durations, sizes and shares in units that fit, with two digits or all before the point.

const NS_PER_US: u64 = 1_000;
const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000_000_000;

/// A duration: `850 ns`, `142 µs`, `1.2 s`, `2 min 5 s`, `3 h 10 min`, `2 d 4 h`.
pub(crate) fn duration(ns: u64) -> String {
    // What would be rounded to 1000 of a unit is one of the next.
    if ns < NS_PER_US {
        return format!("{ns} ns");
    }
    if ns < NS_PER_MS - NS_PER_US / 2 {
        return figure(ns, NS_PER_US, "µs");
    }
    if ns < NS_PER_S - NS_PER_MS / 2 {
        return figure(ns, NS_PER_MS, "ms");
    }
    if ns < 60 * NS_PER_S - NS_PER_S / 2 {
        return figure(ns, NS_PER_S, "s");
    }
    let seconds = ns.saturating_add(NS_PER_S / 2) / NS_PER_S;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, _) => two(minutes, "min", seconds % 60, "s"),
        (0, ..) => two(hours, "h", minutes % 60, "min"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

/// A size: `512 B`, `4.1 KiB`, `300 KiB`, `1.5 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut unit = 1_u64 << 10;
    let mut name = UNITS[0];
    for (at, next) in UNITS.iter().enumerate().skip(1) {
        let larger = 1_u64 << (10 * (at + 1));
        if bytes < larger - unit / 2 {
            break;
        }
        (unit, name) = (larger, next);
    }
    figure(bytes, unit, name)
}

/// A share in percent: `0`, `0.03%`, `4.2%`, `37%`; `-` where there is no whole.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let percent = part as f64 * 100.0 / whole as f64;
    match percent {
        _ if part == 0 => "0".to_owned(),
        p if p < 0.005 => "<0.01%".to_owned(),
        p if p < 0.095 => format!("{p:.2}%"),
        p if p < 9.95 => format!("{p:.1}%"),
        p => format!("{p:.0}%"),
    }
}

/// The same figure without its space, for a table.
pub(crate) fn tight(text: &str) -> String {
    text.replace(' ', "")
}

/// `count` of a thing, with the thing in the plural unless there is one.
pub(crate) fn plural(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

fn figure(value: u64, unit: u64, name: &str) -> String {
    let figure = value as f64 / unit as f64;
    if figure < 9.95 { format!("{figure:.1} {name}") } else { format!("{figure:.0} {name}") }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_unit_that_fits() {
        let cases = [
            (0, "0 ns"),
            (850, "850 ns"),
            (1_000, "1.0 µs"),
            (9_949, "9.9 µs"),
            (9_960, "10 µs"),
            (142_300, "142 µs"),
            (999_499, "999 µs"),
            (999_500, "1.0 ms"),
            (12_400_000, "12 ms"),
            (999_600_000, "1.0 s"),
            (1_234_000_000, "1.2 s"),
            (59_600_000_000, "1 min"),
            (125_000_000_000, "2 min 5 s"),
            (11_400_000_000_000, "3 h 10 min"),
            (187_200_000_000_000, "2 d 4 h"),
        ];
        for (ns, text) in cases {
            assert_eq!(duration(ns), text, "{ns}");
        }
        assert_eq!(duration(u64::MAX), "213503 d 23 h");
    }

    #[test]
    fn sizes_take_the_unit_that_fits() {
        let cases = [
            (0, "0 B"),
            (1_023, "1023 B"),
            (4_198, "4.1 KiB"),
            (307_200, "300 KiB"),
            (1_048_000, "1023 KiB"),
            (1_048_500, "1.0 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (size, text) in cases {
            assert_eq!(bytes(size), text, "{size}");
        }
    }

    #[test]
    fn shares_keep_small_ones_visible() {
        let cases = [(0, 10, "0"), (1, 100_000, "<0.01%"), (3, 10_000, "0.03%"), (42, 1_000, "4.2%")];
        for (part, whole, text) in cases {
            assert_eq!(percent(part, whole), text);
        }
        assert_eq!((percent(1, 1).as_str(), percent(0, 0).as_str()), ("100%", "-"));
    }
}
