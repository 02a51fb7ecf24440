//! Which format a client wants, by the headers of its request.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};

use crate::export::metrics::prometheus::Format;

/// The most of a list that is looked at.
const MOST: usize = 32;

/// The format that it likes best of those that there are. Prometheus' text where it likes none, as its own libraries do.
pub(super) fn format(headers: &HeaderMap) -> Format {
    // Of each format how it is called most closely, how much it is liked by that name, and where that stands.
    let mut liked: Vec<(Format, Closeness, f32)> = Vec::new();
    for wanted in list(headers, &ACCEPT).take(MOST) {
        let (range, quality, parameters) = parts(wanted);
        let Some((format, closeness)) = named(range, &parameters) else { continue };
        match liked.iter_mut().find(|(known, ..)| *known == format) {
            Some(known) if known.1 < closeness => *known = (format, closeness, quality),
            Some(_) => {}
            None => liked.push((format, closeness, quality)),
        }
    }
    // Of two that it likes as much, the first.
    let best = liked.into_iter().filter(|(.., quality)| *quality > 0.0).rev();
    best.max_by(|(.., one), (.., other)| one.total_cmp(other)).map_or(Format::Text, |(format, ..)| format)
}

/// Whether it takes gzip: what it says of that by its name counts before what it says of all.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let named = |name: &str| {
        let mut all = list(headers, &ACCEPT_ENCODING).take(MOST).map(parts);
        all.find(|(coding, ..)| coding.eq_ignore_ascii_case(name)).map(|(_, quality, _)| quality > 0.0)
    };
    named("gzip").or_else(|| named("*")).unwrap_or(false)
}

/// How closely a range names a format; what names it more closely decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Closeness {
    /// `*/*`
    Any,
    /// `text/*`
    Type,
    Name,
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

fn named(range: &str, parameters: &[(&str, &str)]) -> Option<(Format, Closeness)> {
    let is = |name: &str, values: &[&str]| {
        let of = parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        of.is_none_or(|(_, value)| values.contains(value))
    };
    let format = match range.to_ascii_lowercase().as_str() {
        "application/vnd.google.protobuf" => {
            let has = is("proto", &["io.prometheus.client.MetricFamily"]) && is("encoding", &["delimited"]);
            has.then_some(Format::Protobuf)
        }
        // What is written is 1.0.0, which a client that only knows 0.0.1 may not read.
        "application/openmetrics-text" => is("version", &["1.0.0"]).then_some(Format::OpenMetrics),
        "text/plain" => is("version", &["0.0.4"]).then_some(Format::Text),
        "text/*" => return Some((Format::Text, Closeness::Type)),
        "*/*" => return Some((Format::Text, Closeness::Any)),
        _ => None,
    };
    format.map(|format| (format, Closeness::Name))
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
        // What is named more closely decides, wherever it stands.
        let openmetrics = "application/openmetrics-text;q=0.5";
        for text in ["text/plain;q=0.1, text/*;q=0.9", "*/*, text/plain;q=0.1"] {
            let asked = format(&HeaderMap::from_iter([(
                ACCEPT,
                HeaderValue::from_str(&[text, openmetrics].join(", ")).unwrap(),
            )]));
            assert_eq!(asked, Format::OpenMetrics, "{text}");
        }
        assert_eq!(asked("application/openmetrics-text;version=0.0.1"), Format::Text);
        assert_eq!(format(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn gzip_is_for_who_takes_it() {
        let takes =
            |value| takes_gzip(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]));
        assert!(takes("gzip") && takes("deflate, GZIP;q=0.5") && takes("*"));
        assert!(!takes("*;q=1, gzip;q=0") && takes("*;q=0, gzip"));
        assert!(!takes("gzip;q=0") && !takes("br") && !takes_gzip(&HeaderMap::new()));
    }
}
