//! The table itself, and the reference page that is made from it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use expect_test::expect_file;

use super::*;
use crate::export::metrics::labels::LABELS;

#[test]
fn names_follow_the_conventions() {
    let mut names = BTreeSet::new();
    for metric in metrics() {
        let Metric { name, otel, kind, unit, help, told, .. } = metric;
        assert!(names.insert(*name) && names.insert(*otel), "{name} and {otel} are told once");
        assert!(
            name.starts_with("observer_") && name.bytes().all(|c| c == b'_' || c.is_ascii_lowercase()),
            "{name}"
        );
        assert!(otel.bytes().all(|c| b"._".contains(&c) || c.is_ascii_lowercase()), "{otel}");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        assert_eq!(name.ends_with("_info"), *kind == Kind::Info, "{name}");
        let stem = name.trim_end_matches("_total");
        for (unit_of, suffix) in [(Unit::Seconds, "_seconds"), (Unit::Bytes, "_bytes")] {
            assert_eq!(stem.ends_with(suffix), *unit == unit_of, "{name}");
        }
        // A classic histogram's series end so.
        assert!(!["_count", "_sum", "_bucket"].iter().any(|suffix| name.ends_with(suffix)), "{name}");
        assert!(help.ends_with('.') && !help.contains('\n') && !told.is_empty(), "{name}");
        if let Some(word) = unit.suffix() {
            assert!(help.contains(&format!("in {word}")), "the help of {name} says its unit");
        }
        assert!(
            metric
                .by
                .iter()
                .all(|own| LABELS.iter().all(|label| label.name() != own.label) || own.label == "port")
        );
    }
}

#[test]
fn classic_buckets_end_where_ours_do() {
    for metric in metrics().filter(|metric| matches!(metric.kind, Kind::Histogram { .. })) {
        let powers: Vec<_> = metric.powers().collect();
        assert!((10..30).contains(&powers.len()), "{}: {powers:?}", metric.name);
        assert_eq!(metric.unit, Unit::Seconds);
    }
}

type IsIn = fn(&Figure) -> bool;

/// docs/metrics.md, as the table has it; `UPDATE_EXPECT=1` writes it anew.
#[test]
fn the_reference_page_is_made_from_the_table() {
    let mut page = include_str!("page.md").to_owned();
    page.push_str(
        "\n## Labels that may be asked for\n\n| label | OpenTelemetry | what | for |\n|---|---|---|---|\n",
    );
    for label in LABELS {
        let scope = if label.is_of_edge() { "figures of connections" } else { "all figures of workloads" };
        let (name, attribute) = (label.name(), label.attribute());
        writeln!(page, "| `{name}` | `{attribute}` | {} | {scope} |", label.help()).unwrap();
    }
    let sections: [(&str, IsIn); 4] = [
        ("Connections", |figure| matches!(figure, Figure::Tcp(_))),
        ("Listeners", |figure| matches!(figure, Figure::Listening(_))),
        ("Processes and containers", |figure| matches!(figure, Figure::Processes(_) | Figure::Listed(_))),
        ("The observer itself", |figure| matches!(figure, Figure::Own(_))),
    ];
    for (title, is_in) in sections {
        write!(page, "\n## {title}\n").unwrap();
        for metric in metrics().filter(|metric| is_in(&metric.figure)) {
            put(&mut page, metric);
        }
    }
    expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")].assert_eq(&page);
}

fn put(page: &mut String, metric: &Metric) {
    let Metric { name, otel, kind, unit, help, told, by, exemplars, figure: _ } = metric;
    let kind = match kind {
        Kind::Counter => "counter".to_owned(),
        Kind::Gauge => "gauge".to_owned(),
        Kind::Info => "information".to_owned(),
        Kind::Histogram { first, last, step } => {
            let each = if *step == 1 { String::new() } else { format!(", each {step}") };
            format!("histogram; classic buckets from 2^{first} to 2^{last} s{each}")
        }
    };
    write!(page, "\n### `{name}`\n\n{help}\n\n- OpenTelemetry: `{otel}`, unit `{}`\n- {kind}\n", unit.ucum())
        .unwrap();
    for Word { label, attribute } in *by {
        writeln!(page, "- label `{label}` (`{attribute}`)").unwrap();
    }
    if *told != "none" {
        writeln!(page, "- in the API: `{told}`").unwrap();
    }
    if !exemplars.is_empty() {
        page.push_str("- exemplars: the newest incident (`incident_id`)\n");
    }
}
