//! Tests of the command line as a whole.

mod fields;

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
        "observer summary -f --changes --fields workload,hs-p99 --fields retr",
        "observer connections --limit 10 -o wide",
        "observer workloads -o json --timeout 500ms",
        "observer status --time-format rfc3339",
        "observer doctor -o json",
        "observer events --input - --last 5 -n shop --not --port 53 -o json",
        "observer events -i events.json --since 5m",
        "observer status --context prod --client-config /tmp/o.toml",
        "observer status --server tls://node1:4250 --tls-ca a --tls-cert b --tls-key c --tls-server-name d",
        "observer context list -o json",
        "observer context show",
        "observer context use prod --client-config /tmp/o.toml",
        "observer follow --interval 5s -A --server http://127.0.0.1:9000 --reconnect 10s",
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
        ("observer events --server http://10.0.0.1:99", "tcp://127.0.0.1:port"),
        ("observer events --server tls://10.0.0.1", "tls://host:port"),
        ("observer context", "list"),
        ("observer context use", "<NAME>"),
        ("observer summary --window 1500ms", "whole seconds from 1s to 1h"),
        ("observer summary --sort colour", "worst, name"),
        ("observer summary --changes", "--follow"),
        ("observer status --timeout 0s", "durations above 0"),
        ("observer relay --max-client-streams 0", "1..=100000"),
        ("observer relay --max-client-calls 0", "1..=1000000"),
        ("observer relay --node-timeout 0s", "up to `60s`"),
        ("observer relay --node-timeout 61s", "up to `60s`"),
        ("observer nonsense", "nonsense"),
    ] {
        let error = Cli::try_parse_from(line.split_whitespace()).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(USAGE), "{line}");
        assert!(error.to_string().contains(allowed), "{line}: {error}");
    }
}

/// Runs one client command against a server in this process.
async fn output(line: &str) -> anyhow::Result<String> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("observer.sock");
    client::testing::serve(&path);
    let server = format!("--server=unix://{}", path.display());
    let words = ["observer"].into_iter().chain(line.split_whitespace()).chain([server.as_str()]);
    let mut out = Vec::new();
    let mut command = Cli::try_parse_from(words)?.command;
    command.settle(&|_name| None)?;
    match command {
        Command::Top(args) => top::run(*args, &mut out).await?,
        Command::Events(args) => events::run(*args, &mut out).await?,
        Command::Summary(args) => summary::run(*args, &mut out).await?,
        Command::Explain(args) => explain::run(*args, &mut out).await?,
        Command::Debug(args) => debug::run(*args, &mut out).await?,
        Command::Connections(args) => connections::run(*args, &mut out).await?,
        Command::Workloads(args) => workloads::run(*args, &mut out).await?,
        Command::Status(args) => status::run(args, &mut out).await?,
        Command::Incident(args) => incident::run(*args, &mut out).await?,
        Command::Follow(args) => follow::run(*args, &mut out).await?,
        Command::Diff(args) => diff::run(*args, &mut out).await?,
        Command::Daemon(_)
        | Command::Relay(_)
        | Command::Replay(_)
        | Command::Doctor(_)
        | Command::Context(_)
        | Command::Completion(_)
        | Command::Man(_) => {
            anyhow::bail!("no client's command")
        }
    }
    Ok(String::from_utf8(out)?)
}

#[tokio::test]
async fn commands_show_what_the_daemon_says() {
    let shown = output("events --last 0 --time-format none").await.unwrap();
    assert_eq!(shown.lines().count(), 3, "{shown}");
    assert!(
        shown.starts_with("[node1]: shop/cart-7d9f/app -> shop/redis-0:6379 tcp_connect (142 µs"),
        "{shown}"
    );
    let shown = output("events --last 0 -o yaml").await.unwrap();
    assert_eq!(shown.matches("---\n").count(), 3, "{shown}");
    assert!(shown.contains("\n  sequence: 41\n") && shown.contains("\nnode_name: node1\n"), "{shown}");
    let shown = output("events --last 0 -o json").await.unwrap();
    assert_eq!(shown.lines().count(), 3, "{shown}");
    assert!(shown.starts_with("{\"event\":{\"sequence\":41,"), "{shown}");
    assert!(shown.contains("\n{\"lost\":{\"kind\":\"tcp_close\",\"count\":3},"), "{shown}");
    let shown = output("summary --color always").await.unwrap();
    assert!(shown.contains("shop/cart-7d9f/app") && shown.contains("complete"), "{shown}");
    let shown = output("summary -o json").await.unwrap();
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(output("status").await.unwrap().starts_with("observer 0.1.0 on "));
}

#[tokio::test]
async fn following_merges_both_streams() {
    let shown = output("follow --time-format none --reconnect 0s").await.unwrap();
    let connect = shown.find("tcp_connect").unwrap();
    let table = shown.find("WORKLOAD, ITS EDGES").unwrap();
    let stop = shown.find("the daemon stops").unwrap();
    assert!(connect < stop && table < stop, "{shown}");
}

#[tokio::test]
async fn exit_codes_tell_usage_from_failure_and_a_closed_pipe_from_both() {
    let code = |error: &anyhow::Error| format!("{:?}", report(error));
    let is = |code: ExitCode| format!("{code:?}");
    let refused = output("events --last 2").await.unwrap_err();
    assert_eq!(code(&refused), is(ExitCode::from(2)));
    let failed = output("connections").await.unwrap_err();
    assert_eq!(code(&failed), is(ExitCode::FAILURE));
    let closed = io::Error::from(io::ErrorKind::BrokenPipe).into();
    assert_eq!(code(&closed), is(ExitCode::SUCCESS));
}

#[tokio::test]
async fn the_request_can_be_printed_without_a_daemon() {
    let shown = output("events -n shop --not --port 53 --print-filters").await.unwrap();
    assert_eq!(shown, "{\"allow\":[{\"namespaces\":[\"shop\"]}],\"deny\":[{\"ports\":[53]}],\"last\":20}\n");
    let shown = output("summary --window 2s --print-filters").await.unwrap();
    assert_eq!(shown, "{\"window\":\"2s\"}\n");
    let shown = output("top -n shop --print-filters").await.unwrap();
    assert_eq!(shown, "{\"allow\":[{\"namespaces\":[\"shop\"]}],\"follow\":true,\"window\":\"2s\"}\n");
    let shown = output("follow -t tcp_close --print-filters").await.unwrap();
    assert_eq!(
        shown,
        "{\"allow\":[{\"types\":[\"tcp_close\"]}],\"follow\":true}\n{\"follow\":true,\"window\":\"10s\"}\n"
    );
}
