//! Names of outside addresses: what reading name servers' answers costs each packet, each answer, and a busy connection.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use observer_proto::v1::GetStatusRequest;
use observer_proto::v1::observer_client::ObserverClient;
use observer_tests::firings::count_runs;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Netns, NetnsPair, workload};
use serde::Serialize;

use crate::machine::Machine;

/// Where the servers of the packets that are no answers listen: one takes what comes, one sends it back.
const PORTS: [(u16, &str); 2] = [(7250, "--sink"), (7251, "--echo")];
/// An answer with one address: 57 bytes.
const ANSWER: &[u8] = b"\0\x07\x81\x80\0\x01\0\x01\0\0\0\0\x04name\x05bench\x07example\0\0\x01\0\x01\
    \xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xcb\0\x71\x01";

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Answers of a name server
    #[arg(long, value_name = "N")]
    answers: Option<u32>,
    /// Bytes of the packets that are no answers
    #[arg(long, value_name = "N")]
    bytes: Option<u64>,
    /// Requests on one connection, one after the other, a round
    #[arg(long, value_name = "N")]
    requests: Option<u32>,
    /// Rounds of those, with and without
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
}

/// The same with nothing left open.
struct Extent {
    answers: u32,
    bytes: u64,
    requests: u32,
    rounds: usize,
}

impl Extent {
    fn of(args: &Args, quick: bool) -> Self {
        let (answers, bytes, requests, rounds) =
            if quick { (2000, 3_000_000, 2000, 1) } else { (100_000, 300_000_000, 50_000, 9) };
        Self {
            answers: args.answers.unwrap_or(answers),
            bytes: args.bytes.unwrap_or(bytes),
            requests: args.requests.unwrap_or(requests),
            rounds: args.rounds.unwrap_or(rounds),
        }
    }
}

/// What came out. Nanoseconds include the kernel's own counting of them, but for `packet_in_a_loop_ns`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    /// Packets that are no answers, and what the program takes for each.
    packets: u64,
    packet_ns: f64,
    /// The same where the kernel runs the program in a loop (`BPF_PROG_TEST_RUN`): caches are warm, nothing is counted.
    packet_in_a_loop_ns: u64,
    /// Answers, and what the program takes for each.
    answers: u64,
    answer_ns: f64,
    /// What the daemon takes for each answer, in microseconds.
    answer_daemon_us: f64,
    /// Requests a second on one connection with names being read, for each without: the median of pairs, and the
    /// least and the most.
    requests_kept: [f64; 3],
}

/// Measures all of it.
pub(crate) async fn run(args: &Args, quick: bool) -> Result<Report> {
    let (machine, args) = (Machine::this(), Extent::of(args, quick));
    let pair = NetnsPair::new()?;
    let (left, right) = (&pair.left().netns, pair.right());
    // Else one packet would be up to 64 KiB of segments.
    left.output("ip", ["link", "set", "dev", "eth0", "gso_max_segs", "1"])?;
    let mut serving = Vec::new();
    for (port, mode) in PORTS {
        let server = workload::in_netns(&right.netns, ["serve", "--port", &port.to_string(), mode])?;
        server.wait_for("it to listen", PATIENCE, |line| line.get("listening").is_some()).await?;
        serving.push(server);
    }
    let [sink, echo] = PORTS.map(|(port, _)| format!("{}:{port}", right.ip));

    let daemon = start(&["--dns"]).await?;
    let counting = count_runs()?;
    let before = figures(&daemon).await?;
    connect(left, &sink, &["--send", &args.bytes.to_string(), "--receive", "0"]).await?;
    let (packets, packet_ns) = since(before, figures(&daemon).await?)?;
    let (before, cpu) = (figures(&daemon).await?, daemon.cpu()?);
    answer(left, &right.netns, SocketAddr::new(right.ip.into(), 53), args.answers)?;
    let (answers, answer_ns) = since(before, figures(&daemon).await?)?;
    let answer_daemon_us = daemon.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6 / f64::from(args.answers);
    drop(counting);
    let packet_in_a_loop_ns = in_a_loop(&daemon)?;
    drop(daemon);
    println!(
        "a packet {packet_ns:.0} ns ({packet_in_a_loop_ns} in a loop), an answer {answer_ns:.0} ns and {answer_daemon_us:.1} us in the daemon"
    );

    let requests = args.requests.to_string();
    let mut kept = Vec::new();
    for _ in 0..args.rounds {
        let mut took = [Duration::ZERO; 2];
        for (took, flags) in took.iter_mut().zip([&[][..], &["--dns"]]) {
            let _daemon = start(flags).await?;
            let begun = Instant::now();
            connect(left, &echo, &["--requests", &requests, "--bytes", "100"]).await?;
            *took = begun.elapsed();
        }
        kept.push(took[0].as_secs_f64() / took[1].as_secs_f64());
    }
    kept.sort_by(f64::total_cmp);
    let at = |place: usize| kept.get(place).copied().map(|kept| (kept * 1000.0).round() / 1000.0);
    let requests_kept = [at(kept.len() / 2), at(0), at(kept.len() - 1)].map(Option::unwrap_or_default);
    println!("requests kept: {requests_kept:?}");
    Ok(Report {
        machine,
        packets,
        packet_ns,
        packet_in_a_loop_ns,
        answers,
        answer_ns,
        answer_daemon_us,
        requests_kept,
    })
}

