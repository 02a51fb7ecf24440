//! Which format a client wants, by the headers of its request.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};

use crate::export::metrics::prometheus::Format;

/// The most of a list that is looked at.
const MOST: usize = 32;

/// The format that it likes best of those that there are. Prometheus' text where it likes none, as its own libraries do.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let mut best: Option<(f32, Format)> = None;
    for wanted in list(headers, &ACCEPT).take(MOST) {
        let (range, quality, parameters) = parts(wanted);
        let Some(format) = named(range, &parameters) else { continue };
        // Of two that it likes as much, the first.
        if quality > 0.0 && best.is_none_or(|(of_best, _)| quality > of_best) {
            best = Some((quality, format));
        }
    }
    best.map_or(Format::Text, |(_, format)| format)
}

/// Whether it takes gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    list(headers, &ACCEPT_ENCODING).take(MOST).any(|wanted| {
        let (coding, quality, _) = parts(wanted);
        quality > 0.0 && (coding.eq_ignore_ascii_case("gzip") || coding == "*")
    })
}

fn list<'a>(headers: &'a HeaderMap, name: &'static HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(','))
}

/// A range, how much it is liked, and its parameters.
fn parts(wanted: &str) -> (&str, f32, Vec<(&str, &str)>) {
    let mut words = wanted.split(';').map(str::trim);
    let range = words.next().unwrap_or_default();
    let parameters: Vec<_> = words
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.trim(), unquoted(value)))
        .collect();
    let quality = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case("q"));
    let quality = quality.map_or(1.0, |(_, value)| value.parse().unwrap_or(0.0));
    (range, quality, parameters)
}

fn unquoted(value: &str) -> &str {
    value.trim().trim_matches('"')
}

fn named(range: &str, parameters: &[(&str, &str)]) -> Option<Format> {
    let is = |name: &str, values: &[&str]| {
        let of = parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        of.is_none_or(|(_, value)| values.contains(value))
    };
    match range.to_ascii_lowercase().as_str() {
        "application/vnd.google.protobuf" => {
            let has = is("proto", &["io.prometheus.client.MetricFamily"]) && is("encoding", &["delimited"]);
            has.then_some(Format::Protobuf)
        }
        "application/openmetrics-text" => is("version", &["1.0.0", "0.0.1"]).then_some(Format::OpenMetrics),
        "text/plain" => is("version", &["0.0.4"]).then_some(Format::Text),
        "text/*" | "*/*" => Some(Format::Text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn asked(accept: &'static str) -> Format {
        format(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]))
    }

    #[test]
    fn the_format_that_is_liked_best_is_told() {
        // Prometheus 2.42, with and without native histograms.
        let older = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                     text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(asked(older), Format::OpenMetrics);
        let native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                      application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(asked(native), Format::Protobuf);
        assert_eq!(
            asked("text/plain;q=0.9, application/openmetrics-text; version=\"1.0.0\"; q=0.2"),
            Format::Text
        );
        assert_eq!(asked("text/html, */*;q=0.8"), Format::Text);
        assert_eq!(asked("application/openmetrics-text;version=9"), Format::Text, "none that there is");
        assert_eq!(asked("application/vnd.google.protobuf;q=0"), Format::Text);
        assert_eq!(asked(";;q=,,="), Format::Text);
        assert_eq!(format(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn gzip_is_for_who_takes_it() {
        let takes =
            |value| takes_gzip(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]));
        assert!(takes("gzip") && takes("deflate, GZIP;q=0.5") && takes("*"));
        assert!(!takes("gzip;q=0") && !takes("br") && !takes_gzip(&HeaderMap::new()));
    }
}
