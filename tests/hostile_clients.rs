//! Whatever clients do, others get all of theirs, are answered soon, and the daemon keeps below its bound of memory.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it tells what it measured, and when")]

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{Event, Filter, GetStatusRequest, WatchEventsRequest};
use observer_tests::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, call, frame,
    message,
};
use observer_tests::wait::PATIENCE;
use observer_tests::watch::to_port;
use observer_tests::{Daemon, Frames, NetnsPair, Steady, Watch, eventually};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;

const PORT: u16 = 7451;
/// Connections a second of those whose events have to come; each is six events.
const RATE: u64 = 200;
const EVENTS: usize = 6;
/// A round of load. There are as many as it takes.
const ROUND: Duration = Duration::from_secs(2);
/// The daemon's bound unless told otherwise.
const MOST: u64 = 128 << 20;
/// Even now somebody new has to be answered within this.
const SOON: Duration = Duration::from_secs(10);

/// A daemon that listens at a port, too.
async fn start() -> Result<(Daemon, SocketAddr)> {
    let daemon =
        Daemon::bare().args(["--listen", "tcp://127.0.0.1:0", "--insecure-loopback"]).start().await?;
    let said = daemon.stderr();
    let line = said.lines().find_map(|line| line.split_once("of this machine may connect to "));
    let port = line.context("it does not say where")?.1.trim().parse()?;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok((daemon, port))
}

fn open_files(daemon: &Daemon) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", daemon.pid()))?.count())
}

async fn by_tcp(port: SocketAddr) -> Result<ObserverClient<Channel>> {
    let channel = Channel::from_shared(format!("http://{port}"))?.connect().await?;
    Ok(ObserverClient::new(channel))
}

/// New clients are answered, by both ways. Gives how long it took.
async fn is_answered(daemon: &Daemon, port: SocketAddr) -> Result<Duration> {
    let start = Instant::now();
    let asked = async || {
        let by_socket = ObserverClient::new(daemon.channel().await?);
        for mut client in [by_socket, by_tcp(port).await?] {
            client.get_status(GetStatusRequest {}).await?;
        }
        anyhow::Ok(())
    };
    // One that this busy process does not have speak at once may be sent away, and comes again.
    eventually(SOON, "a new client to be answered", async || {
        Ok(asked().await.map_err(|error| format!("{error:#}")))
    })
    .await?;
    Ok(start.elapsed())
}

/// What hostile clients do, a task each. They end by themselves; those of them that the daemon has to end say so if it
/// does not.
fn attack(port: SocketAddr, tasks: &mut JoinSet<Result<()>>) {
    for number in 0..100_u64 {
        tasks.spawn(garbage(port, number));
    }
    for _ in 0..600 {
        tasks.spawn(async move { Frames::silent(port).await?.ended().await });
    }
    for _ in 0..20 {
        tasks.spawn(half_a_frame(port));
        tasks.spawn(byte_by_byte(port));
        tasks.spawn(unfinished_requests(port));
    }
    for _ in 0..10 {
        tasks.spawn(taken_back(port, "WatchEvents", 1000));
        tasks.spawn(opened(port, 1000));
        tasks.spawn(without_a_window(port));
        tasks.spawn(endless_headers(port));
    }
    tasks.spawn(taken_back(port, "GetStatus", 10_000));
    tasks.spawn(opened(port, 10_000));
    for (kind, payload) in [(SETTINGS, [0, 4, 0, 0, 255, 255].as_slice()), (PING, b"whatever")] {
        tasks.spawn(flood(port, kind, payload));
    }
    tasks.spawn(persistently(move || four_gibibytes(port)));
    tasks.spawn(persistently(move || too_long(port)));
    tasks.spawn(persistently(move || much_of_little(port)));
}

/// Who connects now may be sent away before this busy process has it speak.
async fn persistently<F: Future<Output = Result<()>>>(mut attack: impl FnMut() -> F) -> Result<()> {
    eventually(PATIENCE, "the right answer", || {
        let attack = attack();
        async { Ok(attack.await) }
    })
    .await
}

