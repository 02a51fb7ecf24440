//! What is sent again is told as often as a capture has it, phase by phase.
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::event::Detail;
use observer_proto::v1::{Event, EventType, Filter, RetransmitPhase};
use observer_tests::firings::Firings;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Lines, Loss, Packets, Pod, Testbed, Watch, eventually};
use rustix::process::Signal;

const NAMESPACE: &str = "capture";
const CONNECTIONS: u64 = 200;
/// How often it is tried to have a run in which the kernel hides nothing from programs.
const TRIES: u32 = 2;

/// Segments sent again, by phase.
type Phases = BTreeMap<&'static str, u64>;

/// tcpdump at work in a pod, on what the pod sends.
struct Capture {
    tcpdump: Lines,
    file: PathBuf,
}

impl Capture {
    async fn start(pod: &Pod, dir: &Path) -> Result<Self> {
        let file = dir.join(format!("{}.pcap", pod.name()));
        let mut command = pod.netns().command("tcpdump");
        // The first bytes of each packet, and room for those that come faster than they are written.
        command.args([
            "-i",
            "eth0",
            "-Q",
            "out",
            "-nn",
            "-s",
            "100",
            "-B",
            "65536",
            "--immediate-mode",
            "-U",
        ]);
        command.args(["-Z", "root", "-w"]).arg(&file).arg("tcp port 8080");
        let tcpdump = Lines::spawn("tcpdump", command)?;
        eventually(PATIENCE, "tcpdump to listen", async || {
            let said = tcpdump.stderr();
            Ok(if said.contains("listening on") { Ok(()) } else { Err(said) })
        })
        .await?;
        Ok(Self { tcpdump, file })
    }

    /// Ends it and gives what was sent again, as tcpdump itself reads its file.
    async fn sent_again(mut self) -> Result<Phases> {
        self.tcpdump.signal(Signal::INT)?;
        self.tcpdump.wait().await?;
        let said = self.tcpdump.stderr();
        ensure!(said.contains("\n0 packets dropped by kernel"), "{said}");
        let mut command = Command::new("tcpdump");
        command.args(["-nn", "-S", "-t", "-r"]).arg(&self.file);
        let output = command.output().context("cannot run tcpdump")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        sent_again(&String::from_utf8(output.stdout)?)
    }
}

/// The segments that begin before the end of what was sent already, in lines such as `IP 10.0.0.1.4321 > 10.0.0.2.80:
/// Flags [P.], seq 7:9, ack 1, win 502, length 2`.
fn sent_again(text: &str) -> Result<Phases> {
    let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
    let mut phases = Phases::new();
    for line in text.lines() {
        let (flow, rest) = line.split_once(": Flags [").with_context(|| format!("no flags: {line}"))?;
        let (flags, rest) = rest.split_once(']').context("no end of flags")?;
        // What has no sequence number, only acknowledges.
        let Some(sequence) = rest.split(", ").find_map(|word| word.strip_prefix("seq ")) else { continue };
        let (start, end) = sequence.split_once(':').unwrap_or((sequence, sequence));
        let (start, end): (u32, u32) = (start.parse()?, end.parse()?);
        let control = u32::from(flags.contains(['S', 'F']));
        let next = end.wrapping_add(control);
        if next == start || flags.contains('R') {
            continue;
        }
        let Some(sent) = ends.get_mut(flow) else {
            ends.insert(flow, next);
            continue;
        };
        if start.wrapping_sub(*sent).cast_signed() >= 0 {
            *sent = next;
            continue;
        }
        let phase = match (flags.contains('S'), flags.contains('.')) {
            (true, false) => RetransmitPhase::Syn,
            (true, true) => RetransmitPhase::SynAck,
            (false, _) if start == end => RetransmitPhase::Fin,
            (false, _) => RetransmitPhase::Data,
        };
        *phases.entry(phase.as_str_name()).or_default() += 1;
    }
    Ok(phases)
}

fn told(events: &[Event], pod: &Pod) -> Phases {
    let mut phases = Phases::new();
    for event in events {
        if let Some(Detail::TcpRetransmit(detail)) = &event.detail
            && event.workload.as_ref().is_some_and(|workload| workload.pod == pod.name())
        {
            *phases.entry(detail.phase().as_str_name()).or_default() += u64::from(detail.segments);
        }
    }
    phases
}

