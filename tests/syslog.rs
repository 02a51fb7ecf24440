//! Syslog's receivers and the journal get what clients get; one that is dead costs its own messages alone.
#![allow(clippy::disallowed_methods, reason = "it measures how long the daemon takes to end")]

use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use observer_proto::v1::{Event, ExporterState};
use observer_tests::exporting::{configured, exporter, lost, scratch, wait_state};
use observer_tests::receiver::{self, Journal, Tcp};
use observer_tests::recording::{COUNT, live, ports};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, NetnsPair, Watch, client, eventually, workload};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use serde_json::Value;

/// Events of `live`.
const EVENTS: usize = 4 * COUNT as usize;

/// A message of RFC 5424, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Message<'a> {
    priority: u32,
    time: &'a str,
    host: &'a str,
    app: &'a str,
    process: &'a str,
    id: &'a str,
    text: &'a str,
}

fn parse(message: &str) -> Result<Message<'_>> {
    let (priority, rest) = message.strip_prefix('<').and_then(|rest| rest.split_once('>')).context("no <")?;
    let mut words = rest.splitn(8, ' ');
    let mut word = || words.next().with_context(|| format!("too short: {message}"));
    ensure!(word()? == "1", "{message}");
    let (time, host, app, process, id) = (word()?, word()?, word()?, word()?, word()?);
    ensure!(word()? == "-", "{message}");
    Ok(Message { priority: priority.parse()?, time, host, app, process, id, text: word()? })
}

/// What `observer events` shows of a port, without node.
async fn shown(daemon: &Daemon, port: &str) -> Result<Vec<String>> {
    let args = ["events", "--all", "--port", port, "--time-format", "none", "--color", "never"];
    let output = client::run(daemon.socket(), args).await?;
    ensure!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout)?;
    let lines = text.lines().filter_map(|line| line.split_once("]: "));
    Ok(lines.map(|(_, line)| line.to_owned()).filter(|line| line.contains(" tcp_")).collect())
}