async fn start(flags: &[&str]) -> Result<Daemon> {
    Daemon::bare().args(["--cri-endpoint", "none", "--log", "warn"]).args(flags.iter().copied()).start().await
}

async fn connect(from: &Netns, to: &str, flags: &[&str]) -> Result<()> {
    let mut asking =
        workload::in_netns(from, ["connect", "--to", to].into_iter().chain(flags.iter().copied()))?;
    ensure!(asking.wait().await?.success(), "{}", asking.stderr());
    Ok(())
}

/// How often the program ran, and how long.
async fn figures(daemon: &Daemon) -> Result<[u64; 2]> {
    let mut client = ObserverClient::new(daemon.channel().await?);
    let status = client.get_status(GetStatusRequest {}).await?.into_inner().status.context("no status")?;
    let program = status.probes.iter().find(|probe| probe.name == "dns_answers").context("no program")?;
    Ok([program.run_count, program.run_time_ns])
}

/// What the kernel says that a run takes, on a segment of TCP.
fn in_a_loop(daemon: &Daemon) -> Result<u64> {
    let list = bpftool(&["-j", "prog", "list"])?;
    let programs: Vec<serde_json::Value> = serde_json::from_str(&list)?;
    let program = programs.iter().rfind(|program| program["name"] == "dns_answers").context("no program")?;
    let id = program["id"].to_string();
    // Ethernet, IPv4, and the ports of a segment of TCP.
    let mut packet = vec![2; 12];
    packet.extend([
        8, 0, 0x45, 0, 5, 0xac, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x1f, 0x90, 0x9c, 0x40,
    ]);
    packet.resize(14 + 1452, 0);
    let file = daemon.dir().join("packet");
    std::fs::write(&file, packet)?;
    let file = file.display().to_string();
    let said = bpftool(&["-j", "prog", "run", "id", &id, "data_in", &file, "repeat", "5000000"])?;
    let said: serde_json::Value = serde_json::from_str(&said)?;
    ensure!(said["retval"] == 1, "{said}");
    said["duration"].as_u64().context("no duration")
}

fn bpftool(args: &[&str]) -> Result<String> {
    let output = std::process::Command::new("bpftool").args(args).output().context("cannot run bpftool")?;
    ensure!(output.status.success(), "bpftool: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// How often it ran between two readings, and the nanoseconds of each run, with one decimal.
fn since(before: [u64; 2], after: [u64; 2]) -> Result<(u64, f64)> {
    let [runs, time] = [0, 1].map(|index: usize| after[index] - before[index]);
    ensure!(runs > 0, "it did not run");
    Ok((runs, (time as f64 / runs as f64 * 10.0).round() / 10.0))
}

/// Answers from one namespace to the other, one at a time.
fn answer(to: &Netns, from: &Netns, at: SocketAddr, count: u32) -> Result<()> {
    let server = from.run(|| Ok(UdpSocket::bind(at)?))?;
    let client = to.run(|| Ok(UdpSocket::bind("0.0.0.0:0")?))?;
    let here = SocketAddr::new(to_address(&client, at)?, client.local_addr()?.port());
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(PATIENCE))?;
    }
    let mut buffer = [0; 512];
    for _ in 0..count {
        server.send_to(ANSWER, here)?;
        ensure!(client.recv(&mut buffer)? == ANSWER.len(), "another length");
    }
    Ok(())
}

/// The address that the client has towards the server.
fn to_address(client: &UdpSocket, at: SocketAddr) -> Result<std::net::IpAddr> {
    client.connect(at)?;
    Ok(client.local_addr()?.ip())
}
