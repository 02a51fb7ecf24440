//! More processors may come than are there, and the wall clock steps: neither bends what is told.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::guest::{Guest, address, detail, number, port_of};

/// Steps of the wall clock, in seconds: forwards, and further back.
const STEPS: [i64; 2] = [3_600, -7_200];
/// What lies between a reading of the clock and what it is compared with, on a machine that is emulated.
const NEAR: i64 = 10;

/// The figures that are kept by processor have room for those that may come, and are read there like anywhere. Newer
/// kernels do not believe an emulator that more may come; `expected` is for one that does.
pub(crate) fn more_processors_are_possible(guest: &mut Guest, expected: bool) -> Result<()> {
    let files = "/sys/devices/system/cpu/possible /sys/devices/system/cpu/online";
    let lines = guest.vm.output(&format!("cat {files}"))?;
    let [possible, online] = &lines[..] else { anyhow::bail!("{lines:?}") };
    ensure!(online == "0-1" && (possible == "0-7" || !expected), "{lines:?}");
    let last = possible.rsplit('-').next().unwrap_or_default();
    let processors: u64 = last.parse::<u64>().with_context(|| possible.clone())? + 1;
    let status: Value = serde_json::from_str(&guest.vm.output("observer status -o json")?.concat())?;
    let mut losses = status["losses"].as_array().into_iter().flatten();
    ensure!(losses.all(|loss| loss["source"] != "LOSS_SOURCE_RING"), "{status}");
    let maps = status["kernel_maps"].as_array().context("no maps")?;
    let lost = maps.iter().find(|map| map["name"] == "LOST").context("no counts of losses")?;
    let counts = number(&lost["capacity"]) * 8 * processors;
    ensure!(counts > 0 && number(&lost["bytes"]) >= counts, "{lost}");
    println!("{possible} are possible, {online} online: {lost}");
    Ok(())
}

/// The wall clock steps while a connection lives: latencies, durations and windows are as without, and each event's
/// time is the wall clock's of its moment.
pub(crate) fn steps_bend_nothing(guest: &mut Guest) -> Result<()> {
    let port = guest.port(8090);
    guest.serve(port)?;
    let start = guest.uptime()?;
    let (to, held) = (address(port), "/tmp/stepped");
    guest.vm.output(&format!(
        "ip netns exec client workload connect --to {to} --bytes 10 --hold 600 >{held} & echo $! >{held}.pid"
    ))?;
    let connects = |event: &Value| event["type"] == "tcp_connect" && port_of(event) == port;
    guest.wait_for("the held connection", 1, connects)?;
    let mut seen = 1;
    for step in STEPS {
        guest.vm.output(&format!("date -s @$(( $(date +%s) + {step} ))"))?;
        let before = guest.wall_clock()?;
        let made = guest.connect(port, "--count 3 --bytes 10")?;
        let events = guest.wait_for("the connections after a step", seen + made.len(), connects)?;
        let after = guest.wall_clock()?;
        for (event, made) in events[seen..].iter().zip(&made) {
            let latency = number(&detail(event)["handshake_latency_ns"]);
            ensure!(latency <= number(&made["connect_ns"]), "{event}, {made}");
            let time = seconds(&event["time"])?;
            ensure!((before - NEAR..=after + NEAR).contains(&time), "{before} {after}: {event}");
        }
        seen = events.len();
        // A window that ended after the step.
        let (length, begin) = guest.eventually("a window after the step", |guest| {
            let lines = guest.vm.output("observer summary --window 1s -o json")?;
            let last: Value = serde_json::from_str(lines.last().context("no window")?)?;
            let end = last["window_end"].clone();
            let begin = seconds(&end["window_start"])?;
            let now = guest.wall_clock()?;
            Ok(if (now - begin).abs() <= 3 * NEAR {
                Ok((number(&end["window_ns"]), begin))
            } else {
                Err((begin, now))
            })
        })?;
        println!("a step of {step} s: a window of {length} ns at {begin}");
        ensure!(length == 1_000_000_000, "{length}");
    }
    guest.vm.output(&format!("kill $(cat {held}.pid)"))?;
    let closes = |event: &Value| event["type"] == "tcp_close" && port_of(event) == port;
    let closed = guest.wait_for("all to be closed", 2 * seen, closes)?;
    let longest = closed.iter().map(|event| number(&detail(event)["duration_ns"])).max().unwrap_or(0);
    let passed = guest.uptime()? - start;
    ensure!(longest > 0 && longest <= (passed + 1) * 1_000_000_000, "{longest} ns in {passed} s");
    let numbers: Vec<u64> = guest.events()?.iter().map(|event| number(&event["sequence"])).collect();
    ensure!(numbers.is_sorted(), "events out of order");
    Ok(())
}

impl Guest {
    /// How long it runs, in seconds: no step changes that.
    fn uptime(&mut self) -> Result<u64> {
        Ok(self.vm.output("cut -d. -f1 /proc/uptime")?.concat().trim().parse()?)
    }

    /// The wall clock, in seconds.
    fn wall_clock(&mut self) -> Result<i64> {
        Ok(self.vm.output("date +%s")?.concat().trim().parse()?)
    }
}

/// A time of an event, in seconds.
fn seconds(time: &Value) -> Result<i64> {
    let text = time.as_str().with_context(|| format!("no time: {time}"))?;
    let time: prost_types::Timestamp = text.parse().with_context(|| text.to_owned())?;
    Ok(time.seconds)
}