/// The microsecond of an event, as messages have it.
fn micros(event: &Event) -> Option<(i64, i32)> {
    event.time.map(|time| (time.seconds, time.nanos / 1_000))
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_get_what_clients_get() -> Result<()> {
    let pair = NetnsPair::new()?;
    let folder = scratch("syslog")?;
    let (local, execs) = (receiver::unix(&folder.join("log"))?, receiver::unix(&folder.join("execs"))?);
    let (address, datagrams) = receiver::udp()?;
    let stream = Tcp::listen("127.0.0.1:0".parse()?)?;
    let journal = Journal::start().await?;
    let common = "allow = { port = 7511 }\nmin_severity = 'info'\nincidents = false\n";
    let text = format!(
        "node_name = 'nöde'\n\
         [syslog.local]\naddress = '{}'\nfacility = 'local5'\n{common}\
         [syslog.udp]\naddress = 'udp://{address}'\n{common}\
         [syslog.tcp]\naddress = 'tcp://{}'\n{common}format = 'json'\n\
         [syslog.journal]\naddress = 'journal://{}'\n{common}\
         [syslog.execs]\naddress = '{}'\nallow = {{ type = 'process_exec' }}\nmin_severity = 'info'\n\
         [syslog.few]\naddress = '{}'\nallow = {{ port = 7511 }}\nmin_severity = 'warning'\n",
        folder.join("log").display(),
        stream.address(),
        journal.socket().display(),
        folder.join("execs").display(),
        folder.join("execs").display(),
    );
    let mut daemon = configured(&text)?.start().await?;
    let pid = daemon.pid().to_string();
    let events = live(&daemon, &pair, 7511).await?;
    ensure!(events.len() == EVENTS, "{} events", events.len());
    let expected = shown(&daemon, "7511").await?;
    ensure!(expected.len() == EVENTS, "{expected:?}");

    for (messages, facility) in [(local, 21), (datagrams, 3)] {
        let came = messages.wait(EVENTS).await?;
        let came = came.iter().map(|message| parse(message)).collect::<Result<Vec<_>>>()?;
        // Others may have lost something meanwhile.
        let came: Vec<_> = came.into_iter().filter(|message| message.id != "lost").collect();
        ensure!(came.len() == EVENTS, "{} messages", came.len());
        for ((message, event), line) in came.iter().zip(&events).zip(&expected) {
            ensure!(message.text == line, "{message:?} is not {line}");
            ensure!(message.id == event.r#type().as_str_name(), "{message:?}");
            let (host, app, process) = (message.host, message.app, message.process);
            ensure!((host, app, process) == ("n?de", "observer", pid.as_str()), "{message:?}");
            // Whatever failed matters more than the rest.
            ensure!([facility * 8 + 6, facility * 8 + 4].contains(&message.priority), "{message:?}");
            let (_, nanos) = message.time.split_once('.').context("no fraction")?;
            ensure!(nanos == format!("{:06}Z", micros(event).context("no time")?.1), "{message:?}");
        }
    }
    let came = stream.messages.wait(EVENTS).await?;
    let numbers = came.iter().filter_map(|message| {
        let json: Value = serde_json::from_str(parse(message).ok()?.text).ok()?;
        json["event"]["sequence"].as_u64()
    });
    ensure!(numbers.eq(events.iter().map(|event| event.sequence)), "{} messages", came.len());

    // As systemd's own reader finds them.
    let entries = eventually(PATIENCE, "the journal", || async {
        let mut entries = journal.read("observer")?;
        entries.retain(|entry| entry["OBSERVER_EVENT_TYPE"] != "lost");
        Ok(if entries.len() >= EVENTS { Ok(entries) } else { Err(entries.len()) })
    })
    .await?;
    for ((entry, event), line) in entries.iter().zip(&events).zip(&expected) {
        ensure!(entry["MESSAGE"] == line.as_str(), "{entry} is not {line}");
        ensure!(entry["OBSERVER_EVENT_TYPE"] == event.r#type().as_str_name(), "{entry}");
        ensure!(entry["OBSERVER_SEQUENCE"].as_str() == Some(&event.sequence.to_string()), "{entry}");
        ensure!(entry["OBSERVER_NODE"] == "nöde" && entry["SYSLOG_FACILITY"] == "3", "{entry}");
        ensure!(["6", "4"].map(Value::from).contains(&entry["PRIORITY"]) && entry["_PID"] == pid, "{entry}");
    }

    // Text of others cannot steer a terminal or break a line, and what matters too little is left out.
    Command::new("true").arg("\u{1b}[2J\nJan 1 fake: \u{9b}").status()?;
    eventually(PATIENCE, "the hostile command", || async {
        let came = execs.all();
        let told = came.iter().any(|message| message.contains("\\x1b[2J\\nJan 1 fake: \\x9b"));
        Ok(if told { Ok(()) } else { Err(came.len()) })
    })
    .await?;
    ensure!(daemon.stop().await?.success());
    let came = execs.all();
    ensure!(came.iter().all(|message| !message.chars().any(char::is_control)), "{came:?}");
    let ids: Vec<_> =
        came.iter().filter_map(|message| parse(message).ok()).map(|message| message.id).collect();
    ensure!(ids.iter().all(|id| ["process_exec", "lost", "node_status", "folded"].contains(id)), "{ids:?}");
    ensure!(ids.contains(&"node_status"), "its end is not told: {ids:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_receiver_costs_its_own_messages_alone() -> Result<()> {
    let pair = NetnsPair::new()?;
    // A port that nobody listens at now.
    let address = Tcp::listen("127.0.0.1:0".parse()?)?.address();
    let text = format!(
        "subscriber_queue = 2000\n[syslog.far]\naddress = 'tcp://{address}'\nallow = {{ port = '7512-7514' }}\n\
         min_severity = 'info'\nincidents = false\n",
    );
    let mut daemon = configured(&text)?.start().await?;
    let watch = Watch::filtered(&daemon, ports(&[7512]).allow, Vec::new()).await?;
    workload::paced(&pair.left().netns, 7512, 1_000, 500).await?;
    watch.wait_count("all of it", 4_000, |_| true).await?;
    ensure!(watch.lost().is_empty(), "{:?}", watch.lost());
    let dead = wait_state(&daemon, "syslog.far", ExporterState::Retrying).await?;
    ensure!(dead.last_error.contains("Connection refused") && dead.sent == 0, "{dead:?}");
    ensure!(dead.retries > 0 && lost(&dead) > 0 && dead.kind == "syslog", "{dead:?}");

    let come = Tcp::listen(address)?;
    wait_state(&daemon, "syslog.far", ExporterState::Running).await?;
    let of_port = |messages: &[String], port: &str| {
        let id = |message: &String| parse(message).is_ok_and(|message| message.id.starts_with("tcp_"));
        messages.iter().filter(|message| id(message) && message.contains(port)).count()
    };
    live(&daemon, &pair, 7513).await?;
    let came = eventually(PATIENCE, "what comes after", || async {
        let came = come.messages.all();
        Ok(if of_port(&came, ":7513") == EVENTS { Ok(came) } else { Err(of_port(&came, ":7513")) })
    })
    .await?;
    let told = exporter(&daemon, "syslog.far").await?;
    let arrived = of_port(&came, ":7512") as u64;
    ensure!(arrived + lost(&told) == 4_000, "{arrived} came, {told:?}");
    let losses = came.iter().filter(|message| parse(message).is_ok_and(|message| message.id == "lost"));
    ensure!(losses.count() > 0, "the loss is not told");

    // It goes away and comes back.
    drop(come);
    live(&daemon, &pair, 7514).await?;
    let back = Tcp::listen(address)?;
    eventually(PATIENCE, "all that came meanwhile", || async {
        let came = back.messages.all();
        Ok(if of_port(&came, ":7514") == EVENTS { Ok(()) } else { Err(of_port(&came, ":7514")) })
    })
    .await?;
    ensure!(lost(&exporter(&daemon, "syslog.far").await?) == lost(&told));
    ensure!(daemon.stop().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_reads_nothing_keeps_the_daemon_from_nothing() -> Result<()> {
    let pair = NetnsPair::new()?;
    // Connections are made by the kernel, and nobody ever takes one.
    let deaf = TcpListener::bind("127.0.0.1:0")?;
    set_socket_recv_buffer_size(&deaf, 4_096)?;
    let text = format!(
        "subscriber_queue = 2000\n[syslog.deaf]\naddress = 'tcp://{}'\nallow = {{ port = 7515 }}\n\
         min_severity = 'info'\nformat = 'json'\nincidents = false\n",
        deaf.local_addr()?
    );
    let mut daemon = configured(&text)?.start().await?;
    let watch = Watch::filtered(&daemon, ports(&[7515]).allow, Vec::new()).await?;
    let mut events = 0;
    let before = AtomicU64::new(u64::MAX);
    // A queue that overflowed may be empty a moment later: it has to stand still as well.
    let stuck = eventually(PATIENCE, "its queue to be full", || {
        let (daemon, pair, watch, before) = (&daemon, &pair, &watch, &before);
        events += 4_000;
        async move {
            workload::paced(&pair.left().netns, 7515, 1_000, 500).await?;
            watch.wait_count("all of it", events, |_| true).await?;
            let told = exporter(daemon, "syslog.deaf").await?;
            let stands = before.swap(told.sent, Ordering::Relaxed) == told.sent;
            Ok(if stands && lost(&told) > 0 { Ok(told) } else { Err(told) })
        }
    })
    .await?;
    ensure!(stuck.queued > 0, "{stuck:?}");
    ensure!(watch.lost().is_empty(), "{:?}", watch.lost());
    let begun = Instant::now();
    ensure!(daemon.stop().await?.success());
    let took = begun.elapsed();
    // 2 s for what it may still send, and what the daemon's end takes in any case.
    ensure!(took < Duration::from_secs(5), "it ended after {took:?}");
    let said = daemon.stderr();
    ensure!(said.contains("exporter syslog.deaf: the daemon ends before all was sent"), "{said}");
    ensure!(!said.contains("panicked"), "{said}");
    Ok(())
}
