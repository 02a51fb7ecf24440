//! Tests of the settings of OTLP: presets, and what is said of wrong ones.

use super::*;
use crate::config::exporters::Exporters;

fn read(text: &str) -> Result<Otlp, String> {
    let table = toml::de::DeTable::parse(text).unwrap().into_inner();
    let exporters =
        Exporters::read(table).map_err(|refused| format!("{}: {}", refused.key, refused.message))?;
    Ok(exporters.otlp.into_values().next().unwrap())
}

#[test]
fn presets() {
    let plain = |signals: Signals| [signals.metrics, signals.logs, signals.traces];
    let collector = read("[otlp.a]\npreset = 'collector'").unwrap();
    let receiver = collector.receiver().unwrap();
    assert_eq!(
        (receiver.endpoint.to_string(), receiver.protocol),
        ("http://127.0.0.1:4317/".into(), Protocol::Grpc)
    );
    assert!(receiver.gzip && plain(collector.signals()) == [true; 3]);
    assert_eq!(collector.temporality(), Temporality::Cumulative);
    let jaeger = read("[otlp.a]\npreset = 'jaeger'\nprotocol = 'http/protobuf'").unwrap();
    assert_eq!(jaeger.receiver().unwrap().endpoint.to_string(), "http://127.0.0.1:4318/");
    assert_eq!(plain(jaeger.signals()), [false, false, true]);
    let lightstep = "[otlp.a]\npreset = 'lightstep'\nheader_files = { lightstep-access-token = '/t' }";
    assert_eq!(plain(read(lightstep).unwrap().signals()), [true, false, true]);
    assert_eq!(plain(read(&format!("{lightstep}\nlogs = true")).unwrap().signals()), [true; 3]);
    let of = [
        ("new-relic", "https://otlp.nr-data.net:443/", "api-key", Protocol::Http),
        ("new-relic-eu", "https://otlp.eu01.nr-data.net:443/", "api-key", Protocol::Http),
        ("lightstep", "https://ingest.lightstep.com:443/", "lightstep-access-token", Protocol::Grpc),
    ];
    for (preset, endpoint, header, protocol) in of {
        let missing = read(&format!("[otlp.a]\npreset = '{preset}'")).unwrap_err();
        assert!(missing.contains("the token is missing") && missing.contains(header), "{missing}");
        let text = format!("[otlp.a]\npreset = '{preset}'\nheader_env = {{ {header} = 'TOKEN' }}");
        let receiver = read(&text).unwrap().receiver().unwrap();
        assert_eq!((receiver.endpoint.to_string(), receiver.protocol), (endpoint.to_owned(), protocol));
        assert_eq!(receiver.secrets[0].0, header);
    }
}

#[test]
fn what_is_wrong_is_said_and_no_secret_with_it() {
    let cases = [
        ("", "endpoint or preset is missing"),
        ("endpoint = 'collector'", "allowed are addresses such as"),
        ("endpoint = 'https://user:hunter2@collector'", "have no place in it"),
        ("endpoint = 'https://collector?token=hunter2'", "has no place in it"),
        ("endpoint = 'http://collector:4317'", "another machine in plain text"),
        ("endpoint = 'https://collector/otlp'", "gRPC has no path"),
        ("preset = 'collector'\ntls_ca = '/ca.pem'", "are for https:// alone"),
        ("endpoint = 'https://c'\ntls_key = '/key.pem'", "belong together"),
        ("endpoint = 'https://c'\ntls_server_name = 'a b'", "is no name of a host"),
        ("preset = 'honeycomb'", "unknown variant `honeycomb`"),
        ("preset = 'lightstep'\nprotocol = 'http/protobuf'", "leave it out for gRPC"),
        ("preset = 'jaeger'\ntraces = false", "it would send nothing"),
        ("preset = 'jaeger'\nmetrics = true", "metrics = true is not allowed: jaeger takes traces alone"),
        ("preset = 'jaeger'\nlogs = true", "logs = true is not allowed: jaeger takes traces alone"),
        ("preset = 'collector'\nlabels = ['node']", "namespace, workload"),
        ("preset = 'collector'\nheaders = { 'content-type' = 'x' }", "is not allowed as a header's name"),
        (
            "preset = 'collector'\nheaders = { a = 'x' }\nheader_env = { A = 'X' }",
            "the header a is there twice",
        ),
        ("preset = 'collector'\nheaders = { a = \"hunter2\\n\" }", "allowed are lines of text"),
        ("preset = 'collector'\nheaders = { Authorization = 'hunter2' }", "name its file in header_files"),
        ("preset = 'collector'\nheaders = { api-key = 'hunter2' }", "the value of api-key is a secret"),
        ("preset = 'collector'\nheaders = { grpc-encoding = 'x' }", "is not allowed as a header's name"),
        ("preset = 'collector'\ninterval = '10ms'", "allowed are durations from 1s to 1h"),
        ("preset = 'collector'\nqueue_bytes = 'off'", "allowed are sizes from 1MiB to 1GiB"),
        ("preset = 'collector'\nports = 1", "unknown field `ports`"),
    ];
    for (text, expected) in cases {
        let error = read(&format!("[otlp.a]\n{text}")).unwrap_err();
        assert!(error.contains(expected) && !error.contains("hunter2"), "{text}: {error}");
    }
    for text in [
        "endpoint = 'http://collector:4317'\ninsecure = true",
        "endpoint = 'https://collector/otlp'\nprotocol = 'http/protobuf'\nslow_rtt = 'off'\ntemporality = 'delta'",
        "preset = 'new-relic'\nendpoint = 'http://localhost:1'",
        "preset = 'collector'\nallow = { failure_only = true }\nlabels = 'namespace'",
    ] {
        read(&format!("[otlp.a]\n{text}")).unwrap();
    }
}

#[test]
fn the_examples_of_the_docs_are_settings() {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/otlp.md"));
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 5, "{}", examples.len());
    for example in examples {
        read(example).unwrap();
    }
}
