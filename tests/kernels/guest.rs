//! A guest with two network namespaces, a daemon, and a client that follows its events.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::Vm;
use observer_tests::wait::{PATIENCE, eventually_blocking};
use serde_json::Value;

/// Longer than anything that a daemon holds back.
const QUIET: Duration = Duration::from_millis(1500);

/// The guest.
pub(crate) struct Guest {
    /// The machine.
    pub(crate) vm: Vm,
    /// The ids of the namespaces `client` and `server`.
    pub(crate) netns: [u64; 2],
    /// This kernel may replace a process by another one in the middle of a program, as its tracepoints do not hold
    /// off preemption: what then calls the program on that CPU is missed. The emulator makes that likely.
    preempts: bool,
    /// How often the present step was begun before.
    attempt: u64,
    /// How many events there were when it was begun.
    earlier: usize,
}

/// So often a step is taken at the most.
const ATTEMPTS: u64 = 4;

impl Guest {
    /// Boots that kernel; two namespaces are joined by a veth.
    pub(crate) fn boot(series: &str) -> Result<Self> {
        let mut vm = Vm::boot(series)?;
        println!("kernel {} has booted", vm.version());
        vm.output(
            "ip netns add client
             ip netns add server
             ip -n client link add eth0 type veth peer name eth0 netns server
             ip -n client address add 10.0.0.1/24 dev eth0
             ip -n server address add 10.0.0.2/24 dev eth0
             for side in client server; do
                 ip -n $side link set lo up
                 ip -n $side link set eth0 up
             done",
        )?;
        let ids = vm.output("stat -L -c %i /run/netns/client /run/netns/server")?;
        let [client, server] = &ids[..] else { anyhow::bail!("no namespaces: {ids:?}") };
        let netns = [client.parse()?, server.parse()?];
        let preempts = !["6.1", "6.12"].contains(&series);
        Ok(Self { vm, netns, preempts, attempt: 0, earlier: 0 })
    }

    /// Takes a step of the test. Where the kernel missed calls meanwhile that it cannot help to miss, and said so, what
    /// was told may lack something: then the step is taken once more.
    pub(crate) fn take(&mut self, step: fn(&mut Self) -> Result<()>) -> Result<()> {
        self.attempt = 0;
        loop {
            self.earlier = 0;
            self.earlier = self.events()?.len();
            let missed = self.missed("")?;
            let Err(error) = step(self) else { return Ok(()) };
            thread::sleep(QUIET);
            self.attempt += 1;
            if !self.preempts || self.attempt == ATTEMPTS || self.missed("")? == missed {
                return Err(error);
            }
            println!("once more, as calls were missed: {error:#}");
        }
    }

    /// A port for the present step, another one each time that it is taken.
    pub(crate) fn port(&self, port: u64) -> u64 {
        port + 100 * self.attempt
    }

