//! A load for hours: connections, execs, and containers that come and go, each counted by who makes it; then every
//! total that the daemon told is compared with that, and its memory with what it was.

mod counted;
mod memory;
mod outcome;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_cri::v1::ContainerState;
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{GetStatusRequest, LossSource, Status};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::container::Container;
use crate::daemon::Daemon;
use crate::firings::Firings;
use crate::losses::own;
use crate::pod::Pod;
use crate::testbed::Testbed;
use crate::totals::Totals;
use crate::wait::{PATIENCE, eventually};

use self::counted::Counted;
pub use self::memory::{Memory, Sample};
pub use self::outcome::{Figure, Outcome, Plan};

const NAMESPACE: &str = "soak";
/// Listening ports; a client of each has the local ports to itself.
const PORTS: [u16; 4] = [8080, 8081, 8082, 8083];
/// Bytes on each connection, both ways.
const BYTES: u64 = 200;
/// The container that comes and goes, and how it ends.
const BRIEF: &str = "brief";
const BRIEF_CODE: &str = "3";
/// A new pod for so many of them.
const BRIEF_IN_A_POD: u64 = 20;
/// How long a generator may take longer than it should on a busy machine.
const LATE: Duration = Duration::from_mins(2);

/// The load.
struct Load {
    client: Pod,
    server: Pod,
    storms: Pod,
    generators: Vec<Container>,
    storm: Container,
    stop: watch::Sender<bool>,
    brief: JoinHandle<Result<u64>>,
}

/// Runs it. `tell` is given a line now and then.
pub async fn run(plan: Plan, tell: impl FnMut(&str)) -> Result<Outcome> {
    // Boxed, as the generated clients' futures are large.
    Box::pin(run_all(plan, tell)).await
}

async fn run_all(plan: Plan, mut tell: impl FnMut(&str)) -> Result<Outcome> {
    let testbed = Testbed::shared().await?;
    // The subscriber shares the processors with all generators, and may fall behind for seconds.
    let daemon = Daemon::on(testbed).args(["--subscriber-queue", "65536"]).start().await?;
    let totals = Totals::start(&daemon).await?;
    let counted = Counted::start(&daemon, NAMESPACE).await?;
    let firings = Firings::start(&daemon)?;
    let start = Instant::now();
    let cpu = daemon.cpu()?;
    let load = Load::start(testbed, plan).await?;
    let mut samples = Vec::new();
    let limit = Duration::from_secs(plan.seconds) + LATE;
    let mut every = tokio::time::interval(Duration::from_secs(1));
    while load.runs().await? {
        every.tick().await;
        samples.push(Sample::of(&daemon, start.elapsed())?);
        ensure!(start.elapsed() < limit, "the generators are not done after {limit:?}");
        if samples.len() % 30 == 0
            && let Some(sample) = samples.last()
        {
            let percent = (daemon.cpu()?.saturating_sub(cpu)).as_secs_f64() * 100.0 / sample.seconds;
            let (seconds, mib) = (sample.seconds, sample.resident_mib);
            tell(&format!("{seconds:>6.0} s: {mib:.1} MiB resident, {percent:.1} % of a processor"));
        }
    }
    let (seconds, used) = (start.elapsed().as_secs_f64(), daemon.cpu()?.saturating_sub(cpu));
    let figures = Box::pin(load.end(plan, &totals, &counted, &firings)).await?;
    let status = status(&daemon).await?;
    let lost = own(&status).into_iter().filter(|loss| loss.source() != LossSource::Probe);
    Ok(Outcome {
        plan,
        seconds,
        figures,
        lost: lost.map(|loss| loss.count).sum(),
        subscriber_lost: counted.lost(),
        memory: Memory::of(&samples),
        cpu_percent: used.as_secs_f64() * 100.0 / seconds,
        events: status.events.iter().map(|event| event.count).sum(),
        series: memory::reduced(&samples),
    })
}

async fn status(daemon: &Daemon) -> Result<Status> {
    let mut client = ObserverClient::new(daemon.channel().await?);
    client.get_status(GetStatusRequest {}).await?.into_inner().status.context("no status")
}

impl Load {
    async fn start(testbed: &'static Testbed, plan: Plan) -> Result<Self> {
        let server = testbed.pod(NAMESPACE, "server").run().await?;
        let client = testbed.pod(NAMESPACE, "client").run().await?;
        let storms = testbed.pod(NAMESPACE, "storms").run().await?;
        client.netns().output("sh", ["-c", "echo 1100 65000 > /proc/sys/net/ipv4/ip_local_port_range"])?;
        let rate = (plan.connections / PORTS.len() as u64).max(1);
        let (rate_text, count, bytes) =
            (rate.to_string(), (rate * plan.seconds).to_string(), BYTES.to_string());
        for port in PORTS {
            let argv = ["workload", "serve", "--echo", "--port", &port.to_string()].map(str::to_owned);
            server.container(&format!("serve{port}"), argv).start_until("listening").await?;
        }
        let mut generators = Vec::new();
        for port in PORTS {
            let to = format!("{}:{port}", server.ip()?);
            let argv = ["workload", "connect", "--to", &to, "--count", &count, "--rate", &rate_text];
            let argv = argv.into_iter().chain(["--parallel", "4", "--bytes", &bytes, "--summary"]);
            generators.push(client.container(&format!("connect{port}"), argv).start().await?);
        }
        let (rate, count) = (plan.execs.to_string(), (plan.execs * plan.seconds).to_string());
        let argv = ["workload", "exec-storm", "--count", &count, "--rate", &rate];
        let storm = storms.container("storm", argv).start().await?;
        let (stop, stopped) = watch::channel(false);
        let every = Duration::from_millis(plan.container_every_ms);
        let brief = tokio::spawn(come_and_go(testbed, every, stopped));
        Ok(Self { client, server, storms, generators, storm, stop, brief })
    }

