//! Tests of the command line as a whole.

use clap::{CommandFactory as _, Parser as _};

use super::*;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_commands_of_the_documentation_parse() {
    for line in [
        "observer daemon --listen unix:///run/o.sock --cri-endpoint unix:///run/c.sock --config /etc/o.toml",
        "observer events -n shop --not --port 53",
        "observer events -f -t tcp_connect_failure --failure-only -o json --server unix:///tmp/o.sock",
        "observer summary -f --window 1s --sort retransmits --color never",
        "observer connections --limit 10 -o wide",
        "observer workloads -o json --timeout 500ms",
        "observer status --time-format rfc3339",
        "observer doctor -o json",
        "observer follow --interval 5s -A --server http://127.0.0.1:9000",
    ] {
        let parsed = Cli::try_parse_from(line.split_whitespace());
        assert!(parsed.is_ok(), "{line}: {:?}", parsed.err().map(|error| error.to_string()));
    }
}

#[test]
fn wrong_flags_end_with_2_and_name_what_is_allowed() {
    for (line, allowed) in [
        ("observer events --window 1s", "--window"),
        ("observer events -o xml", "compact, wide, json"),
        ("observer events --server 10.0.0.1:99", "unix:///path"),
        ("observer events --server http://10.0.0.1:99", "http://127.0.0.1:port"),
        ("observer summary --window 1500ms", "whole seconds from 1s to 1h"),
        ("observer summary --sort colour", "worst, name"),
        ("observer status --timeout 0s", "durations above 0"),
        ("observer nonsense", "nonsense"),
    ] {
        let error = Cli::try_parse_from(line.split_whitespace()).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(USAGE), "{line}");
        assert!(error.to_string().contains(allowed), "{line}: {error}");
    }
}
