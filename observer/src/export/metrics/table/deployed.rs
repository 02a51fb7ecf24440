//! What is deployed beside the observer names no metric and no label that does not exist.

use std::collections::BTreeSet;

use itertools::Itertools as _;

use super::*;
use crate::export::metrics::labels::{LABELS, Label};

const DASHBOARD: &str = include_str!("../../../../../deploy/grafana/observer.json");
const RULES: &str = include_str!("../../../../../deploy/prometheus/observer.rules.yml");

/// What Prometheus adds, and what histograms and overflows have.
const OTHER_LABELS: [&str; 4] = ["instance", "job", "le", "overflow"];

/// All expressions of the dashboard and of the rules.
fn expressions() -> Vec<String> {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let of_variables = variables.iter().filter_map(|variable| variable["definition"].as_str());
    let rules: serde_json::Value = serde_saphyr::from_str(RULES).unwrap();
    let groups = rules["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    targets
        .map(|target| target["expr"].as_str().unwrap())
        .chain(of_variables)
        .chain(rules.map(|rule| rule["expr"].as_str().unwrap()))
        .map(str::to_owned)
        .collect()
}

/// The words that a text is made of, with what stands right before each.
fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_of_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let ends =
        move |at: usize| text[at..].find(|letter| !is_of_word(letter)).map_or(text.len(), |end| at + end);
    let begins = move |at: &usize| text[*at..].starts_with(is_of_word) && !text[..*at].ends_with(is_of_word);
    (0..text.len())
        .filter(|at| text.is_char_boundary(*at))
        .filter(begins)
        .map(move |at| (&text[..at], &text[at..ends(at)]))
}

fn named(word: &str) -> Option<&'static Metric> {
    metrics().find(|metric| {
        let is_histogram = matches!(metric.kind, Kind::Histogram { .. });
        let part = word.strip_prefix(metric.name);
        part == Some("") && !is_histogram
            || is_histogram && part.is_some_and(|part| ["_bucket", "_sum", "_count"].contains(&part))
    })
}

#[test]
fn dashboards_and_rules_name_metrics_that_exist() {
    let expressions = expressions();
    assert!(expressions.len() > 40, "{}", expressions.len());
    let mut used = BTreeSet::new();
    for expression in &expressions {
        for (before, word) in words(expression).filter(|(_, word)| word.starts_with("observer_")) {
            let metric = named(word).unwrap_or_else(|| panic!("there is no {word}, of {expression}"));
            used.insert(metric.name);
            let is_rate = ["rate(", "increase("].iter().any(|function| before.ends_with(function));
            let grows = matches!(metric.kind, Kind::Counter | Kind::Histogram { .. });
            let is_listed = before.ends_with("label_values(");
            assert!(grows == is_rate || is_listed, "{word} of {expression}");
        }
    }
    assert!(used.len() > 40, "{used:?}");
    // Texts name them as well.
    for (_, word) in words(RULES).filter(|(_, word)| word.starts_with("observer_") && !word.ends_with('_')) {
        assert!(named(word).is_some(), "there is no {word}");
    }
}

#[test]
fn dashboards_and_rules_name_labels_that_exist() {
    let own = metrics().flat_map(|metric| metric.by).map(|word| word.label);
    let known: BTreeSet<_> = own.chain(LABELS.map(Label::name)).chain(OTHER_LABELS).collect();
    let check =
        |label: &str, whole: &str| assert!(known.contains(label), "there is no label {label}, of {whole}");
    for expression in expressions() {
        for list in expression.split("by (").skip(1) {
            list.split_once(')').unwrap().0.split(',').for_each(|label| check(label.trim(), &expression));
        }
        for selector in expression.split('{').skip(1) {
            let matchers = selector.split_once('}').unwrap().0.split(',');
            let labels = matchers.map(|one| one.split(['=', '!']).next().unwrap().trim());
            labels.for_each(|label| check(label, &expression));
        }
    }
    // Grafana's templates are labels and nothing else.
    templates(DASHBOARD).for_each(|label| check(label, label));
    let of_rules = templates(RULES).flat_map(|template| template.split("$labels.").skip(1));
    let of_rules = of_rules.map(|rest| words(rest).next().unwrap().1).collect_vec();
    assert!(of_rules.len() > 20, "{of_rules:?}");
    for label in of_rules {
        check(label, "the rules' texts");
    }
}

/// What is between double braces.
fn templates(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{").skip(1).map(|template| template.split("}}").next().unwrap().trim())
}

#[test]
fn each_panel_says_what_it_shows() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.iter().map(|panel| &panel["id"]).all_unique());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!panel["title"].as_str().unwrap().is_empty() && !targets.is_empty(), "{panel}");
        assert!(targets.iter().map(|target| &target["refId"]).all_unique(), "{panel}");
    }
}