    /// Whether a generator still runs.
    async fn runs(&self) -> Result<bool> {
        ensure!(!self.brief.is_finished(), "the containers that come and go have come to an end");
        for generator in self.generators.iter().chain([&self.storm]) {
            if generator.status().await?.state() != ContainerState::ContainerExited {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Compares all totals, once the last of it was told.
    async fn end(
        self,
        plan: Plan,
        totals: &Totals,
        counted: &Counted,
        firings: &Firings,
    ) -> Result<Vec<Figure>> {
        let Self { client, server, storms, generators, storm, stop, brief } = self;
        stop.send(true)?;
        let containers = brief.await??;
        let (mut connections, mut bytes) = (0, 0);
        for generator in &generators {
            let said = generator.output().await?.pop().context("a generator said nothing")?;
            ensure!(said["errors"] == 0, "{said}");
            connections += said["connections"].as_u64().context("no count")?;
            bytes += said["sent"].as_u64().context("no bytes")?;
        }
        let said = storm.output().await?.pop().context("the storm said nothing")?;
        let execs = said["spawned"].as_u64().context("no count")?;
        ensure!(execs == plan.execs * plan.seconds, "{said}");
        let read = || -> Result<Vec<Figure>> {
            // Where the kernel's two counts disagree, nothing is known to be hidden.
            let hidden = firings.unseen().unwrap_or(0);
            let mut figures = Vec::new();
            let mut add =
                |what: String, made, told, hidden| figures.push(Figure { what, made, told, hidden });
            for (pod, name) in [(&client, "client"), (&server, "server")] {
                let (summed, events) = (totals.of(pod), counted.of(pod.name()));
                let all = [
                    ("opened", connections, hidden),
                    ("closed", connections, hidden),
                    ("sent_bytes", bytes, hidden * BYTES),
                    ("received_bytes", bytes, hidden * BYTES),
                ];
                for (what, made, hidden) in all {
                    let told = |sums: &crate::totals::Figures| sums.get(what).copied().unwrap_or(0);
                    add(format!("{name}: {what} in summaries"), made, told(&summed), hidden);
                    if counted.lost() == 0 {
                        add(format!("{name}: {what} in events"), made, told(&events), hidden);
                    }
                }
            }
            // The storm itself is executed and exits too; the pod's sandbox is executed and stays.
            let (summed, events) = (totals.of(&storms), counted.of(storms.name()));
            for (what, made) in [("execs", execs + 2), ("exits", execs + 1)] {
                add(format!("{what} in summaries"), made, summed.get(what).copied().unwrap_or(0), 0);
                if counted.lost() == 0 {
                    add(format!("{what} in events"), made, events.get(what).copied().unwrap_or(0), 0);
                }
            }
            if counted.lost() == 0 {
                let [starts, stops] = counted.containers(BRIEF);
                add("containers: starts".to_owned(), containers, starts, 0);
                add("containers: stops".to_owned(), containers, stops, 0);
            }
            Ok(figures)
        };
        let all_told = eventually(PATIENCE, "all that was made to be told", async || {
            let figures = read()?;
            Ok(if figures.iter().all(Figure::holds) { Ok(figures) } else { Err(()) })
        });
        let figures = match all_told.await {
            Ok(figures) => figures,
            // What is missing is a result, too.
            Err(_late) => read()?,
        };
        for pod in [client, server, storms] {
            pod.remove().await?;
        }
        Ok(figures)
    }
}

/// Starts containers that end by themselves, one after the other, until it is told to stop. Gives how many.
async fn come_and_go(
    testbed: &'static Testbed,
    every: Duration,
    stopped: watch::Receiver<bool>,
) -> Result<u64> {
    let (mut pod, mut made): (Option<Pod>, u64) = (None, 0);
    let mut ticks = tokio::time::interval(every);
    while !*stopped.borrow() {
        ticks.tick().await;
        if made.is_multiple_of(BRIEF_IN_A_POD) {
            if let Some(old) = pod.take() {
                old.remove().await?;
            }
            pod = Some(testbed.pod(NAMESPACE, "passing").run().await?);
        }
        let own = pod.as_ref().context("no pod")?;
        let attempt = u32::try_from(made % BRIEF_IN_A_POD)?;
        let argv = ["workload", "exit", BRIEF_CODE];
        let container = own.container(BRIEF, argv).attempt(attempt).start().await?;
        let exit = container.wait().await?;
        ensure!(exit.code.to_string() == BRIEF_CODE, "{exit:?}");
        container.remove().await?;
        made += 1;
    }
    if let Some(last) = pod {
        last.remove().await?;
    }
    Ok(made)
}
