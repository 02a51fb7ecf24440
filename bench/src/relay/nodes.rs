//! Simulated daemons of many nodes, in a process of their own, so that what the relay uses is its own.
//!
//! It is told by lines what is to happen, and answers each with one line of JSON.

mod content;
mod door;
mod node;
mod service;

use std::io::{self, BufRead as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

pub(crate) use self::door::{Files, address};
use self::node::Node;

/// Events are handed over in rounds of that length, as a daemon does.
const ROUND: Duration = Duration::from_millis(5);
/// Losses that found no room are tried again after so many rounds.
const FLUSH_EACH: u64 = 20;

/// What to simulate.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// So many nodes
    #[arg(long)]
    count: usize,
    #[command(flatten)]
    files: Files,
}

/// All nodes, and how they are told what to do.
struct Simulated {
    nodes: Vec<Arc<Node>>,
    doors: Vec<watch::Sender<bool>>,
    /// Events a second of all nodes together.
    rate: AtomicU64,
    made: AtomicU64,
}

/// Simulates until its input ends.
#[allow(clippy::print_stdout, reason = "its answers are its output")]
pub(crate) async fn run(args: &Args) -> Result<()> {
    let tls = args.files.acceptor()?;
    let (mut nodes, mut doors) = (Vec::new(), Vec::new());
    for number in 0..args.count {
        let node = Arc::new(Node::new(number));
        let (door, open) = watch::channel(true);
        let (sender, listening) = oneshot::channel();
        let served = tokio::spawn(door::serve(Arc::clone(&node), number, tls.clone(), open, Some(sender)));
        if listening.await.is_err() {
            served.await??;
        }
        nodes.push(node);
        doors.push(door);
    }
    println!("{}", json!({ "nodes": nodes.len() }));
    let simulated = Arc::new(Simulated { nodes, doors, rate: AtomicU64::new(0), made: AtomicU64::new(0) });
    let generating = Arc::clone(&simulated);
    thread::spawn(move || generating.generate());
    let runtime = Handle::current();
    let said = tokio::task::spawn_blocking(move || {
        for line in io::stdin().lock().lines() {
            println!("{}", simulated.answer(&line?, &runtime)?);
        }
        anyhow::Ok(())
    });
    said.await?
}

impl Simulated {
    /// Makes events happen, for good.
    fn generate(&self) {
        let mut last = (Instant::now(), unix_ns());
        let (mut owed, mut place, mut rounds) = (0.0, 1_u64, 0_u64);
        loop {
            thread::sleep(ROUND);
            let now = (Instant::now(), unix_ns());
            let passed = now.0.duration_since(last.0);
            owed += self.rate.load(Ordering::Relaxed) as f64 * passed.as_secs_f64();
            let due = owed as u64;
            owed -= due as f64;
            let span = now.1.saturating_sub(last.1);
            for number in 1..=due {
                // Knuth's: any node may be the next one.
                place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let Some(node) = self.nodes.get((place >> 33) as usize % self.nodes.len()) else { return };
                node.happen(last.1 + span * number / due);
            }
            self.made.fetch_add(due, Ordering::Relaxed);
            rounds += 1;
            if rounds.is_multiple_of(FLUSH_EACH) {
                self.nodes.iter().for_each(|node| node.flush());
            }
            last = now;
        }
    }

    /// Does what a line says.
    fn answer(&self, line: &str, runtime: &Handle) -> Result<Value> {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["rate", rate] => {
                self.rate.store(rate.parse()?, Ordering::Relaxed);
            }
            ["made"] => {}
            ["sent"] => {
                let runs = |node: &Arc<Node>| {
                    let runs = node.runs().into_iter();
                    runs.map(|(began, count)| json!([began.seconds, began.nanos, count])).collect::<Vec<_>>()
                };
                let all = self.nodes.iter().map(|node| (node.name.clone(), json!(runs(node)))).collect();
                return Ok(Value::Object(all));
            }
            [how @ ("cut" | "restart"), from, to, milliseconds] => {
                let away = Duration::from_millis(milliseconds.parse()?);
                for number in from.parse()?..to.parse()? {
                    self.close(number, *how == "restart", away, runtime)?;
                }
            }
            _ => bail!("{line:?} means nothing"),
        }
        Ok(json!({ "made": self.made.load(Ordering::Relaxed) }))
    }

    /// A node is away for a while: nothing more is heard of it, or its daemon starts anew.
    fn close(&self, number: usize, restarts: bool, away: Duration, runtime: &Handle) -> Result<()> {
        let door = self.doors.get(number).context("no such node")?.clone();
        let node = self.nodes.get(number).context("no such node")?;
        door.send_replace(false);
        if restarts {
            node.restart();
        }
        runtime.spawn(async move {
            tokio::time::sleep(away).await;
            door.send_replace(true);
        });
        Ok(())
    }
}

/// The time by this machine's clock.
pub(crate) fn unix_ns() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}