fn lose(server: &Pod, client: &Pod) -> Result<Vec<Loss>> {
    let fin = Packets::tcp().and("tcp flags & fin == fin");
    // Packets are lost where they arrive: the sender's capture has them.
    Ok(vec![
        server.lose(15, &Packets::syn())?,
        client.lose(15, &Packets::syn_ack())?,
        server.lose(3, &Packets::data())?,
        client.lose(3, &Packets::data())?,
        server.lose(20, &fin)?,
        client.lose(20, &fin)?,
    ])
}

/// Gives how many firings of hooks the kernel hid from programs meanwhile.
async fn events_tell_what_captures_show() -> Result<u64> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).with_room().start().await?;
    let firings = Firings::start(&daemon)?;
    let filter = Filter { namespaces: vec![NAMESPACE.to_owned()], ..Filter::default() };
    let watch = Watch::filtered(&daemon, vec![filter], Vec::new()).await?;
    let server = testbed.pod(NAMESPACE, "server").run().await?;
    server.container("serve", ["workload", "serve", "--port", "8080"]).start_until("listening").await?;
    let client = testbed.pod(NAMESPACE, "client").run().await?;
    let mut captures = Vec::new();
    for pod in [&client, &server] {
        // Else a packet is many segments on its way through the namespace.
        pod.netns().output("ip", ["link", "set", "dev", "eth0", "gso_max_segs", "1"])?;
        captures.push(Capture::start(pod, daemon.dir()).await?);
    }
    let losses = lose(&server, &client)?;
    let (to, count) = (format!("{}:8080", server.ip()?), CONNECTIONS.to_string());
    let argv =
        ["workload", "connect", "--to", &to, "--count", &count, "--parallel", "50", "--bytes", "20000"];
    client.container("connect", argv).start().await?.output().await?;
    // What was lost by now is sent again all the same. A FIN that went on being lost would be sent again at twice the
    // time each time, and its connection would not end for a minute.
    drop(losses);
    eventually(PATIENCE, "all connections to be closed", async || {
        let filter = ["-Htan", "exclude", "listening", "exclude", "time-wait"];
        let open = client.netns().output("ss", filter)? + &server.netns().output("ss", filter)?;
        Ok(if open.is_empty() { Ok(()) } else { Err(open) })
    })
    .await?;
    // A daemon that gets no processor on a busy machine may pause between events.
    eventually(PATIENCE, "all connections to be told", async || {
        watch.settle(|_| true).await?;
        let closed = watch.count(|event| event.r#type() == EventType::TcpClose) as u64;
        Ok(if closed + firings.unseen()? >= 2 * CONNECTIONS { Ok(()) } else { Err(closed) })
    })
    .await?;
    ensure!(watch.lost().is_empty(), "{:?}", watch.lost());

    let (events, hidden) = (watch.events(|_| true), firings.unseen()?);
    let expected = [
        (&client, [RetransmitPhase::Syn, RetransmitPhase::Data, RetransmitPhase::Fin]),
        (&server, [RetransmitPhase::SynAck, RetransmitPhase::Data, RetransmitPhase::Fin]),
    ];
    for ((pod, phases), capture) in expected.into_iter().zip(captures) {
        let (told, captured) = (told(&events, pod), capture.sent_again().await?);
        println!("{}: told {told:?}, captured {captured:?}, {hidden} hidden", pod.name());
        let phases = BTreeSet::from(phases.map(|phase| phase.as_str_name()));
        ensure!(captured.keys().copied().collect::<BTreeSet<_>>() == phases, "{captured:?}");
        let counted = pod.counters()?.get("RetransSegs")?;
        ensure!(captured.values().sum::<u64>() == u64::try_from(counted)?, "{counted} counted, {captured:?}");
        for (phase, captured) in &captured {
            let told = told.get(phase).copied().unwrap_or(0);
            ensure!((told..=told + hidden).contains(captured), "{phase}: told {told}, captured {captured}");
        }
        ensure!(told.keys().all(|phase| captured.contains_key(phase)), "{told:?}");
    }
    drop(watch);
    server.remove().await?;
    client.remove().await?;
    Ok(hidden)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_phase_is_told_as_often_as_a_capture_shows_it() -> Result<()> {
    for _ in 0..TRIES {
        // Where something is hidden, the figures are right but for that much; better to see all of it.
        if events_tell_what_captures_show().await? == 0 {
            break;
        }
    }
    Ok(())
}
