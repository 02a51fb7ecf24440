//! Tests of exporters' tables: what they mean, and what is said of wrong ones.

use std::time::Duration;

use observer_proto::v1::PortRange;
use toml::de::DeTable;

use super::select::Selection;
use super::*;
use crate::event::EventType;
use crate::export::{HttpFiles, Label, MetricSettings, metrics};

fn read(text: &str) -> Result<Exporters, String> {
    let told = |refused: Refused| {
        let line = 1 + text[..refused.at.start].matches('\n').count();
        format!("{line}: {}: {}", refused.key, refused.message)
    };
    Exporters::read(DeTable::parse(text).unwrap().into_inner()).map_err(told)
}

fn json(text: &str) -> Json {
    let exporters = read(&format!("[json.a]\npath = '/a/b'\n{text}")).unwrap();
    exporters.json.into_values().next().unwrap()
}

#[test]
fn nothing_is_exported_unless_that_is_asked_for() {
    assert_eq!(read("").unwrap(), Exporters::default());
}

#[test]
fn lines_go_to_a_file_with_bounds() {
    let plain = json("");
    assert_eq!(plain.path, Place::File("/a/b".into()));
    assert_eq!((plain.events, plain.incidents, plain.summaries), (true, true, false));
    assert_eq!(
        (plain.max_bytes, plain.max_age, plain.max_files),
        (Some(100 << 20), Some(Duration::from_hours(24)), 5)
    );
    let bounded = json("max_bytes = 65536\nmax_age = '10s'\nmax_files = 2\nevents = false");
    assert_eq!(
        (bounded.max_bytes, bounded.max_age, bounded.max_files),
        (Some(65_536), Some(Duration::from_secs(10)), 2)
    );
    let open = json("max_bytes = 'off'\nmax_age = 'off'");
    assert_eq!((open.max_bytes, open.max_age), (None, None));
    let output = read("json.out = { path = '-' }").unwrap();
    assert_eq!(output.json.values().next().unwrap().path, Place::Output);
}

#[test]
fn filters_are_the_command_lines_words() {
    let json = json(
        "allow = { namespace = 'shop', type = ['tcp_reset', 'oom_kill'], port = [443, '8000-8999'] }\n\
         deny = [{ pod = '/probe' }, { type = 'tcp_connect' }]",
    );
    let Selection { allow, deny } = json.selection();
    assert_eq!(allow.len(), 1);
    assert_eq!(allow[0].namespaces, ["shop"]);
    assert_eq!(allow[0].types, [EventType::TcpReset as i32, EventType::OomKill as i32]);
    let ranges = [PortRange { first: 443, last: 443 }, PortRange { first: 8000, last: 8999 }];
    assert_eq!(allow[0].port_ranges, ranges);
    assert_eq!(deny.len(), 2);
    // Of all filters only what summaries and incidents have.
    json.selection().summaries().unwrap();
    json.selection().incidents().unwrap();
}

