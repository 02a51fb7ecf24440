//! What a client wrote as JSON is read again without a daemon, and the same flags choose the same of it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use observer_tests::client::{observer, run};
use observer_tests::events::{is_of, watch};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Testbed, eventually};
use serde_json::Value;

const NAMESPACE: &str = "input-file";

/// Reads a recording, from the standard input where the file is given as that.
fn read(file: &Path, from_stdin: bool, args: &[&str]) -> Result<Output> {
    let mut command = Command::new(observer()?);
    command.arg("events").arg("--input").arg(if from_stdin { Path::new("-") } else { file }).args(args);
    // Nobody listens there: nobody is asked.
    command.env("OBSERVER_SERVER", "unix:///nowhere/observer.sock").env("XDG_CONFIG_HOME", "/nowhere");
    command.env_remove("OBSERVER_CLIENT_CONFIG");
    command.stdin(if from_stdin { fs::File::open(file)?.into() } else { Stdio::null() });
    command.output().context("cannot run observer")
}

/// The standard output of a command that succeeded.
fn text(output: Output) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// The events among lines of JSON: when a message was sent differs from call to call.
fn events(text: &str) -> Result<Vec<Value>> {
    let lines = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    Ok(lines.into_iter().filter_map(|mut line| line.get_mut("event").map(Value::take)).collect())
}

/// The lines about the test's own pods.
fn own(text: &str) -> Vec<String> {
    text.lines().filter(|line| line.contains(NAMESPACE)).map(str::to_owned).collect()
}