    /// Starts the daemon and the client; what happens from then on is among the events.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.vm.output(
            "observer daemon --cri-endpoint none --window 1s --dns >/tmp/daemon 2>&1 & echo $! >/tmp/daemon.pid",
        )?;
        let listens = "[ -S /run/observer/observer.sock ]";
        self.vm.wait_until("the daemon to listen", PATIENCE, listens, "cat /tmp/daemon")?;
        self.vm
            .output("observer events -f -o json --timeout 30s --reconnect 0s >/tmp/events 2>/tmp/client &")?;
        let follows = "grep -q NODE_STATE_CONNECTED /tmp/events";
        self.vm.wait_until("the stream's start", PATIENCE, follows, "cat /tmp/daemon /tmp/client")
    }

    /// The daemon's threads keep what docs/privileges.md says, on this kernel as well: nothing that loads programs.
    pub(crate) fn has_given_up_privileges(&mut self) -> Result<()> {
        // By the numbers in include/uapi/linux/capability.h: CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_SYS_PTRACE.
        let kept = format!("{:016x}", 1 << 2 | 1 << 12 | 1 << 19);
        let pattern = "^(Cap(Prm|Eff|Bnd)|NoNewPrivs):";
        let states = self.vm.output(&format!(
            "grep -h -E '{pattern}' /proc/$(cat /tmp/daemon.pid)/task/*/status | sort -u"
        ))?;
        let expected =
            [format!("CapBnd:\t{:016x}", 0), format!("CapEff:\t{kept}"), format!("CapPrm:\t{kept}")];
        ensure!(states[..] == [&expected[..], &["NoNewPrivs:\t1".to_owned()]].concat(), "{states:?}");
        Ok(())
    }

    /// All events of the present step so far. A loss is an error, but for one that this kernel makes unavoidable; then it must be told.
    pub(crate) fn events(&mut self) -> Result<Vec<Value>> {
        let lines = self.vm.output("cat /tmp/events")?;
        let mut events = Vec::new();
        for line in &lines {
            // The last line may still be on its way.
            let Ok(mut message) = serde_json::from_str::<Value>(line) else { continue };
            // No process is in these namespaces, so nobody sees from outside what was there before.
            let told = |source: &Value| {
                source != "LOSS_SOURCE_NETNS" && !(self.preempts && source == "LOSS_SOURCE_PROBE")
            };
            let lost = message.get("lost").is_some_and(|lost| told(&lost["source"]));
            ensure!(!lost, "{line}");
            if let Some(event) = message.get_mut("event") {
                events.push(event.take());
            }
        }
        Ok(events.split_off(self.earlier))
    }

    /// How often a program was missed, as the stream tells; any one for "".
    pub(crate) fn missed(&mut self, program: &str) -> Result<u64> {
        let lines = self.vm.output("grep '\"lost\"' /tmp/events || true")?;
        let notices = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of_program = notices.map(|notice| notice["lost"].clone()).filter(|lost| {
            lost["source"] == "LOSS_SOURCE_PROBE" && (program.is_empty() || lost["kind"] == program)
        });
        Ok(of_program.map(|lost| number(&lost["count"])).sum())
    }

    /// Waits for so many events that `is_it`, and gives all that there are then.
    pub(crate) fn wait_for(
        &mut self,
        what: &str,
        count: usize,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Vec<Value>> {
        self.eventually(what, |guest| {
            let found: Vec<Value> = guest.events()?.into_iter().filter(&is_it).collect();
            Ok(if found.len() >= count { Ok(found) } else { Err(found) })
        })
    }

    /// Waits until what was opened with a port is closed on both sides, at least `count` connections, and gives all
    /// events of that port.
    pub(crate) fn all_closed(&mut self, port: u64, count: usize) -> Result<Vec<Value>> {
        self.eventually("all connections to be closed", |guest| {
            let of =
                |events: &[Value], name: &str| events.iter().filter(|event| event["type"] == name).count();
            let events = guest.events_of(port)?;
            let (connects, accepts) = (of(&events, "tcp_connect"), of(&events, "tcp_accept"));
            let closes = of(&events, "tcp_close");
            Ok(if connects.min(accepts) >= count.max(1) && closes == connects + accepts {
                Ok(())
            } else {
                Err((connects, accepts, closes))
            })
        })?;
        // Whatever else there is would be told by then.
        thread::sleep(QUIET);
        self.events_of(port)
    }

    fn events_of(&mut self, port: u64) -> Result<Vec<Value>> {
        Ok(self.events()?.into_iter().filter(|event| port_of(event) == port).collect())
    }

    /// Tries again until `condition` gives a value; see [`eventually_blocking`].
    pub(crate) fn eventually<T, W: std::fmt::Debug>(
        &mut self,
        what: &str,
        mut condition: impl FnMut(&mut Self) -> Result<Result<T, W>>,
    ) -> Result<T> {
        eventually_blocking(PATIENCE, what, || {
            let answer = condition(self)?;
            if answer.is_err() {
                // To ask costs the guest time that it needs for what is waited for.
                thread::sleep(Duration::from_millis(200));
            }
            Ok(answer)
        })
    }

    /// Starts a server that sends back what it gets.
    pub(crate) fn serve(&mut self, port: u64) -> Result<()> {
        self.serve_as(port, "--echo")
    }

    /// Starts a server in another manner of the workload's.
    pub(crate) fn serve_as(&mut self, port: u64, manner: &str) -> Result<()> {
        self.vm.output(&format!(
            "ip netns exec server workload serve --port {port} {manner} >/tmp/serve-{port} 2>&1 &"
        ))?;
        let listens = format!("grep -q listening /tmp/serve-{port}");
        self.vm.wait_until("the server to listen", PATIENCE, &listens, &format!("cat /tmp/serve-{port}"))
    }

    /// Makes connections from the client's side to their end, and gives what the workload says of each, in order.
    pub(crate) fn connect(&mut self, port: u64, more: &str) -> Result<Vec<Value>> {
        let to = address(port);
        let lines = self.vm.output(&format!("ip netns exec client workload connect --to {to} {more}"))?;
        lines
            .iter()
            .map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}")))
            .collect()
    }

    /// Adds (`replace`) or deletes a fault of the link, in both directions.
    pub(crate) fn netem(&mut self, change: &str, fault: &str) -> Result<()> {
        self.vm.output(&format!(
            "for side in client server; do tc -n $side qdisc {change} dev eth0 root netem {fault}; done"
        ))?;
        Ok(())
    }

    /// The memory in bytes that a process held when the kernel killed it for want of memory, as its log has it.
    pub(crate) fn killed(&mut self, pid: u64) -> Result<u64> {
        let line = self.vm.output(&format!("dmesg | grep 'Killed process {pid} '"))?.concat();
        let mut sum = 0;
        for kind in ["anon-rss:", "file-rss:", "shmem-rss:"] {
            let (_, rest) = line.split_once(kind).with_context(|| format!("no {kind} in {line}"))?;
            let (figure, _) = rest.split_once("kB").with_context(|| format!("no kB in {line}"))?;
            sum += figure.parse::<u64>()? << 10;
        }
        Ok(sum)
    }

    /// The cgroup whose limit was hit when the kernel killed a process, as its log has it.
    pub(crate) fn full(&mut self, pid: u64) -> Result<String> {
        let line = self.vm.output(&format!("dmesg | grep 'oom-kill:.*,pid={pid},'"))?.concat();
        let (_, rest) = line.split_once("oom_memcg=").with_context(|| format!("no oom_memcg= in {line}"))?;
        Ok(rest.split(',').next().unwrap_or_default().to_owned())
    }

    /// Ends the daemon as the system would: it and its client end well, and nothing of it stays in the kernel.
    pub(crate) fn stops_and_leaves_nothing(&mut self) -> Result<()> {
        let programs = self.in_kernel("prog")?;
        ensure!(programs >= 13, "only {programs} programs in the kernel");
        self.vm.output("kill -TERM $(cat /tmp/daemon.pid)")?;
        let ended = "! [ -d /proc/$(cat /tmp/daemon.pid) ] && ! pidof observer";
        self.vm.wait_until("daemon and client to end", PATIENCE, ended, "cat /tmp/daemon; ps")?;
        let last = self.vm.output("tail -n 1 /tmp/events")?;
        ensure!(last.concat().contains("NODE_STATE_STOPPING"), "{last:?}");
        self.vm.output("! [ -e /run/observer/observer.sock ]")?;
        // The kernel frees them after a grace period.
        for kind in ["prog", "map", "link"] {
            self.eventually("the kernel to be free of it", |guest| {
                let left = guest.in_kernel(kind)?;
                Ok(if left == 0 { Ok(()) } else { Err((kind, left)) })
            })?;
        }
        Ok(())
    }

    /// How many links there are.
    pub(crate) fn attached(&mut self) -> Result<usize> {
        self.in_kernel("link")
    }

    /// How many programs, maps or links there are: the guest has none but the observer's.
    fn in_kernel(&mut self, kind: &str) -> Result<usize> {
        let list: Vec<Value> =
            serde_json::from_str(&self.vm.output(&format!("bpftool {kind} list -j"))?.concat())?;
        Ok(list.len())
    }
}

/// The server's address with a port.
pub(crate) fn address(port: u64) -> String {
    format!("10.0.0.2:{port}")
}

/// What is particular to the event's type.
pub(crate) fn detail(event: &Value) -> &Value {
    event.get(event["type"].as_str().unwrap_or_default()).unwrap_or(&Value::Null)
}

/// A number; what is left out is zero.
pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// The port that a connection goes to; zero for what is no connection's.
pub(crate) fn port_of(event: &Value) -> u64 {
    number(&detail(event)["tcp"]["destination"]["port"])
}