async fn garbage(port: SocketAddr, seed: u64) -> Result<()> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(4096)
    .collect();
    // Some greet properly before.
    let greeted = seed.is_multiple_of(2);
    let mut client = if greeted { Frames::greeted(port).await? } else { Frames::silent(port).await? };
    client.say(&bytes).await;
    if greeted { Ok(()) } else { client.ended().await }
}

async fn half_a_frame(port: SocketAddr) -> Result<()> {
    let mut client = Frames::greeted(port).await?;
    let whole = frame(HEADERS, END_HEADERS, 1, &call("GetStatus"));
    client.say(&whole[..whole.len() / 2]).await;
    tokio::time::sleep(SOON).await;
    Ok(())
}

async fn byte_by_byte(port: SocketAddr) -> Result<()> {
    let mut client = Frames::silent(port).await?;
    let all = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, END_HEADERS, 1, &call("GetStatus"))];
    for byte in all.concat() {
        client.say(&[byte]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Large requests that are never complete, as many as the window allows.
async fn unfinished_requests(port: SocketAddr) -> Result<()> {
    let mut client = Frames::greeted(port).await?;
    let begin = message(1 << 20, &[b'u'; 16_000]);
    for stream in (1..9).step_by(2) {
        client.say(&frame(HEADERS, END_HEADERS, stream, &call("WatchEvents"))).await;
        client.say(&frame(DATA, 0, stream, &begin)).await;
    }
    tokio::time::sleep(SOON).await;
    Ok(())
}

/// Calls that are taken back at once.
async fn taken_back(port: SocketAddr, method: &str, count: u32) -> Result<()> {
    let mut client = Frames::greeted(port).await?;
    let request = message(0, &[]);
    for stream in (1..).step_by(2).take(count as usize) {
        let calls = [
            frame(HEADERS, END_HEADERS, stream, &call(method)),
            frame(DATA, END_STREAM, stream, &request),
            frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
        ];
        if !client.say(&calls.concat()).await {
            break;
        }
    }
    Ok(())
}

/// Calls that stay open, many more than are allowed.
async fn opened(port: SocketAddr, count: u32) -> Result<()> {
    let mut client = Frames::greeted(port).await?;
    for stream in (1..).step_by(2).take(count as usize) {
        if !client.say(&frame(HEADERS, END_HEADERS, stream, &call("WatchEvents"))).await {
            break;
        }
    }
    tokio::time::sleep(SOON).await;
    Ok(())
}

/// Streams of all events, of which it takes none.
async fn without_a_window(port: SocketAddr) -> Result<()> {
    let mut client = Frames::with_settings(port, &[(4, 0)]).await?;
    // `follow` and `first`.
    let request = message(2, &[0x18, 1]);
    for stream in (1..41).step_by(2) {
        client.say(&frame(HEADERS, END_HEADERS, stream, &call("WatchEvents"))).await;
        client.say(&frame(DATA, END_STREAM, stream, &request)).await;
    }
    tokio::time::sleep(SOON).await;
    Ok(())
}

/// A list of headers that does not end.
async fn endless_headers(port: SocketAddr) -> Result<()> {
    let mut client = Frames::greeted(port).await?;
    client.say(&frame(HEADERS, 0, 1, &call("GetStatus"))).await;
    let header = [b"\x00\x04many\x7f\x81\x7c".as_slice(), &[b'h'; 16_000]].concat();
    let more = frame(CONTINUATION, 0, 1, &header);
    let heard = async { while client.say(&more).await {} };
    tokio::time::timeout(PATIENCE, heard).await.context("the daemon hears of headers without an end")
}

/// What has to be answered, by somebody who does not read.
async fn flood(port: SocketAddr, kind: u8, payload: &[u8]) -> Result<()> {
    let mut client = Frames::greeted(port).await?;
    let many = frame(kind, 0, 0, payload).repeat(1000);
    let flood = async { while client.say(&many).await {} };
    // Whether it is ended or not read from any more.
    let _ = tokio::time::timeout(SOON, flood).await;
    Ok(())
}

async fn four_gibibytes(port: SocketAddr) -> Result<()> {
    let mut client = Frames::greeted(port).await?;
    client.say(&frame(HEADERS, END_HEADERS, 1, &call("WatchEvents"))).await;
    client.say(&frame(DATA, 0, 1, &message(u32::MAX, b"more"))).await;
    // Its answer, though the request has not ended.
    client.hears(HEADERS, 1).await
}

async fn refused(port: SocketAddr, allow: Vec<Filter>, code: Code) -> Result<()> {
    let request = WatchEventsRequest { allow, follow: true, ..WatchEventsRequest::default() };
    let status = by_tcp(port).await?.watch_events(request).await.err().context("it was taken")?;
    ensure!(status.code() == code, "{status}");
    Ok(())
}

/// One byte more than is allowed.
async fn too_long(port: SocketAddr) -> Result<()> {
    // The filter's and the name's own prefixes, and `follow`.
    let name = "n".repeat((1 << 20) + 1 - 10);
    refused(port, vec![Filter { namespaces: vec![name], ..Filter::default() }], Code::OutOfRange).await
}

/// As long as allowed, of filters of two bytes that would take hundreds each.
async fn much_of_little(port: SocketAddr) -> Result<()> {
    refused(port, vec![Filter::default(); (1 << 19) - 1], Code::InvalidArgument).await
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_clients_change_nothing_for_others() -> Result<()> {
    let pair = NetnsPair::new()?;
    let (daemon, port) = start().await?;
    is_answered(&daemon, port).await?;
    let filter = Filter { ports: vec![PORT.into()], ..Filter::default() };
    let watch = Watch::filtered(&daemon, vec![filter], Vec::new()).await?;
    let before = open_files(&daemon)?;
    // What the start took is none of theirs.
    fs::write(format!("/proc/{}/clear_refs", daemon.pid()), "5")?;
    let mut load = Steady::start(&pair.left().netns, None, ["aborted", "--port", &PORT.to_string()])?;

    let mut tasks = JoinSet::new();
    attack(port, &mut tasks);
    let (mut made, mut slowest, mut most_files) = (0, Duration::ZERO, 0);
    while !tasks.is_empty() {
        load.begin(ROUND, Some(RATE))?;
        let end = Instant::now() + ROUND;
        while Instant::now() < end {
            slowest = slowest.max(is_answered(&daemon, port).await?);
            // As many calls in a second as one client may make are the attackers' as well.
            tokio::time::sleep(Duration::from_millis(20)).await;
            most_files = most_files.max(open_files(&daemon)?);
            while let Some(done) = tasks.try_join_next() {
                done??;
            }
        }
        made += load.done()?.count as usize;
    }
    let ours = |event: &Event| to_port(event, PORT);
    watch.wait_count("events", EVENTS * made, ours).await?;
    watch.settle(ours).await?;
    ensure!(watch.count(ours) == EVENTS * made, "{} of {made} connections", watch.count(ours));
    let (lost, folded) = (watch.lost(), watch.folded());
    ensure!(lost.is_empty() && folded.is_empty(), "lost {lost:?}, only counted {folded:?}");

    let (now, most) = daemon.memory()?;
    println!(
        "{} events; the slowest new client was answered after {slowest:?}; {} KiB at most, {} KiB now, {most_files} files",
        EVENTS * made,
        most >> 10,
        now >> 10
    );
    ensure!(most <= MOST, "{most} bytes");
    eventually(PATIENCE, "the files of hostile clients to be closed", async || {
        let files = open_files(&daemon)?;
        Ok(if files <= before { Ok(()) } else { Err(files) })
    })
    .await?;
    is_answered(&daemon, port).await?;
    Ok(())
}
