//! Tests of the rules: each with text that breaks it and text that only looks so.

use super::*;

fn findings(path: &str, code: &str) -> Vec<String> {
    let text = format!("//! A file.\n{code}\n");
    check(&Source::new(path, &text)).iter().map(ToString::to_string).collect()
}

fn assert_found(path: &str, code: &str, start: &str) {
    let found = findings(path, code);
    assert!(found.len() == 1 && found[0].starts_with(start), "{code}: {found:?}");
}

fn assert_clean(path: &str, code: &str) {
    assert_eq!(findings(path, code), Vec::<String>::new(), "{code}");
}

#[test]
fn a_file_has_a_bound_and_a_purpose() {
    let long = format!("//! A file.\n{}", "\n".repeat(300));
    let found = check(&Source::new("a.rs", &long));
    assert!(
        found.len() == 1 && found[0].to_string().starts_with("a.rs:301: the file has 301 lines"),
        "{found:?}"
    );
    let found = check(&Source::new("a.rs", "// No purpose.\n"));
    assert!(found.len() == 1 && found[0].place == "a.rs:1");
    let generated = format!("// @generated\n{long}");
    assert_eq!(check(&Source::new("a.rs", &generated)), []);
}

#[test]
fn unfinished_work_is_found_in_code_alone() {
    assert_found("a.rs", "fn a() {\n    todo!()\n}", "a.rs:3: `todo!`");
    assert_found("a.rs", "#[ignore = \"slow\"]\nfn a() {}", "a.rs:2: an ignored test");
    assert_found("a.rs", "let a = std::dbg!(b);", "a.rs:2: `dbg!`");
    assert_clean("a.rs", "// todo!() in a comment\nlet a = \"unimplemented!()\"; not_todo!();");
}

#[test]
fn aya_stays_in_its_two_places() {
    assert_found("observer/src/daemon.rs", "use aya::Ebpf;", "observer/src/daemon.rs:2: `aya`");
    assert_found("observer/src/daemon.rs", "use aya;", "observer/src/daemon.rs:2: `aya`");
    assert_found(
        "observer/src/a.rs",
        "let l = aya_log::EbpfLogger::init();",
        "observer/src/a.rs:2: `aya_log`",
    );
    assert_found("observer-ebpf/src/lib.rs", "use aya_ebpf::maps;", "observer-ebpf/src/lib.rs:2: `aya_ebpf`");
    assert_clean("observer/src/probe/load.rs", "use aya::Ebpf;");
    assert_clean("observer/src/probe.rs", "let e = aya::Ebpf::load(b);");
    assert_clean("observer-ebpf/probes/tcp.rs", "use aya_ebpf::maps::RingBuf;");
    assert_clean("observer/src/daemon.rs", "// aya::Ebpf\nlet aya = 1;");
}

#[test]
fn an_earlier_stage_never_names_a_later_one() {
    let place = "observer/src/decode/tcp.rs:2: `decode` names the later stage `serve`";
    assert_found("observer/src/decode/tcp.rs", "use crate::serve;", place);
    assert_found("observer/src/decode/tcp.rs", "fn a() -> crate::serve::Wire {}", place);
    assert_found("observer/src/decode/tcp.rs", "use crate::{event::Event, serve::wire};", place);
    assert_found("observer/src/decode/tcp.rs", "use super::super::serve::Wire;", place);
    assert_clean("observer/src/serve/wire.rs", "use crate::{aggregate::Summary, decode};");
    assert_clean("observer/src/decode/tcp.rs", "use super::serve;");
    assert_clean("observer/src/daemon.rs", "use crate::{probe, serve};");
    assert_clean("observer/src/decode.rs", "use crate::served;");
    let place = "observer/src/filter.rs:2: `filter` names the later stage `serve`";
    assert_found("observer/src/filter.rs", "use crate::serve::wire;", place);
    assert_clean("observer/src/serve/service.rs", "use crate::filter::Filters;");
}

#[test]
fn a_grouped_import_is_reported_at_its_own_line() {
    let code = "use crate::{\n    event::Event,\n    record,\n};";
    assert_found("observer/src/attribute.rs", code, "observer/src/attribute.rs:4:");
}

#[test]
fn a_pure_stage_reads_no_clock_file_or_socket() {
    for code in [
        "use std::fs;",
        "use std::{collections::HashMap, fs::File};",
        "let a = std::net::TcpStream::connect(b);",
        "let now = Instant::now();",
        "use std::time::{Duration, SystemTime};",
        "async fn a() { tokio::spawn(b) }",
    ] {
        assert_found("observer/src/aggregate/window.rs", code, "observer/src/aggregate/window.rs:2: ");
        assert_clean("observer/src/inventory/cgroupfs.rs", code);
    }
    assert_clean(
        "observer/src/aggregate/window.rs",
        "use std::net::IpAddr;\nuse std::time::{Duration, Instant};",
    );
}

#[test]
fn a_module_is_named_for_its_subject() {
    assert_found("a/lib.rs", "pub mod utils;", "a/lib.rs:2: `utils`");
    assert_clean("a/lib.rs", "mod tests { use super::common; }");
}
