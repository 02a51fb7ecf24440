//! An incident of a real daemon is exported to a file, and told from that file as the daemon told it: by anybody, anywhere.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::elsewhere::Elsewhere;
use observer_tests::guardian::Guardian;
use observer_tests::story::nanos;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Pod, Testbed, client, eventually, python};
use prost_types::Timestamp;
use serde_json::Value;

const WINDOWS: Duration = Duration::from_secs(40);

/// A daemon that records, and pods that had trouble.
struct Scene {
    daemon: Daemon,
    client: Pod,
    /// The incident that was opened by hand.
    id: String,
    /// The time that is kept for it.
    range: [String; 2],
}

async fn scene() -> Result<Scene> {
    let testbed = Testbed::shared().await?;
    let record = Guardian::shared()?.scratch("record")?;
    let record = record.to_str().context("a path that is no text")?.to_owned();
    let daemon = Daemon::on(testbed).env("OBSERVER_RECORD_DIR", &record).start().await?;
    let server = testbed.pod("shop", "server").run().await?;
    server.container("serve", ["workload", "serve", "--port", "8080"]).start_until("listening").await?;
    let client = testbed.pod("shop", "client").run().await?;
    let up = format!("{}:8080", server.ip()?);
    let down = format!("{}:8081", server.ip()?);
    let held = ["workload", "connect", "--to", &up, "--count", "1", "--hold", "90"];
    client.container("held", held).start().await?;
    let asks = ["workload", "connect", "--to", &up, "--count", "200", "--bytes", "100"];
    client.container("asks", asks).start().await?.output().await?;
    let fails = ["workload", "connect", "--to", &down, "--count", "50"];
    // That it fails is what it is for.
    client.container("fails", fails).start().await?.wait().await?;
    let open = ["incident", "open", "--note", "by hand", "-n", client.namespace()];
    let opened = client::json(daemon.socket(), open).await?;
    let id = opened[0]["id"].as_str().context("no id")?.to_owned();
    let closed = client::json(daemon.socket(), ["incident", "close", &id]).await?;
    let time = |name: &str| closed[0][name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
    let range = [time("window_start")?, time("window_end")?];
    // What begins behind the time follows what is of it: all of that can be recorded then.
    let end: Timestamp = range[1].parse()?;
    eventually(WINDOWS, "windows with the client, and one behind the time", async || {
        let told = client::json(daemon.socket(), ["summary", "--since", &range[0], "--window", "1s"]).await?;
        let of_client = |line: &&Value| line["summary"]["workload"]["pod"] == client.name();
        let begins = |line: &Value| line["window_end"]["window_start"].as_str()?.parse().ok();
        let later = |start: Timestamp| (start.seconds, start.nanos) > (end.seconds, end.nanos);
        let behind = told.iter().filter_map(begins).any(later);
        let all = behind && told.iter().any(|line| of_client(&line));
        Ok(if all { Ok(()) } else { Err(format!("{} lines; {}", told.len(), daemon.stderr())) })
    })
    .await?;
    Ok(Scene { daemon, client, id, range })
}

/// What messages of a stream carry under that name.
fn payloads(messages: &[Value], name: &str) -> Vec<Value> {
    messages.iter().map(|message| &message[name]).filter(|one| !one.is_null()).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_tells_what_the_daemon_told() -> Result<()> {
    let scene = scene().await?;
    let elsewhere = Elsewhere::of(&scene.daemon, &scene.id).await?;
    let [since, until] = &scene.range;
    let daemon = scene.daemon.socket();

    let asked = ["events", "--since", since, "--until", until];
    let [told, again] =
        [client::json(daemon, asked).await?, elsewhere.json(&asked)?].map(|all| payloads(&all, "event"));
    ensure!(told.len() > 500, "{} events only", told.len());
    ensure!(told == again, "{} events of the daemon, {} of the file", told.len(), again.len());
    let pod = format!("{}/{}", scene.client.namespace(), scene.client.name());
    let all = payloads(&elsewhere.json(&["events", "--all"])?, "event");
    let newest = payloads(&elsewhere.json(&["events", "--last", "7"])?, "event");
    ensure!(newest.len() == 7 && all.ends_with(&newest), "{newest:#?}");
    let filtered = [&asked[..], &["-t", "tcp_connect_failure", "--pod", &pod]].concat();
    let [told, again] = [client::json(daemon, filtered.clone()).await?, elsewhere.json(&filtered)?]
        .map(|all| payloads(&all, "event"));
    ensure!(told.len() >= 50 && told == again, "{} and {} failures", told.len(), again.len());

    for window in ["10s", "1h"] {
        let asked = ["summary", "--since", since, "--until", until, "--window", window];
        let [told, again] = [client::json(daemon, asked).await?, elsewhere.json(&asked)?]
            .map(|all| payloads(&all, "summary"));
        ensure!(!told.is_empty() && told == again, "{window}: {told:#?}\n{again:#?}");
    }

    let shown = ["incident", "show", scene.id.as_str()];
    let [told, again] = [client::json(daemon, shown).await?, elsewhere.json(&shown)?];
    ensure!(told[0]["incident"] == again[0]["incident"], "{told:#?}\n{again:#?}");
    ensure!(told[0]["timeline"] == again[0]["timeline"], "{told:#?}\n{again:#?}");
    ensure!(told[0]["timeline"].as_array().is_some_and(|lines| !lines.is_empty()), "{told:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_works_on_a_file() -> Result<()> {
    let scene = scene().await?;
    let elsewhere = Elsewhere::of(&scene.daemon, &scene.id).await?;
    let client = scene.client.name();

    let connections = elsewhere.json(&["connections"])?;
    let held = connections.iter().any(|one| {
        one["workload"]["pod"] == client
            && one["workload"]["container"] == "held"
            && one["tcp"]["outgoing"] == true
    });
    ensure!(held, "the connection that was held is missing: {connections:#?}");
    let workloads = elsewhere.json(&["workloads"])?;
    ensure!(workloads.iter().any(|one| one["workload"]["pod"] == client), "{workloads:#?}");
    ensure!(!elsewhere.json(&["connections", "--listeners"])?.is_empty());
    let status = elsewhere.json(&["status"])?.remove(0);
    ensure!(status["replay"]["incident_id"] == scene.id.as_str(), "{status:#?}");
    let status = elsewhere.text(&["status"])?;
    ensure!(status.starts_with("a recording of "), "{status}");
    let explained = elsewhere.text(&["explain", &format!("{}/{client}", scene.client.namespace())])?;
    ensure!(explained.contains("refused"), "{explained}");
    let listed = elsewhere.text(&["incident", "list"])?;
    ensure!(listed.contains(&scene.id), "{listed}");
    let whole = elsewhere.text(&["summary"])?;
    ensure!(whole.contains(client), "{whole}");
    let file = elsewhere.file.to_str().context("no text")?;
    let compared = elsewhere.text(&["diff", file, file])?;
    ensure!(!compared.contains("worse"), "nothing differs from itself: {compared}");
    let again = elsewhere.text(&["incident", "export", &scene.id, "--file", "again.observer"])?;
    ensure!(again.contains("again.observer: ") && again.contains("events and"), "{again}");
    for (refused, words) in [
        (&["events", "-f"][..], "a recording has an end"),
        (&["incident", "delete", scene.id.as_str()], "a recording that is replayed"),
        (&["incident", "export", scene.id.as_str(), "--file", "again.observer"], "is there already"),
    ] {
        let output = elsewhere.run(refused, &elsewhere.file)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success() && said.contains(words), "{refused:?}: {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_hold_what_is_told_by_another_reader() -> Result<()> {
    let scene = scene().await?;
    let elsewhere = Elsewhere::of(&scene.daemon, &scene.id).await?;
    let export = ["incident", "export", &scene.id, "--format", "parquet", "--file", "tables"];
    let written = elsewhere.text(&export)?;
    ensure!(written.contains("tables/events.parquet"), "{written}");
    let read = python::tables(&elsewhere.folder.path().join("tables"))?;
    let rows = |table: &str| read[table]["rows"].as_array().with_context(|| format!("no rows: {table}"));
    let [since, until] = &scene.range;

    ensure!(read["events"]["types"]["time"] == "timestamp[ns, tz=UTC]", "{}", read["events"]["types"]);
    let told = payloads(&elsewhere.json(&["events", "--since", since, "--until", until])?, "event");
    let told: Vec<_> = told
        .iter()
        .map(|event| (event["sequence"].as_u64(), nanos(&event["time"]), event["type"].as_str()))
        .collect();
    let events = rows("events")?;
    let again: Vec<_> = events
        .iter()
        .map(|row| (row["sequence"].as_u64(), row["time"].as_u64(), row["type"].as_str()))
        .collect();
    ensure!(
        told.len() > 500 && told == again,
        "{} events, {} rows: {:?}",
        told.len(),
        again.len(),
        &again[..3]
    );
    let of_client = |row: &&Value| row["pod"] == scene.client.name();
    let refused = events.iter().filter(of_client).filter(|row| row["error"] == "refused").count();
    ensure!(refused == 50, "{refused} were refused");

    let summary = ["summary", "--since", since, "--until", until, "--window", "1h"];
    let told = payloads(&elsewhere.json(&summary)?, "summary");
    let edges: Vec<_> =
        rows("summaries")?.iter().filter(of_client).filter(|row| !row["peer_kind"].is_null()).collect();
    for figure in ["opened", "failed", "sent_bytes"] {
        let number = |of: &Value| of[figure].as_u64().unwrap_or(0);
        let of_client = told
            .iter()
            .filter(|one| one["edge"].is_object() && one["workload"]["pod"] == scene.client.name());
        let told: u64 = of_client.map(|one| number(&one["tcp"])).sum();
        let again: u64 = edges.iter().map(|row| number(row)).sum();
        ensure!(told > 0 && told == again, "{figure}: {told} told, {again} in the table");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_recording_is_refused_with_a_clear_word() -> Result<()> {
    let scene = scene().await?;
    let elsewhere = Elsewhere::of(&scene.daemon, &scene.id).await?;
    let good = fs::read(&elsewhere.file)?;
    let after_head = good.iter().position(|byte| *byte == b'\n').context("no first line")? + 1;
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    let newer = [b"observer recording, format 3\n", &good[after_head..]].concat();
    // A part that claims 4 GiB.
    let bomb =
        [&good[..after_head], &[4, 1, 0, 0], &4_u32.to_le_bytes(), &u32::MAX.to_le_bytes(), &[0; 8]].concat();
    let gzipped = [&[0x1f, 0x8b, 8, 0], &good[..100]].concat();
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("truncated", good[..good.len() - 1].to_vec(), "it is cut off after"),
        ("half", good[..good.len() / 2].to_vec(), "it is cut off after"),
        ("flipped", flipped, "it is damaged at byte"),
        ("newer", newer, "it is of format 3"),
        ("bomb", bomb, "a part that is too long"),
        ("empty", Vec::new(), "but empty"),
        ("text", b"hello\n".to_vec(), "but a text"),
        ("gzipped", gzipped, "compressed by gzip: unpack it first"),
    ];
    for (name, bytes, words) in cases {
        let path = elsewhere.folder.path().join(name);
        fs::write(&path, bytes)?;
        let file = path.to_str().context("no text")?;
        for command in [&["events", "--all"][..], &["replay", file], &["diff", file, file]] {
            let output = elsewhere.run(command, &path)?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.code() == Some(1), "{name}: {command:?}: {}: {said}", output.status);
            ensure!(said.contains(words) && said.lines().count() <= 2, "{name}: {command:?}: {said}");
            ensure!(output.stdout.is_empty(), "{name}: {command:?}");
        }
    }
    full_disk(&scene, elsewhere.folder.path())
}

/// Where the disk is full that is said, and nothing is left.
fn full_disk(scene: &Scene, folder: &Path) -> Result<()> {
    let script = "mount -t tmpfs -o size=16k small \"$1\" && cd \"$1\" && \"$2\" incident export \"$3\" --server \"$4\"; \
                  echo \"rc=$?\"; ls -A \"$1\"";
    let small = folder.join("small");
    fs::create_dir(&small)?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(&small).arg(client::observer()?).arg(&scene.id);
    command.arg(format!("unix://{}", scene.daemon.socket().display()));
    let output = Guardian::shared()?.mark(&mut command).output()?;
    let (said, listed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    ensure!(said.contains("no space is left"), "{said}");
    ensure!(listed == "rc=1\n", "something was left: {listed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_served_to_others() -> Result<()> {
    let scene = scene().await?;
    let elsewhere = Elsewhere::of(&scene.daemon, &scene.id).await?;
    let socket = elsewhere.folder.path().join("replay.sock");
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
        "--",
    ]);
    command.arg(elsewhere.folder.path().join("observer")).arg("replay").arg(&elsewhere.file);
    command.arg("--listen").arg(format!("unix://{}", socket.display()));
    let mut replay = Guardian::shared()?.mark(&mut command).spawn()?;
    let told = async {
        eventually(PATIENCE, "the replay to serve", async || Ok(client::serving(&socket).await)).await?;
        let shown = ["incident", "show", scene.id.as_str()];
        let [told, again] =
            [client::json(scene.daemon.socket(), shown).await?, client::json(&socket, shown).await?];
        ensure!(told[0]["timeline"] == again[0]["timeline"], "{told:#?}\n{again:#?}");
        Ok(())
    };
    let told = told.await;
    rustix::process::kill_process(rustix::process::Pid::from_child(&replay), rustix::process::Signal::TERM)?;
    let ended = replay.wait()?;
    told?;
    ensure!(ended.success() && !socket.exists(), "{ended}");
    Ok(())
}