#[test]
fn messages_go_to_syslog_or_the_journal() {
    let of = |address: &str| {
        let read = read(&format!("syslog.a = {{ address = '{address}' }}"));
        read.map(|exporters| exporters.syslog.into_values().next().unwrap())
    };
    let plain = of("/dev/log").unwrap();
    assert_eq!(plain.address, Address::Unix("/dev/log".into()));
    assert_eq!((plain.facility, plain.min_severity), (Facility::Daemon, Severity::Notice));
    for address in
        ["journal", "journal:///a/b", "/a", "udp://10.0.0.1:514", "tcp://[::1]:601", "tcp://log.host:601"]
    {
        assert_eq!(of(address).unwrap().address.to_string(), address);
    }
    for address in
        ["", "log", "udp://host", "tcp://host:0", "tcp://:601", "tcp://user@host:601", "http://host:1"]
    {
        let error = of(address).unwrap_err();
        assert!(error.starts_with(&format!("1: syslog.a.address: `{address}` is not allowed")), "{error}");
    }
    let error = read("[syslog.a]\naddress = '/a'\nfacility = 'local9'").unwrap_err();
    assert!(error.starts_with("3: syslog.a.facility: unknown variant `local9`, expected one of "), "{error}");
    let error = read("[syslog.a]\naddress = '/a'\nmin_severity = 'debug'").unwrap_err();
    assert!(error.contains("expected one of `err`, `warning`, `notice`, `info`"), "{error}");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let wrong = [
        (
            "[json.a]\npath = 'b'",
            "2: json.a.path: `b` is not allowed; allowed are the absolute path of a file",
        ),
        ("[json.a]\npath = '/b'\nsize = 3", "3: json.a: unknown field `size`, expected one of "),
        ("[json.a]\npath = '/b'\nmax_bytes = '1MB'", "3: json.a.max_bytes: `1MB` is not allowed; allowed"),
        ("[json.a]\npath = '/b'\nmax_age = '1d'", "3: json.a.max_age: `1d` is not allowed; allowed are dur"),
        ("[json.a]\npath = '/b'\nmax_files = 1", "3: json.a.max_files: 1 is not allowed; allowed are whole"),
        ("[json.a]\n", "1: json.a: missing field `path`"),
        ("[json.'a b']\npath = '/b'", "1: json: the name \"a b\" is not allowed"),
        (
            "\n[json.a]\npath = '/b'\nallow = { port = 0 }",
            "4: json.a.allow: port: `0` is not allowed; allowed are 1 to 65535",
        ),
        ("[json.a]\npath = '/b'\nallow = { typ = 'x' }", "3: json.a.allow"),
        ("[json.a]\npath = '/b'\nallow = { type = 'x' }", "3: json.a.allow: type: `x` is not allowed"),
        ("[json.a]\npath = '/b'\nallow = {}", "3: json.a.allow: filter: an empty filter is not allowed"),
        (
            "\n[json.a]\npath = '/b'\nevents = false\nincidents = false",
            "2: json.a: it would write nothing: set one of",
        ),
        ("[json.a]\npath = '/b'\n[json.c]\npath = '/b'", "3: json.c: json.a writes to the same file"),
        ("[json.a]\npath = '/b'\n[json.c]\npath = '/c/./../b'", "3: json.c: json.a writes to the same file"),
        ("[json.a]\npath = '/b'\n[json.c]\npath = '/b.12'", "3: json.c: json.a moves its older files there"),
        (
            "[json.a]\npath = '/b.1'\n[json.c]\npath = '/b'",
            "3: json.c: its older files would be moved to the file of json.a",
        ),
        ("json = 3", "1: json: invalid type: integer `3`"),
    ];
    for (text, words) in wrong {
        let error = read(text).unwrap_err();
        assert!(error.starts_with(words), "{text}\n{error}");
    }
}

#[test]
fn metrics_have_labels_and_bounds() {
    assert_eq!(read("").unwrap().metrics.settings(), MetricSettings::default());
    let text = "[metrics]\nlabels = ['workload', 'namespace', 'peer']\nmax_series = 500\ngone_after = '10s'\n\
                native_histograms = false\n[metrics.label]\nobserver_tcp_resets_total = []\n";
    let settings = read(text).unwrap().metrics.settings();
    assert_eq!((settings.max_series, settings.gone_after), (500, Duration::from_secs(10)));
    assert!(!settings.native_histograms);
    let of = |name: &str| settings.labels(metrics().find(|metric| metric.name == name).unwrap());
    let own = [Label::Namespace, Label::Workload];
    assert_eq!(of("observer_tcp_io_bytes_total"), [&own[..], &[Label::Peer]].concat());
    assert_eq!(of("observer_process_execs_total"), own, "processes have no peer");
    assert!(of("observer_tcp_resets_total").is_empty());
}

#[test]
fn wrong_labels_and_names_of_metrics_are_told_where_they_stand() {
    let told = |text: &str| read(text).unwrap_err();
    let wrong = told("\n[metrics]\nlabels = ['namespace', 'node']");
    assert!(
        wrong.starts_with("3: metrics.labels: `node` is no label; there are namespace, workload,"),
        "{wrong}"
    );
    let wrong = told("[metrics.label]\nobserver_up = ['pod']");
    assert!(wrong.contains("`observer_up` is no metric of workloads"), "{wrong}");
    let wrong = told("[metrics.label]\nobserver_events_total = ['pod']");
    assert!(wrong.contains("is no metric of workloads"), "{wrong}");
    let wrong = told("[metrics.label]\nobserver_process_execs_total = ['peer']");
    assert!(wrong.starts_with("1: metrics: observer_process_execs_total has no label peer"), "{wrong}");
    assert!(told("[metrics]\nmax_series = 99").contains("from 100 to 1000000"));
    assert!(told("[metrics]\ngone_after = '1s'").contains("durations from 10s to 24h"));
    assert!(told("[metrics]\nseries = 1").contains("unknown field `series`"));
}

#[test]
fn certificates_of_http_go_together() {
    assert_eq!(read("[http]\ninsecure = true").unwrap().http.files(), None);
    let files = read("[http]\ntls_cert = 'c'\ntls_key = 'k'\ntls_client_ca = 'a'").unwrap().http.files();
    let ca = Some("a".into());
    assert_eq!(files, Some(HttpFiles { cert: "c".into(), key: "k".into(), client_ca: ca }));
    let wrong = read("\n[http]\ntls_cert = 'c'").unwrap_err();
    assert!(wrong.starts_with("2: http: tls_cert and tls_key go together"), "{wrong}");
    assert!(read("[http]\ntls_client_ca = 'a'").unwrap_err().contains("needs tls_cert"));
}
