//! A hundred clients with filters of their own, at 50,000 events a second: each gets exactly what its filter says, and of
//! those that do not read, each is told exactly how many it missed.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it tells what it measured, and when")]

#[path = "many_filters/filters.rs"]
mod filters;
#[path = "many_filters/light.rs"]
mod light;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use observer_tests::firings::Firings;
use observer_tests::steady::cgroup_of;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, NetnsPair, Pod, Steady, Testbed, eventually};

use filters::{Asked, IN_A_NAMESPACE, IN_A_POD, LOADS};
use light::Light;

/// Events a second, if the machine makes as many.
const RATE: u64 = 50_000;
/// Events of a connection.
const EVENTS: u64 = 6;
const LENGTH: Duration = Duration::from_secs(20);
/// So many clients do not read while this happens.
const SLOW: usize = 5;
/// More than waits for a client anywhere: then it has to miss some.
const WAITING: u64 = 16_384;
/// The daemon's bound unless told otherwise.
const MOST: u64 = 128 << 20;
/// Longer than anything that a daemon holds back.
const QUIET: Duration = Duration::from_millis(1500);

async fn pods(testbed: &Testbed) -> Result<Vec<Pod>> {
    let mut pods = Vec::new();
    for number in 0..LOADS / IN_A_POD {
        let namespace = format!("many-{}", number / IN_A_NAMESPACE);
        let pod = testbed.pod(&namespace, "load").label("slot", &filters::slot(number)).label("tier", "busy");
        pods.push(pod.run().await?);
    }
    Ok(pods)
}

/// The loads, each in a container of its own.
async fn loads(pair: &NetnsPair, pods: &[Pod]) -> Result<Vec<Steady>> {
    let mut loads = Vec::new();
    for load in 0..LOADS {
        let name = filters::container(load);
        let container = pods[load / IN_A_POD].container(&name, ["workload", "pause"]).start().await?;
        let (port, to) = (filters::port(load).to_string(), filters::address(load));
        let args = ["aborted", "--port", &port, "--to", &to];
        loads.push(Steady::start(&pair.left().netns, Some(&cgroup_of(&container).await?), args)?);
    }
    Ok(loads)
}

/// Has the loads make connections, and tells how many each made.
fn run(loads: &mut [Steady]) -> Result<[u64; LOADS]> {
    let rate = RATE / EVENTS / LOADS as u64;
    for load in &mut *loads {
        load.begin(LENGTH, Some(rate))?;
    }
    let mut made = [0; LOADS];
    for (load, made) in loads.iter().zip(&mut made) {
        *made = load.done()?.count;
    }
    Ok(made)
}

/// A client, what it asked for, and whether it was made slow.
struct Client {
    asked: Asked,
    light: Light,
    slow: bool,
}

impl Client {
    /// How many events there were for it.
    fn due(&self, made: &[u64; LOADS]) -> u64 {
        self.asked.of_each.iter().zip(made).map(|(events, made)| events * made).sum()
    }

    /// It got its events, or was told of them if it was slow: up to so many that the kernel has hidden.
    fn is_served(&self, made: &[u64; LOADS], hidden: u64) -> bool {
        let [events, missed, wrong] = self.light.got();
        let due = self.due(made);
        let all = events + missed;
        wrong == 0 && (self.slow || missed == 0) && all <= due && all + hidden >= due
    }
}

async fn clients(daemon: &Daemon, pods: &[Pod]) -> Result<Vec<Client>> {
    let mut clients: Vec<Client> = Vec::new();
    let mut slow_ones = 0;
    for asked in filters::all(pods) {
        // Those that are made slow have many events to miss.
        let slow = slow_ones < SLOW && asked.of_each.iter().sum::<u64>() >= EVENTS;
        slow_ones += usize::from(slow);
        let (allow, deny) = (asked.allow.clone(), asked.deny.clone());
        let light = Light::start(daemon.socket(), allow, deny, slow).await?;
        clients.push(Client { asked, light, slow });
    }
    ensure!(slow_ones == SLOW, "{slow_ones} are slow");
    Ok(clients)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_a_hundred_clients_gets_what_its_filter_says() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let pods = pods(testbed).await?;
    let pair = NetnsPair::new()?;
    let mut loads = loads(&pair, &pods).await?;
    let daemon = Daemon::on(testbed).start().await?;
    let clients = clients(&daemon, &pods).await?;
    let firings = Firings::start(&daemon)?;
    // What the start took is none of theirs.
    fs::write(format!("/proc/{}/clear_refs", daemon.pid()), "5")?;

    let (before, start) = (daemon.cpu()?, Instant::now());
    let (loads, made) =
        tokio::task::spawn_blocking(move || run(&mut loads).map(|made| (loads, made))).await??;
    let (elapsed, used) = (start.elapsed(), daemon.cpu()?.saturating_sub(before));
    let slow: Vec<&Client> = clients.iter().filter(|client| client.slow).collect();
    let (_, most) = daemon.memory()?;
    for client in &slow {
        client.light.go_on();
    }
    let hidden = firings.unseen()? * EVENTS;
    for client in &clients {
        eventually(PATIENCE, &format!("all events of {:?}", client.asked), async || {
            client.light.check()?;
            let served = client.is_served(&made, hidden);
            Ok(if served { Ok(()) } else { Err((client.due(&made), client.light.got())) })
        })
        .await?;
    }
    tokio::time::sleep(QUIET).await;
    for client in &clients {
        let got = client.light.got();
        ensure!(client.is_served(&made, hidden), "{:?}: {got:?} of {}", client.asked, client.due(&made));
    }
    let happened = made.iter().sum::<u64>() * EVENTS;
    let delivered: u64 = clients.iter().map(|client| client.light.got()[0]).sum();
    println!(
        "{:.0} events a second ({hidden} hidden by the kernel), {delivered} delivered to {} clients; the daemon took {:.2} \
         of a processor and {} KiB",
        happened as f64 / elapsed.as_secs_f64(),
        clients.len(),
        used.as_secs_f64() / elapsed.as_secs_f64(),
        most >> 10,
    );
    for client in slow {
        let [events, missed, _] = client.light.got();
        println!("one that did not read got {events} and missed {missed}");
        ensure!(missed > 0 || client.due(&made) <= WAITING, "it missed nothing of {}", client.due(&made));
    }
    ensure!(most <= MOST, "{most} bytes");
    let least = made.iter().copied().min().context("no loads")?;
    ensure!(least > 0, "{made:?}");
    drop(loads);
    for pod in pods {
        pod.remove().await?;
    }
    Ok(())
}
