//! A debugging session on this kernel, whose functions may be hooked: all that it can show.

use anyhow::{Context, Result, ensure};
use observer_tests::wait::PATIENCE;
use serde_json::Value;

use super::guest::{Guest, address, detail, number};

/// What the server waits for, in milliseconds: before it reads, and before it answers.
const WAIT: u64 = 100;
const WORK: u64 = 150;
const REQUESTS: usize = 5;
const MS: u64 = 1_000_000;

/// Runs a command in the cgroup of the unit that is watched. Within, a name without a slash may be busybox's.
fn within(command: &str) -> String {
    format!("sh -c 'echo $$ >/sys/fs/cgroup/debugged.service/cgroup.procs; exec {command}'")
}

/// Opens a session on a unit, with its server in the namespace `server`, and has it see one thing of each kind.
pub(crate) fn sessions_show_everything(guest: &mut Guest) -> Result<()> {
    let port = guest.port(8085);
    let before = guest.attached()?;
    let serve = format!(
        "/usr/bin/ip netns exec server workload serve --port {port} --request 100 --response 100 --read-after-ms {WAIT} \
         --answer-after-ms {WORK}"
    );
    guest.vm.output(&format!(
        "mkdir -p /sys/fs/cgroup/debugged.service; {} >/tmp/slow-{port} 2>&1 & echo $! >/tmp/slow.pid",
        within(&serve)
    ))?;
    let listens = format!("grep -q listening /tmp/slow-{port}");
    guest.vm.wait_until("the server to listen", PATIENCE, &listens, &format!("cat /tmp/slow-{port}"))?;
    guest.vm.output(
        "observer debug --workload debugged.service --for 10m -o json >/tmp/session 2>/tmp/session.err & \
         echo $! >/tmp/session.pid",
    )?;
    guest.vm.wait_until(
        "the session",
        PATIENCE,
        "grep -q '\"session\"' /tmp/session",
        "cat /tmp/session.err",
    )?;
    let session = messages(guest)?.into_iter().find_map(|message| message.get("session").cloned());
    let session = session.context("no session")?;
    let parts = session["parts"].as_array().context("no parts")?;
    ensure!(parts.len() == 4 && parts.iter().all(|part| part["watched"] == true), "{session:#}");

    guest.connect(port, &format!("--send 100 --receive 100 --requests {REQUESTS}"))?;
    let responses = told(guest, "responses", "tcp_response", REQUESTS, |_| true)?;
    ensure!(responses.len() == REQUESTS, "{responses:#?}");
    for response in &responses {
        let of = detail(response);
        let [wait, work, whole] = ["wait_ns", "work_ns", "latency_ns"].map(|field| number(&of[field]));
        // An emulator is held up at times: then it takes longer.
        ensure!(wait >= WAIT * MS && work >= WORK * MS && whole >= wait + work, "{response}");
        ensure!(number(&of["read_bytes"]) == 100, "{response}");
    }

    let sent = guest.vm.output("sh -c 'echo $$; kill -WINCH $(cat /tmp/slow.pid)'")?;
    let sender: u64 = sent.first().context("no sender")?.parse()?;
    let signals =
        told(guest, "the signal", "signal", 1, |signal| detail(signal)["signal_name"] == "SIGWINCH")?;
    ensure!(number(&detail(&signals[0])["sender"]["pid"]) == sender, "{signals:#?}");

    guest.vm.run(&within("cat /nothing/of/that/name"))?;
    let opens = told(guest, "the failed open", "open_failure", 1, |open| {
        detail(open)["path"] == "/nothing/of/that/name"
    })?;
    ensure!(opens.len() == 1 && detail(&opens[0])["error"] == "ENOENT", "{opens:#?}");

    let closed = guest.port(8086);
    guest.vm.run(&format!("ip netns exec client workload connect --to {}", address(closed)))?;
    let drops = told(guest, "the drop", "packet_drop", 1, |drop| {
        number(&detail(drop)["destination"]["port"]) == closed
    })?;
    ensure!(
        detail(&drops[0])["reason"] == "NO_SOCKET" && detail(&drops[0])["tcp_flags"] == "SYN",
        "{drops:#?}"
    );

    ensure!(guest.attached()? > before, "nothing more is attached");
    guest.vm.output("kill -KILL $(cat /tmp/session.pid)")?;
    guest.eventually("the deeper programs to be detached", |guest| {
        let now = guest.attached()?;
        Ok(if now == before { Ok(()) } else { Err(now) })
    })?;
    guest.vm.output("kill $(cat /tmp/slow.pid)")?;
    Ok(())
}

/// What the session has told so far.
fn messages(guest: &mut Guest) -> Result<Vec<Value>> {
    let lines = guest.vm.output("cat /tmp/session")?;
    // The last line may still be on its way.
    Ok(lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Waits for so many events of a type, and gives all that there are then.
fn told(
    guest: &mut Guest,
    what: &str,
    kind: &str,
    count: usize,
    is_it: impl Fn(&Value) -> bool,
) -> Result<Vec<Value>> {
    guest.eventually(what, |guest| {
        let all = messages(guest)?;
        let events = all.iter().filter_map(|message| message["update"].get("event"));
        let found: Vec<Value> =
            events.filter(|event| event["type"] == kind && is_it(event)).cloned().collect();
        Ok(if found.len() >= count { Ok(found) } else { Err(all) })
    })
}
