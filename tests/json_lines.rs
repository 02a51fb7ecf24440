//! Lines of JSON are what clients get, in files that keep their bounds; a full disk costs the exporter's own lines alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use observer_proto::v1::{EventType, ExporterState, Filter};
use observer_tests::exporting::{
    configured, each, exporter, lines, lost, scratch, status, wait_events, wait_state,
};
use observer_tests::recording::{COUNT, live};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, NetnsPair, Watch, client, eventually, workload};
use serde_json::Value;

/// Events of `live`.
const EVENTS: usize = 4 * COUNT as usize;

/// The numbers of events.
fn sequences(events: &[Value]) -> Vec<u64> {
    events.iter().filter_map(|event| event["sequence"].as_u64()).collect()
}

/// The file and the older ones, the oldest first.
fn files(path: &Path) -> Vec<PathBuf> {
    let older = (1..100).rev().map(|number| PathBuf::from(format!("{}.{number}", path.display())));
    older.chain([path.to_owned()]).filter(|path| path.exists()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_what_clients_get_and_an_unused_exporter_costs_nothing() -> Result<()> {
    let pair = NetnsPair::new()?;
    let bare = Daemon::bare().start().await?;
    let told = status(&bare).await?;
    ensure!(told.exporters.is_empty() && told.subscribers == 0, "{told:?}");
    drop(bare);

    let folder = scratch("lines")?;
    let (events, summaries) = (folder.join("events.jsonl"), folder.join("made/by/it/summaries.jsonl"));
    let text = format!(
        "window = '1s'\n\
         [json.events]\npath = '{}'\nallow = {{ port = 7501 }}\nincidents = false\n\
         [json.summaries]\npath = '{}'\nallow = {{ port = 7501 }}\n\
         events = false\nincidents = false\nsummaries = true\n\
         [json.out]\npath = '-'\nallow = [{{ type = 'tcp_close', port = '7500-7502' }}]\ndeny = {{ port = 7500 }}\n",
        events.display(),
        summaries.display()
    );
    let daemon = configured(&text)?.start().await?;
    ensure!(status(&daemon).await?.subscribers == 3, "{:?}", status(&daemon).await?);
    let windows = daemon.follow(["summary", "-f", "--window", "1s", "--port", "7501"])?;
    windows.wait_for("a window", PATIENCE, |line| line["window_end"].is_object()).await?;
    let seen = live(&daemon, &pair, 7501).await?;
    let written = wait_events(&events, EVENTS).await?;
    ensure!(written[0]["node_status"]["state"] == "NODE_STATE_CONNECTED", "{}", written[0]);
    let told = client::json(daemon.socket(), ["events", "--all", "--port", "7501"]).await?;
    ensure!(each(&written, "event") == each(&told, "event"), "{} lines", written.len());
    ensure!(seen.len() == EVENTS && each(&told, "event").len() == EVENTS, "{} events", seen.len());
    let node_name = &told[0]["node_name"];
    ensure!(written.iter().all(|line| line["node_name"] == *node_name && line["time"].is_string()));

    // On the standard output are those that pass its filters, and nothing of the log.
    let out = daemon.dir().join("stdout");
    let closed = |event: &&Value| event["type"] == "tcp_close";
    let expected: Vec<Value> = each(&told, "event").iter().filter(closed).cloned().collect();
    let printed = wait_events(&out, expected.len()).await?;
    ensure!(each(&printed, "event") == expected, "{} lines", printed.len());
    ensure!(daemon.stderr().contains("probes attached"), "{}", daemon.stderr());

    // Incidents as they change.
    let opened = client::json(daemon.socket(), ["incident", "open", "--note", "by hand"]).await?;
    let id = opened[0]["id"].as_str().or(opened[0]["incident"]["id"].as_str()).context("no id")?.to_owned();
    client::json(daemon.socket(), ["incident", "close", &id]).await?;
    let states = eventually(PATIENCE, "both states", || async {
        let of = each(&lines(&out)?, "incident");
        let states: Vec<Value> =
            of.iter().filter(|one| one["id"] == id.as_str()).map(|one| one["state"].clone()).collect();
        Ok(if states.iter().any(|state| state == "INCIDENT_STATE_CLOSED") { Ok(states) } else { Err(of) })
    })
    .await?;
    ensure!(states[0] == "INCIDENT_STATE_OPEN", "{states:?}");

    // Each window that a client got whole.
    let start = |value: &Value| value["window_start"].as_str().map(str::to_owned);
    let ended = |all: &[Value]| each(all, "window_end").iter().filter_map(start).collect::<BTreeSet<_>>();
    let of_port = |all: &[Value], within: &BTreeSet<String>| {
        let is_within = |one: &Value| start(one).is_some_and(|start| within.contains(&start));
        each(all, "summary").into_iter().filter(is_within).collect::<Vec<_>>()
    };
    let both = eventually(PATIENCE, "the same windows", || async {
        let (mine, told) = (lines(&summaries)?, windows.values());
        let within: BTreeSet<_> = ended(&mine).intersection(&ended(&told)).cloned().collect();
        let has_all = of_port(&mine, &within).iter().any(|one| one["edge"].is_object());
        Ok(if has_all && within.len() > 2 { Ok((mine, told, within)) } else { Err(within) })
    })
    .await?;
    let (mine, told, within) = both;
    ensure!(of_port(&mine, &within) == of_port(&told, &within), "{:#?}", of_port(&mine, &within));

    let running = exporter(&daemon, "json.events").await?;
    ensure!(running.state() == ExporterState::Running && lost(&running) == 0, "{running:?}");
    ensure!(running.sent >= written.len() as u64 && running.endpoint == events.display().to_string());
    let table = client::run(daemon.socket(), ["status"]).await?;
    let table = String::from_utf8(table.stdout)?;
    ensure!(table.contains("Exporters") && table.contains("json.summaries"), "{table}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_keep_their_bounds_and_a_restart_appends() -> Result<()> {
    let pair = NetnsPair::new()?;
    let folder = scratch("lines")?;
    let [small, old, plain] = ["small", "old", "plain"].map(|name| folder.join(name));
    let text = format!(
        "[json.small]\npath = '{}'\nallow = {{ port = 7503 }}\nincidents = false\n\
         max_bytes = '48KiB'\nmax_files = 3\n\
         [json.old]\npath = '{}'\nallow = {{ port = 7503 }}\nincidents = false\nmax_age = '1s'\nmax_files = 100\n\
         [json.plain]\npath = '{}'\nallow = {{ port = 7503 }}\nincidents = false\n",
        small.display(),
        old.display(),
        plain.display()
    );
    let mut daemon = configured(&text)?.start().await?;
    let seen = live(&daemon, &pair, 7503).await?;
    let written = wait_events(&plain, EVENTS).await?;
    let all: Vec<u64> = seen.iter().map(|event| event.sequence).collect();
    ensure!(sequences(&each(&written, "event")) == all);

    // By size: the newest lines, whole and in order, in no more than three files of no more than 48 KiB.
    let kept = eventually(PATIENCE, "the last line", || async {
        let parts = files(&small);
        let read = parts.iter().map(|path| lines(path)).collect::<Result<Vec<_>>>();
        let kept = sequences(&each(&read.unwrap_or_default().concat(), "event"));
        Ok(if kept.last() == all.last() { Ok(kept) } else { Err(kept.len()) })
    })
    .await?;
    ensure!(files(&small).len() == 3, "{:?}", files(&small));
    for path in files(&small) {
        ensure!(fs::metadata(&path)?.len() <= 48 << 10, "{}", path.display());
    }
    ensure!(kept.len() < all.len() && all.ends_with(&kept), "{} of {}", kept.len(), all.len());

    // By age: though nothing more comes.
    eventually(PATIENCE, "all to be rotated away", || async {
        let current = fs::metadata(&old).map_or(0, |metadata| metadata.len());
        Ok(if current == 0 { Ok(()) } else { Err(current) })
    })
    .await?;
    let read = files(&old)
        .iter()
        .filter(|path| path.exists())
        .map(|path| lines(path))
        .collect::<Result<Vec<_>>>()?;
    ensure!(sequences(&each(&read.concat(), "event")) == all, "{:?}", files(&old));

    // Somebody rotates: what comes goes into a file of the same name.
    let moved = folder.join("moved");
    fs::rename(&plain, &moved)?;
    let later = live(&daemon, &pair, 7503).await?;
    wait_events(&plain, EVENTS).await?;
    let read = [lines(&moved)?, lines(&plain)?].concat();
    let later: Vec<u64> = later.iter().map(|event| event.sequence).collect();
    ensure!(sequences(&each(&read, "event")) == [all, later].concat());

    // The daemon's end is the last line, and the next one appends.
    let before = lines(&plain)?.len();
    ensure!(daemon.stop().await?.success(), "{}", daemon.stderr());
    let stopped = lines(&plain)?;
    ensure!(stopped.len() == before + 1, "{before} and {}", stopped.len());
    ensure!(stopped[before]["node_status"]["state"] == "NODE_STATE_STOPPING", "{}", stopped[before]);
    let next = configured(&text)?.start().await?;
    live(&next, &pair, 7503).await?;
    let appended = wait_events(&plain, 2 * EVENTS).await?;
    ensure!(appended[..stopped.len()] == stopped && appended.len() == stopped.len() + 1 + EVENTS);
    ensure!(appended[stopped.len()]["node_status"]["state"] == "NODE_STATE_CONNECTED");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_the_exporters_own_lines_alone() -> Result<()> {
    let pair = NetnsPair::new()?;
    let folder = scratch("disk")?;
    let mounted = format!("mount -t tmpfs -o size=8m tmpfs {} && exec \"$0\" \"$@\"", folder.display());
    let text = format!(
        "subscriber_queue = 2000\n[json.full]\npath = '{}'\nallow = {{ port = '7504-7506' }}\nincidents = false\n",
        folder.join("full").display()
    );
    let daemon = configured(&text)?.through(["unshare", "--mount", "sh", "-c", &mounted]).start().await?;
    // As the daemon sees it.
    let root = PathBuf::from(format!("/proc/{}/root{}", daemon.pid(), folder.display()));
    let (full, filler) = (root.join("full"), root.join("filler"));
    live(&daemon, &pair, 7504).await?;
    wait_events(&full, EVENTS).await?;
    ensure!(fs::write(&filler, vec![7; 16 << 20]).is_err(), "there was room for 16 MiB");

    // The ends alone: they find room in a queue of that size however late the test reads.
    let ends = Filter { types: vec![EventType::TcpClose.into()], ports: vec![7505], ..Filter::default() };
    let watch = Watch::filtered(&daemon, vec![ends], Vec::new()).await?;
    workload::paced(&pair.left().netns, 7505, 1_000, 2_000).await?;
    watch.wait_count("all of it", 2_000, |_| true).await?;
    let paused = wait_state(&daemon, "json.full", ExporterState::Retrying).await?;
    ensure!(paused.last_error.contains("No space left on device"), "{paused:?}");
    ensure!(paused.retries > 0 && lost(&paused) > 0 && paused.queued > 0, "{paused:?}");
    ensure!(daemon.stderr().contains("exporter json.full: No space left"), "{}", daemon.stderr());
    ensure!(watch.lost().is_empty(), "{:?}", watch.lost());

    fs::remove_file(&filler)?;
    wait_state(&daemon, "json.full", ExporterState::Running).await?;
    live(&daemon, &pair, 7506).await?;
    let written = eventually(PATIENCE, "what comes after", || async {
        let written = lines(&full)?;
        let after = |one: &&Value| one["event"].to_string().contains("\"port\":7506");
        let count = written.iter().filter(after).count();
        Ok(if count == EVENTS { Ok(written) } else { Err(count) })
    })
    .await?;
    // All lines are whole, and what is missing is said where it is.
    let missing: u64 = each(&written, "lost").iter().filter_map(|lost| lost["count"].as_u64()).sum();
    let after = exporter(&daemon, "json.full").await?;
    ensure!(missing == lost(&after), "{missing} are told, {after:?}");
    let events = each(&written, "event");
    ensure!(events.len() as u64 + missing == 2 * EVENTS as u64 + 4_000, "{} events", events.len());
    let numbers = sequences(&events);
    ensure!(numbers.is_sorted_by(|a, b| a < b), "some are twice, or not in order");
    let at = written.iter().position(|line| line["lost"].is_object()).context("nothing is lost")?;
    let around = (&written[at - 1]["event"]["sequence"], &written[at + 1]["event"]["sequence"]);
    let gap = around.1.as_u64().zip(around.0.as_u64()).map(|(after, before)| after - before);
    ensure!(gap > Some(written[at]["lost"]["count"].as_u64().unwrap_or(0)), "{around:?}");
    Ok(())
}
