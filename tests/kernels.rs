//! The same binary on other kernels than the host's, in virtual machines: what it can do there, and that it is right.
//!
//! The truth is what the workload, the namespaces' counters, netem and the kernel's log say.
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

#[path = "kernels/clock.rs"]
mod clock;
#[path = "kernels/debugging.rs"]
mod debugging;
#[path = "kernels/faults.rs"]
mod faults;
#[path = "kernels/guest.rs"]
mod guest;
#[path = "kernels/names.rs"]
mod names;
#[path = "kernels/older.rs"]
mod older;
#[path = "kernels/table.rs"]
mod table;

use anyhow::{Context, Result, ensure};
use guest::{Guest, address, detail, number, port_of};
use observer_tests::Vm;
use observer_tests::vm::Standstill;
use serde_json::Value;

/// What the link's delay makes of every round trip, as the workload's network has it.
const ROUND_TRIP_NS: u64 = 20_000_000;

#[test]
fn kernel_6_1() -> Result<()> {
    observes("6.1")
}

#[test]
fn kernel_6_12() -> Result<()> {
    observes("6.12")
}

#[test]
fn kernel_newest() -> Result<()> {
    observes(&named_or("newest"))
}

#[test]
fn a_guest_that_panics_is_an_error_with_its_last_words() -> Result<()> {
    let mut vm = Vm::boot("6.12")?;
    let failed = vm.run("echo c >/proc/sysrq-trigger; sleep 1000");
    let error = format!("{:#}", failed.err().context("it did not panic")?);
    ensure!(error.contains("the guest ended") && error.contains("Kernel panic"), "{error}");
    Ok(())
}

/// The kernel that `cargo xtask kernels` was asked for, if it is none of these.
fn named_or(usual: &str) -> String {
    std::env::var("OBSERVER_KERNEL").unwrap_or_else(|_not_named| usual.to_owned())
}

/// Once more where the emulator stood still, which it does at times.
fn observes(series: &str) -> Result<()> {
    match observes_once(series) {
        Err(error) if error.is::<Standstill>() => observes_once(series),
        result => result,
    }
}

/// All of it in one guest, as each boot costs seconds.
fn observes_once(series: &str) -> Result<()> {
    let mut guest = Guest::boot(series)?;
    it_can_do_what_is_documented(series, &mut guest)?;
    older::connect(&mut guest)?;
    guest.start()?;
    guest.has_given_up_privileges()?;
    older::shows_and_ends(&mut guest)?;
    clock::more_processors_are_possible(&mut guest, series == "6.1")?;
    for step in [
        connections_show_once_with_their_bytes,
        live_connections_show_their_counters,
        refusals_and_resets_show,
        processes_show_with_their_ends,
        names::names_show,
        debugging::sessions_show_everything,
        delay_shows,
        faults::loss_is_what_the_kernel_counts,
        faults::reordering_is_no_loss,
        clock::steps_bend_nothing,
    ] {
        guest.take(step)?;
    }
    guest.stops_and_leaves_nothing()
}

fn it_can_do_what_is_documented(series: &str, guest: &mut Guest) -> Result<()> {
    let lines = guest.vm.output("observer doctor -o json")?;
    let diagnosis: Value = serde_json::from_str(lines.first().context("no diagnosis")?)?;
    ensure!(diagnosis["sound"] == true, "{diagnosis}");
    table::is_documented(series, &diagnosis)
}

fn connections_show_once_with_their_bytes(guest: &mut Guest) -> Result<()> {
    let port = guest.port(8080);
    guest.serve(port)?;
    let made = guest.connect(port, "--count 20 --parallel 4 --send 12345 --receive 12345")?;
    ensure!(made.len() == 20, "{made:?}");
    let mut events = guest.all_closed(port, made.len())?;
    // An emulator that is held up makes TCP send again.
    events.retain(|event| event["type"] != "tcp_retransmit");
    for connection in &made {
        let local = local_port(connection)?;
        for (outgoing, opened) in [(true, "tcp_connect"), (false, "tcp_accept")] {
            let here = |event: &&Value| {
                let tcp = &detail(event)["tcp"];
                tcp["source"]["port"] == local && tcp["outgoing"].as_bool().unwrap_or(false) == outgoing
            };
            let types: Vec<&Value> = events.iter().filter(here).map(|event| &event["type"]).collect();
            ensure!(types == [opened, "tcp_close"], "{connection}: {types:?}");
            let close = events.iter().rfind(here).context("no close")?;
            let counters = &detail(close)["counters"];
            for field in ["sent_bytes", "received_bytes"] {
                ensure!(number(&counters[field]) == 12345, "{close}");
            }
            ensure!(close["process"]["binary"] == "/usr/bin/workload", "{close}");
        }
    }
    ensure!(events.len() == 4 * made.len(), "{} events of {} connections", events.len(), made.len());
    Ok(())
}

