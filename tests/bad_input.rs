//! Proves that bad input is refused with the value and what is allowed, and missing things with what to do.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{Filter, WatchEventsRequest, WatchSummariesRequest};
use observer_tests::client::{command, observer, run};
use observer_tests::guardian::Guardian;
use observer_tests::{Daemon, client};
use tonic::Code;

fn daemon<S: AsRef<str>>(dir: &Path, args: &[S]) -> Result<Output> {
    let mut command = Command::new(observer()?);
    let listen = format!("unix://{}", dir.join("unused.sock").display());
    Guardian::shared()?.mark(&mut command).args(["daemon", "--listen", &listen]);
    Ok(command.args(args.iter().map(AsRef::as_ref)).output()?)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// It ended with this code and said all of these.
fn refused(output: &Output, code: i32, words: &[&str]) -> Result<()> {
    let said = said(output);
    ensure!(output.status.code() == Some(code), "{}: {said}", output.status);
    let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
    ensure!(missing.is_empty(), "{missing:?} not in: {said}");
    ensure!(!said.contains("panicked"), "{said}");
    Ok(())
}

#[test]
fn wrong_flags_of_the_daemon_are_named_with_what_is_allowed() -> Result<()> {
    let dir = Guardian::shared()?.scratch("flags")?;
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--no-such-flag"], &["--no-such-flag"]),
        (&["--window", "90m"], &["--window", "90m", "from 1s to 1h"]),
        (&["--window", "1500ms"], &["1500ms", "whole seconds"]),
        (&["--process-ring-bytes", "5000"], &["--process-ring-bytes", "5000", "a power of two"]),
        (&["--history-bytes", "-1"], &["-1"]),
        (&["--listen", "http://localhost"], &["http://localhost", "unix://"]),
        (&["--listen", "tcp://127.0.0.1:0"], &["tcp://127.0.0.1:0", "--insecure-loopback"]),
        (&["--log", "loud"], &["loud", "debug"]),
        (&["--disabled-hooks", "no_such_hook"], &["no_such_hook", "tcp_send_reset"]),
    ];
    for (args, words) in cases {
        refused(&daemon(&dir, args)?, 2, words).with_context(|| format!("{args:?}"))?;
    }
    Ok(())
}

#[test]
fn bad_configuration_files_are_named_with_line_and_key() -> Result<()> {
    let dir = Guardian::shared()?.scratch("configuration")?;
    let path = dir.join("observer.toml");
    let named = path.to_str().context("no text")?;
    let cases: [(&str, &[&str]); 4] = [
        ("window = \"5s\"\nwindows = 3\n", &[":2", "windows", "process_ring_bytes"]),
        ("\nwindow = \"2h\"\n", &[":2", "window", "2h", "from 1s to 1h"]),
        ("window = \n", &[":1", "not valid TOML"]),
        ("max_edges = \"many\"\n", &["max_edges", "many", "whole number"]),
    ];
    for (text, words) in cases {
        fs::write(&path, text)?;
        let output = daemon(&dir, &["--config", named])?;
        refused(&output, 2, words).with_context(|| text.to_owned())?;
        refused(&output, 2, &[named])?;
    }
    let missing = dir.join("missing.toml").display().to_string();
    refused(&daemon(&dir, &["--config", &missing])?, 2, &[&missing, "No such file"])?;
    refused(&daemon(&dir, &["--config", dir.to_str().context("no text")?])?, 2, &["cannot read"])
}

#[test]
fn wrong_flags_of_a_client_are_named_with_what_is_allowed() -> Result<()> {
    let nobody = Guardian::shared()?.scratch("clients")?.join("nobody.sock");
    let cases: [(&[&str], &[&str]); 8] = [
        (&["events", "--no-such-flag"], &["--no-such-flag"]),
        (&["events", "-t", "tcp_conect"], &["tcp_conect", "tcp_connect"]),
        (&["events", "-o", "xml"], &["xml", "json"]),
        (&["events", "--last", "many"], &["many"]),
        (&["events", "--port", "70000"], &["70000", "65535"]),
        (&["summary", "--window", "0s"], &["0s", "1s"]),
        (&["summary", "--sort", "beauty"], &["beauty", "worst"]),
        (&["no-such-command"], &["no-such-command"]),
    ];
    for (args, words) in cases {
        let output = command(&nobody, args.iter().copied())?.output()?;
        refused(&output, 2, words).with_context(|| format!("{args:?}"))?;
    }
    Ok(())
}