/// A daemon that saw a server, its client, and a failure.
async fn daemon(testbed: &Testbed) -> Result<Daemon> {
    let daemon = Daemon::on(testbed).start().await?;
    let lines = watch(&daemon, ["-n", NAMESPACE]).await?;
    let server = testbed.pod(NAMESPACE, "server").label("tier", "back").label("app", "x").run().await?;
    server.container("serve", ["workload", "serve", "--port", "8080"]).start_until("listening").await?;
    let client = testbed.pod(NAMESPACE, "client").label("tier", "front").run().await?;
    let to = format!("{}:8080", server.ip()?);
    let argv = ["workload", "connect", "--to", &to, "--count", "20", "--bytes", "100"];
    client.container("connect", argv).start().await?.output().await?;
    client.container("fail", ["workload", "exit", "3"]).start().await?.wait().await?;
    let (server_pod, client_pod) = (server.name().to_owned(), client.name().to_owned());
    server.remove().await?;
    client.remove().await?;
    for (pod, container) in [(&server_pod, "serve"), (&client_pod, "connect"), (&client_pod, "fail")] {
        let ended = |line: &Value| is_of(line, "container_stop", pod, container);
        lines.wait_for("the end of a container", PATIENCE, ended).await?;
    }
    // The pods' own containers are the last to end.
    let ended = |line: &Value| line["event"]["container_stop"]["pod_ended"] == true;
    lines.wait_count("the ends of the pods", PATIENCE, 2, ended).await?;
    Ok(daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_flags_choose_the_same_of_a_recording() -> Result<()> {
    let daemon = daemon(Testbed::shared().await?).await?;
    // The runtime's late word on an end makes an event anew: then what was recorded before is not what there is.
    eventually(PATIENCE, "events that stay as they are", || async {
        let recorded = record(&daemon).await?;
        let compared = compare(&daemon, &recorded).await;
        if events(&record(&daemon).await?)? == events(&recorded)? {
            return compared.map(Ok);
        }
        Ok(Err("some were made anew"))
    })
    .await
}

/// All that the daemon has of the test's pods.
async fn record(daemon: &Daemon) -> Result<String> {
    text(run(daemon.socket(), ["events", "--all", "-n", NAMESPACE, "-o", "json"]).await?)
}

/// Reads a recording by many flags, and asks the daemon by the same.
async fn compare(daemon: &Daemon, recorded: &str) -> Result<()> {
    let live = async |args: &[&str]| text(run(daemon.socket(), args.iter().copied()).await?);
    let file = daemon.dir().join("events.json");
    fs::write(&file, recorded)?;
    let all = events(recorded)?;
    ensure!(all.len() >= 80, "{} events", all.len());

    for from_stdin in [false, true] {
        let again = text(read(&file, from_stdin, &["-o", "json"])?)?;
        ensure!(again == recorded, "not the same to the byte:\n{recorded}\n{again}");
    }

    let time = |at: usize| all[at]["time"].as_str().map(str::to_owned).context("no time");
    let (since, until) = (time(20)?, time(60)?);
    let cases: [&[&str]; 16] = [
        &["--all"],
        &["--last", "7"],
        &["--first", "7"],
        &["--since", &since],
        &["--since", &since, "--until", &until],
        &["--since", &since, "--until", &until, "--last", "3"],
        &["--all", "-t", "tcp_connect,process_exit"],
        &["--all", "--port", "8000-8999", "--not", "-t", "tcp_close"],
        &["--all", "-l", "tier=back,app"],
        &["--all", "--min-latency", "30us"],
        &["--all", "--failure-only"],
        &["--all", "--from-pod", "client"],
        &["--all", "--to-pod", "input-file/client"],
        &["--all", "--ip", "10.0.0.0/8", "--container", "connect"],
        &["--all", "--not", "--container", "connect"],
        &["--last", "5", "--port", "8080", "-t", "tcp_accept"],
    ];
    let mut chosen = Vec::new();
    for flags in cases {
        let with = |rest: &[&'static str]| [&["-n", NAMESPACE], flags, rest].concat();
        let of_daemon = events(&live(&[&["events"][..], &with(&["-o", "json"])].concat()).await?)?;
        let of_file = events(&text(read(&file, false, &with(&["-o", "json"]))?)?)?;
        ensure!(of_daemon == of_file, "{flags:?}: {} and {}", of_daemon.len(), of_file.len());
        chosen.push(of_file.len());
        for format in ["compact", "wide", "yaml"] {
            let rest = ["-o", format, "--time-format", "none"];
            let of_daemon = live(&[&["events"][..], &with(&rest)].concat()).await?;
            let of_file = text(read(&file, false, &with(&rest))?)?;
            ensure!(own(&of_daemon) == own(&of_file), "{flags:?} {format}:\n{of_daemon}\n{of_file}");
        }
    }
    // Most of these say something, and most leave something out.
    let telling = chosen.iter().filter(|count| (1..all.len()).contains(count)).count();
    ensure!(telling >= 13, "{chosen:?} of {}", all.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_is_killed_leaves_what_can_be_read() -> Result<()> {
    let daemon = Daemon::on(Testbed::shared().await?).start().await?;
    let file = daemon.dir().join("killed.json");
    let mut command =
        observer_tests::client::command(daemon.socket(), ["events", "--all", "--follow", "-o", "json"])?;
    let mut follower = command.stdout(fs::File::create(&file)?).spawn()?;
    let lines = || fs::read_to_string(&file).map(|text| text.matches('\n').count());
    observer_tests::wait::eventually(PATIENCE, "some events", async || {
        // Each of these is an event: this machine's own.
        _ = Command::new("true").status()?;
        let lines = lines()?;
        Ok(if lines >= 5 { Ok(()) } else { Err(lines) })
    })
    .await?;
    follower.kill()?;
    follower.wait()?;

    // A kill may come in the midst of a line.
    let written = fs::read_to_string(&file)?;
    let complete = &written[..=written.trim_end().rfind('\n').context("one line only")?];
    let cut = &written[..written.len().min(complete.len() + 9)];
    fs::write(&file, cut)?;
    let output = read(&file, false, &["-o", "json"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = complete.lines().count() + 1;
    ensure!(output.status.success() && output.stdout == complete.as_bytes(), "{output:?}");
    ensure!(said.contains(&format!("killed.json:{last}: the last line is cut off")), "{said}");

    // The same in the midst of the file is an error, after what stands before it.
    fs::write(&file, format!("{cut}\n{complete}"))?;
    let output = read(&file, false, &["-o", "json"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1) && output.stdout == complete.as_bytes(), "{output:?}");
    ensure!(said.contains(&format!("killed.json:{last}: ")), "{said}");

    // Who reads may go away.
    fs::write(&file, complete.repeat(2_000))?;
    let mut child = Command::new(observer()?)
        .env("XDG_CONFIG_HOME", "/nowhere")
        .args(["events", "-o", "json", "--input"])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    drop(child.stdout.take());
    let output = child.wait_with_output()?;
    ensure!(output.status.code() == Some(0) && output.stderr.is_empty(), "{output:?}");
    Ok(())
}
