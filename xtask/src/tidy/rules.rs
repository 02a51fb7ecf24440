//! The rules, each a pure function of one file's text.

use std::fmt;

use super::paths::{self, CodePath};
use super::source::Source;

const MOST_LINES: usize = 300;
/// The folders of `observer/src` through which data moves; a later one never serves an earlier one.
const STAGES: [&str; 16] = [
    "probe",
    "decode",
    "inventory",
    "attribute",
    "aggregate",
    "diagnose",
    "trigger",
    "filter",
    "compare",
    "wire",
    "story",
    "record",
    "serve",
    "export",
    "replay",
    "relay",
];
const PURE_STAGES: [&str; 9] =
    ["decode", "attribute", "aggregate", "diagnose", "trigger", "filter", "compare", "wire", "story"];
const EMPTY_NAMES: [&str; 8] =
    ["utils", "util", "common", "helpers", "helper", "manager", "managers", "misc"];
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// One thing that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    place: String,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.what)
    }
}

/// Everything that is wrong with a file.
pub(crate) fn check(source: &Source<'_>) -> Vec<Finding> {
    if source.is_generated() {
        return Vec::new();
    }
    let mut report = Report { source, findings: Vec::new() };
    size_and_first_line(&mut report);
    unfinished(&mut report);
    for path in paths::find(&source.code) {
        foreign_libraries(&path, &mut report);
        module_names(&path, &mut report);
        if let Some(stage) = stage_of(source.path) {
            order_of_stages(stage, &path, &mut report);
            purity(stage, &path, &mut report);
        }
    }
    report.findings
}

struct Report<'source> {
    source: &'source Source<'source>,
    findings: Vec<Finding>,
}

impl Report<'_> {
    fn add(&mut self, line: usize, what: impl Into<String>) {
        let place = format!("{}:{line}", self.source.path);
        self.findings.push(Finding { place, what: what.into() });
    }

    fn add_at(&mut self, offset: usize, what: impl Into<String>) {
        self.add(self.source.line_of(offset), what);
    }
}

fn size_and_first_line(report: &mut Report<'_>) {
    let lines = report.source.text.lines().count();
    if lines > MOST_LINES {
        let what = format!("the file has {lines} lines, {MOST_LINES} are the most; split it by subject");
        report.add(MOST_LINES + 1, what);
    }
    if !report.source.text.starts_with("//! ") {
        report.add(1, "the first line is no `//! `; say in one sentence what the file is for");
    }
}

fn unfinished(report: &mut Report<'_>) {
    let source = report.source;
    // Attributes may hold blanks: `# [ignore]` does not survive rustfmt, so this is enough.
    for (offset, _) in source.code.match_indices("#[ignore") {
        report.add_at(offset, "an ignored test tests nothing; make it pass or remove it");
    }
    for name in UNFINISHED {
        let call = format!("{name}!");
        for (offset, _) in source.code.match_indices(&call) {
            let before = source.code[..offset].chars().next_back();
            if !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_') {
                report.add_at(offset, format!("`{call}` is unfinished work; finish it or take it out"));
            }
        }
    }
}

fn foreign_libraries(path: &CodePath<'_>, report: &mut Report<'_>) {
    let file = report.source.path;
    let first = path.parts[0];
    // A lone `aya` is a library only where it is imported.
    if path.parts.len() == 1 && !["use", "crate"].contains(&path.after) {
        return;
    }
    let kernel_side = ["aya_ebpf", "aya_log_ebpf", "aya_ebpf_bindings"].contains(&first);
    if kernel_side && !file.starts_with("observer-ebpf/probes/") {
        report
            .add_at(path.offset, format!("`{first}` belongs in observer-ebpf/probes alone; move this there"));
    }
    let daemon_side = ["aya", "aya_obj", "aya_log"].contains(&first);
    if daemon_side && !is_within(file, "observer/src/probe") {
        let what = format!("`{first}` belongs in observer/src/probe alone; offer what is needed from there");
        report.add_at(path.offset, what);
    }
}

fn module_names(path: &CodePath<'_>, report: &mut Report<'_>) {
    if path.after == "mod" && EMPTY_NAMES.contains(&path.parts[0]) {
        let what =
            format!("`{}` says nothing about what is in it; name the module for its subject", path.parts[0]);
        report.add_at(path.offset, what);
    }
}

fn order_of_stages(stage: &str, path: &CodePath<'_>, report: &mut Report<'_>) {
    let Some(named) = names_stage(report.source.path, path) else { return };
    let place = |stage: &str| STAGES.iter().position(|one| *one == stage);
    if place(named) > place(stage) {
        let what = format!(
            "`{stage}` names the later stage `{named}`; data moves left to right only: take a value or a closure instead"
        );
        report.add_at(path.offset, what);
    }
}

/// The stage that a path leads to, through `crate` or through as many `super` as lead to the crate's root.
fn names_stage<'code>(file: &str, path: &CodePath<'code>) -> Option<&'code str> {
    let up = path.parts.iter().take_while(|part| **part == "super").count();
    let depth = file.trim_start_matches("observer/src/").trim_end_matches("/mod.rs").split('/').count();
    let named = match path.parts[0] {
        "crate" => path.parts.get(1),
        "super" if up >= depth => path.parts.get(up),
        _ => None,
    };
    named.copied().filter(|name| STAGES.contains(name))
}

fn purity(stage: &str, path: &CodePath<'_>, report: &mut Report<'_>) {
    if !PURE_STAGES.contains(&stage) {
        return;
    }
    let parts = &path.parts[..];
    let remedy = match parts {
        ["std", "fs", ..] => "a file; let inventory read it and pass the value in",
        ["std", "net", "TcpStream" | "TcpListener" | "UdpSocket", ..] => "a socket; let an I/O stage open it",
        ["tokio", ..] if parts.len() > 1 || path.after == "use" => {
            "an asynchronous runtime; let the daemon's loop call it"
        }
        _ if parts.ends_with(&["Instant", "now"]) => "a clock; take `now` as an argument",
        _ if parts.contains(&"SystemTime") => "a clock; take the time as a value of a domain type",
        _ => return,
    };
    let what = format!("`{}` in the pure stage `{stage}` is {remedy}", parts.join("::"));
    report.add_at(path.offset, what);
}

/// The stage that a file belongs to.
fn stage_of(file: &str) -> Option<&'static str> {
    STAGES.into_iter().find(|stage| is_within(file, &format!("observer/src/{stage}")))
}

/// Whether a file is that module or in its folder.
fn is_within(file: &str, module: &str) -> bool {
    file.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