#[test]
fn a_client_without_a_daemon_says_what_to_do() -> Result<()> {
    let nobody = Guardian::shared()?.scratch("nobody")?.join("nobody.sock");
    let path = nobody.to_str().context("no text")?;
    for name in ["events", "summary", "connections", "workloads", "status", "follow"] {
        let output = command(&nobody, [name])?.output()?;
        refused(&output, 1, &[path, "observer daemon", "--server"]).with_context(|| name.to_owned())?;
        ensure!(output.stdout.is_empty(), "{name} wrote something");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_filters_are_refused_by_the_daemon_too() -> Result<()> {
    let daemon = Daemon::bare().arg("--cri-endpoint").arg("none").start().await?;
    let mut client = ObserverClient::new(daemon.channel().await?);
    let texts = |text: &str| vec![text.to_owned()];
    let cases: [(Filter, &[&str]); 6] = [
        (
            Filter { pods: texts("a/b/c"), ..Filter::default() },
            &["allow[0].pods", "a/b/c", "namespace/prefix"],
        ),
        (Filter { ports: vec![70_000], ..Filter::default() }, &["allow[0].ports", "70000", "65535"]),
        (Filter { addresses: texts("10.0.0.0/99"), ..Filter::default() }, &["10.0.0.0/99", "10.0.0.0/8"]),
        (Filter { types: vec![99], ..Filter::default() }, &["allow[0].types", "99", "process_exec"]),
        (Filter { namespaces: texts(""), ..Filter::default() }, &["allow[0].namespaces", "1 to 512"]),
        (Filter::default(), &["allow[0]", "empty", "at least one"]),
    ];
    for (filter, words) in cases {
        let request =
            WatchEventsRequest { allow: vec![filter], follow: true, ..WatchEventsRequest::default() };
        let status = client.watch_events(request).await.err().context("it was taken")?;
        ensure!(status.code() == Code::InvalidArgument, "{status}");
        let missing: Vec<_> = words.iter().filter(|word| !status.message().contains(**word)).collect();
        ensure!(missing.is_empty(), "{missing:?} not in {}", status.message());
    }
    let filter = Filter { types: vec![1], ..Filter::default() };
    let request = WatchSummariesRequest { allow: vec![filter], ..WatchSummariesRequest::default() };
    let status = client.watch_summaries(request).await.err().context("it was taken")?;
    ensure!(status.code() == Code::InvalidArgument && status.message().contains("types"), "{status}");
    // The binary's own client passes the daemon's refusal on as a wrong use.
    let output = run(daemon.socket(), ["events", "--pod", "a/b/c"]).await?;
    refused(&output, 2, &["a/b/c"])?;
    client::serving(daemon.socket()).await
}

#[test]
fn missing_capabilities_are_named() -> Result<()> {
    // A folder and a copy that others than root may reach.
    let dir = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir()?;
    chown(dir.path(), Some(65534), Some(65534))?;
    let binary = dir.path().join("observer");
    fs::copy(observer()?, &binary)?;
    let listen = format!("unix://{}", dir.path().join("observer.sock").display());
    let nobody: &[&str] =
        &["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
    let root: &[&str] = &["--inh-caps=-all", "--bounding-set=-bpf,-sys_admin"];
    for (privileges, missing, present) in
        [(nobody, &["CAP_BPF", "CAP_PERFMON"][..], None), (root, &["CAP_BPF"], Some("CAP_PERFMON"))]
    {
        let mut command = Command::new("setpriv");
        Guardian::shared()?.mark(&mut command).args(privileges).arg(&binary);
        let output = command.args(["daemon", "--listen", &listen]).output()?;
        refused(&output, 1, missing)?;
        refused(&output, 1, &["root"])?;
        ensure!(present.is_none_or(|name| !said(&output).contains(name)), "{}", said(&output));
        // The client's own examination says the same.
        let mut command = Command::new("setpriv");
        let doctor = command.args(privileges).arg(&binary).arg("doctor").output()?;
        let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
        ensure!(doctor.status.code() == Some(1) && missing.iter().all(|name| text.contains(name)), "{text}");
    }
    Ok(())
}
