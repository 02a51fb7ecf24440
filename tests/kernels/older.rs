//! A connection that is older than the daemon is taken over by both iterators' ways, on this kernel as well.

use anyhow::{Result, ensure};
use observer_tests::wait::PATIENCE;
use serde_json::Value;

use crate::guest::{Guest, address, detail, number};

const PORT: u64 = 8079;
const BYTES: u64 = 3000;

/// Makes it, before the daemon is there.
pub(crate) fn connect(guest: &mut Guest) -> Result<()> {
    guest.serve(PORT)?;
    let to = address(PORT);
    guest.vm.output(&format!(
        "ip netns exec client workload connect --to {to} --bytes {BYTES} --hold 600 >/tmp/older & echo $! >/tmp/older.pid"
    ))?;
    let established = "ip netns exec client cat /proc/net/tcp /proc/net/tcp6 | grep -q ' 01 '";
    guest.vm.wait_until("the older connection", PATIENCE, established, "cat /tmp/older")
}

/// Both ends are listed, with the processes that hold them, and told when they close: by their counters from then on.
pub(crate) fn shows_and_ends(guest: &mut Guest) -> Result<()> {
    let list = format!("observer connections --port {PORT} -o json");
    let listed = guest.eventually("both ends of the older connection", |guest| {
        let lines = guest.vm.output(&list)?;
        let listed: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let whole = |end: &Value| number(&end["counters"]["sent_bytes"]) == BYTES;
        Ok(if listed.len() == 2 && listed.iter().all(whole) { Ok(listed) } else { Err(lines) })
    })?;
    for end in &listed {
        ensure!(end["adopted"] == true && end["process"]["comm"] == "workload", "{end}");
        ensure!(end["process"]["binary"] == "/usr/bin/workload", "{end}");
    }
    guest.vm.output("kill $(cat /tmp/older.pid)")?;
    let ours = |event: &Value| {
        event["type"] == "tcp_close" && number(&detail(event)["tcp"]["destination"]["port"]) == PORT
    };
    let closes = guest.wait_for("both ends to close", 2, ours)?;
    for close in &closes {
        ensure!(detail(close).get("duration_ns").is_none(), "its start was not seen: {close}");
        ensure!(number(&detail(close)["counters"]["sent_bytes"]) == BYTES, "{close}");
    }
    Ok(())
}