/// The port of the workload's own end.
fn local_port(connection: &Value) -> Result<u64> {
    let port = connection["local"].as_str().and_then(|end| end.rsplit(':').next());
    port.and_then(|port| port.parse().ok()).with_context(|| format!("no own end in {connection}"))
}

fn live_connections_show_their_counters(guest: &mut Guest) -> Result<()> {
    let port = guest.port(8081);
    guest.serve(port)?;
    let to = address(port);
    guest.vm.output(&format!(
        "ip netns exec client workload connect --to {to} --bytes 5000 --hold 600 >/tmp/held & echo $! >/tmp/held.pid"
    ))?;
    let list = format!("observer connections --port {port} -o json");
    guest.eventually("both ends to be listed with all bytes", |guest| {
        let lines = guest.vm.output(&list)?;
        let whole = |line: &&String| {
            let connection: Value = serde_json::from_str(line).unwrap_or_default();
            let counters = &connection["counters"];
            number(&counters["sent_bytes"]) == 5000 && number(&counters["received_bytes"]) == 5000
        };
        Ok(if lines.iter().filter(whole).count() == 2 { Ok(()) } else { Err(lines) })
    })?;
    guest.vm.output("kill $(cat /tmp/held.pid)")?;
    guest.all_closed(port, 1)?;
    Ok(())
}

fn refusals_and_resets_show(guest: &mut Guest) -> Result<()> {
    let closed = guest.port(8082);
    let port = guest.port(8083);
    let refused = guest.connect(closed, "|| true")?;
    ensure!(refused.len() == 1 && refused[0]["error"] == "refused", "{refused:?}");
    let failure = guest.wait_for("the refusal", 1, |event| {
        event["type"] == "tcp_connect_failure" && port_of(event) == closed
    })?;
    ensure!(failure.len() == 1 && detail(&failure[0])["error"] == "refused", "{failure:?}");
    guest.serve(port)?;
    guest.connect(port, "--bytes 100 --linger0")?;
    let resets =
        guest.wait_for("both resets", 2, |event| event["type"] == "tcp_reset" && port_of(event) == port)?;
    let mut ways: Vec<(&str, bool)> = resets
        .iter()
        .map(|reset| (&detail(reset)["direction"], &detail(reset)["tcp"]["outgoing"]))
        .map(|(way, outgoing)| (way.as_str().unwrap_or_default(), outgoing.as_bool().unwrap_or(false)))
        .collect();
    ways.sort_unstable();
    ensure!(ways == [("RESET_DIRECTION_RECEIVED", false), ("RESET_DIRECTION_SENT", true)], "{resets:#?}");
    Ok(())
}

fn processes_show_with_their_ends(guest: &mut Guest) -> Result<()> {
    const LIMIT: u64 = 64 << 20;
    /// Three counters, each of which may lag by 64 pages on each of two processors.
    const COUNTERS_LAG: u64 = 3 * 2 * 64 * 4096;
    // The limit is that of the cgroup above the process's own.
    let small = "/sys/fs/cgroup/small";
    guest.vm.output(&format!(
        "mkdir -p {small}/own; echo +memory >/sys/fs/cgroup/cgroup.subtree_control; echo {LIMIT} >{small}/memory.max;
         echo +memory >{small}/cgroup.subtree_control; echo {} >{small}/own/memory.max",
        2 * LIMIT
    ))?;
    let hungry = format!("sh -c 'echo $$ >{small}/own/cgroup.procs; exec workload eat-memory 256'");
    for (command, arguments, field, value) in [
        ("workload exit 7", "exit 7", "code", 7),
        ("workload kill-self TERM", "kill-self TERM", "signal", 15),
        (&*hungry, "eat-memory 256", "signal", 9),
    ] {
        guest.vm.run(command)?;
        let exec = guest.wait_for(command, 1, |event| {
            let given = event["process_exec"]["arguments"].as_array().into_iter().flatten();
            let given: Vec<&str> = given.filter_map(Value::as_str).collect();
            given.join(" ") == format!("workload {arguments}")
        })?;
        ensure!(exec.len() == 1, "{exec:#?}");
        let process = exec[0]["process"].clone();
        let same = |event: &Value| {
            event["process"]["pid"] == process["pid"]
                && event["process"]["start_time"] == process["start_time"]
        };
        let exits = guest.wait_for("its exit", 1, |event| event["type"] == "process_exit" && same(event))?;
        ensure!(exits.len() == 1 && number(&detail(&exits[0])[field]) == value, "{exits:#?}");
        let by_oom = detail(&exits[0])["oom_killed"].as_bool().unwrap_or(false);
        let kills = guest.events()?.into_iter().filter(|event| event["type"] == "oom_kill" && same(event));
        let kills: Vec<Value> = kills.collect();
        ensure!((by_oom, kills.len()) == if value == 9 { (true, 1) } else { (false, 0) }, "{exits:#?}");
        for kill in &kills {
            let told = number(&detail(kill)["resident_bytes"]);
            let kernel = guest.killed(number(&process["pid"]))?;
            println!("killed with {told} bytes, by the kernel's log {kernel}");
            ensure!(told.abs_diff(kernel) <= COUNTERS_LAG, "{told}, by the kernel's log {kernel}");
            let kill = detail(kill);
            let cgroup = guest.full(number(&process["pid"]))?;
            ensure!(
                cgroup == "/small" && kill["cgroup"] == cgroup.as_str(),
                "{kill}, by the kernel's log {cgroup}"
            );
            ensure!(kill["scope"] == "OOM_SCOPE_CGROUP" && kill["limit_bytes"] == LIMIT, "{kill}");
            // It may have asked for a huge page when there was less left.
            let usage = number(&kill["usage_bytes"]);
            ensure!((LIMIT - (2 << 20)..=LIMIT).contains(&usage), "{kill}");
        }
    }
    Ok(())
}

fn delay_shows(guest: &mut Guest) -> Result<()> {
    /// A machine that is emulated is held up now and then, which only ever adds to what is measured: the more often, the
    /// more is going on beside it. So the bound is what the workload measured at best, beside it.
    const ROUNDS: usize = 30;
    let port = guest.port(8084);
    guest.serve(port)?;
    // The first packets ask for the neighbours; so does the emulator's first run of any code take its time.
    guest.connect(port, "--bytes 100")?;
    let mut closed = 1;
    let mut least = [u64::MAX; 3];
    let mut measured = u64::MAX;
    guest.netem("replace", "delay 10ms")?;
    for _round in 0..ROUNDS {
        let made = guest.connect(port, "--count 10 --bytes 100")?;
        closed += made.len();
        let events = guest.all_closed(port, closed)?;
        for (least, figures) in least.iter_mut().zip(delays(&made, &events)?) {
            *least = figures.into_iter().fold(*least, u64::min);
        }
        measured = made.iter().map(|one| number(&one["connect_ns"])).fold(measured, u64::min);
        println!(
            "handshakes and round trips took at least {least:?}, by the workload {measured}, with {ROUND_TRIP_NS} on the way"
        );
        ensure!(least.iter().all(|least| *least >= ROUND_TRIP_NS), "{least:?}");
        if least.iter().all(|least| *least <= measured * 11 / 10) {
            return guest.netem("del", "");
        }
    }
    anyhow::bail!("at least {least:?}, by the workload {measured}")
}

/// What the events tell of those connections: the client's and the server's handshakes, and the round trips of both.
fn delays(made: &[Value], events: &[Value]) -> Result<[Vec<u64>; 3]> {
    let ports: Vec<u64> = made.iter().map(local_port).collect::<Result<_>>()?;
    let ours = |event: &&Value| ports.contains(&number(&detail(event)["tcp"]["source"]["port"]));
    let figures = |name: &str, figure: fn(&Value) -> &Value| -> Vec<u64> {
        let of_type = events.iter().filter(ours).filter(|event| event["type"] == name);
        of_type.map(|event| number(figure(detail(event)))).collect()
    };
    let connects = figures("tcp_connect", |detail| &detail["handshake_latency_ns"]);
    let accepts = figures("tcp_accept", |detail| &detail["handshake_latency_ns"]);
    let closes = figures("tcp_close", |detail| &detail["counters"]["rtt_ns"]);
    let count = made.len();
    ensure!([connects.len(), accepts.len(), closes.len()] == [count, count, 2 * count], "{events:#?}");
    // The workload made one connection after the other, and measured a little more around each.
    for (told, measured) in connects.iter().zip(made) {
        ensure!(*told <= number(&measured["connect_ns"]), "{told}: {measured}");
    }
    Ok([connects, accepts, closes])
}
