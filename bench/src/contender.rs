//! Who is measured: nothing, the observer with clients, or a tool of others.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{GetStatusRequest, Status};
use observer_tests::guardian::Guardian;
use observer_tests::{Daemon, Snoop};
use serde::Deserialize;

use crate::programs::{self, Programs};
use crate::setting::Setting;

/// How often it is looked whether clients still get something, for ten seconds at most.
const SETTLE_STEP: Duration = Duration::from_millis(100);
const SETTLE_STEPS: usize = 100;
/// So many looks without more than a few events of the machine's own are quiet.
const QUIET_STEPS: usize = 5;
const QUIET_EVENTS: u64 = 20;

/// One of those that take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// The load alone.
    Nothing,
    /// The observer with one client that follows all events.
    Observer,
    /// One of libbpf-tools.
    Tool(&'static str),
}

/// What it is while it runs. Dropping it ends it.
pub(crate) enum Running {
    Nothing,
    Observer(Box<Observed>),
    Tool(Snoop),
}

impl Contender {
    /// What results call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Observer => "observer",
            Self::Tool(name) => name,
        }
    }

    /// Starts it, and waits until it watches.
    pub(crate) async fn start(self, setting: &Setting) -> Result<Running> {
        Ok(match self {
            Self::Nothing => Running::Nothing,
            Self::Observer => Running::Observer(Box::new(Observed::start(setting.daemon(), 1).await?)),
            Self::Tool(name) => {
                let mut tool = Snoop::start(name)?;
                tool.wait_attached().await?;
                Running::Tool(tool)
            }
        })
    }
}

impl Running {
    /// The processor time that it has used, its programs' aside.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        match self {
            Self::Nothing => Ok(Duration::ZERO),
            Self::Observer(observed) => cpu(observed.daemon.pid()),
            Self::Tool(tool) => cpu(tool.pid()),
        }
    }

    /// Its programs' figures, by what they are attached to (a tool's: by its name).
    pub(crate) async fn programs(&self) -> Result<Vec<(String, Programs)>> {
        match self {
            Self::Nothing => Ok(Vec::new()),
            Self::Observer(observed) => {
                Ok(programs::of_observer(&observed.status().await?.probes).into_iter().collect())
            }
            Self::Tool(tool) => Ok(vec![(String::new(), programs::of_process(tool.pid())?)]),
        }
    }
}

/// The processor time of all threads of a process, as exactly as the scheduler has it.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("the process is gone")? {
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        sum += text.split_whitespace().next().and_then(|figure| figure.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
}

/// A daemon with clients that count.
pub(crate) struct Observed {
    // Dropped first, so that no client outlives what it follows.
    clients: Clients,
    pub(crate) daemon: Daemon,
    quiet_events: u64,
}

impl Observed {
    /// Starts both.
    pub(crate) async fn start(daemon: observer_tests::daemon::DaemonBuilder, clients: usize) -> Result<Self> {
        // It says what goes wrong; that it starts, a hundred times in a run, is not worth a line.
        let daemon = daemon.args(["--log", "warn"]).start().await?;
        Ok(Self {
            clients: Clients::start(&daemon, clients)?,
            daemon,
            quiet_events: QUIET_EVENTS * clients as u64,
        })
    }

    /// What the daemon says of itself.
    pub(crate) async fn status(&self) -> Result<Status> {
        let mut client = ObserverClient::new(self.daemon.channel().await?);
        client.get_status(GetStatusRequest {}).await?.into_inner().status.context("no status")
    }

    /// Waits until the clients get hardly anything new any more: the machine itself does something now and then.
    pub(crate) async fn settle(&mut self) -> Result<Seen> {
        let mut last = self.clients.seen()?;
        let mut quiet = 0;
        for _ in 0..SETTLE_STEPS {
            tokio::time::sleep(SETTLE_STEP).await;
            let seen = self.clients.seen()?;
            quiet = if seen.events - last.events < self.quiet_events { quiet + 1 } else { 0 };
            last = seen;
            if quiet == QUIET_STEPS {
                break;
            }
        }
        Ok(last)
    }
}

/// What clients have seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Seen {
    /// Events, all clients' together.
    pub(crate) events: u64,
    /// Those of the client that got the fewest.
    pub(crate) least: u64,
    /// How many events they were told that they lack.
    pub(crate) lost: u64,
    /// Streams that have ended.
    pub(crate) ended: u64,
}

/// A process with clients.
struct Clients {
    child: Child,
    input: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Clients {
    fn start(daemon: &Daemon, count: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("listen").arg("--socket").arg(daemon.socket()).args(["--streams", &count.to_string()]);
        let mut child = Guardian::shared()?
            .mark(&mut command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start clients")?;
        let input = child.stdin.take().context("no input")?;
        let answers = BufReader::new(child.stdout.take().context("no output")?);
        let mut clients = Self { child, input, answers };
        let mut line = String::new();
        clients.answers.read_line(&mut line)?;
        ensure!(line.contains("streams"), "the clients did not connect: {line:?}");
        Ok(clients)
    }

    fn seen(&mut self) -> Result<Seen> {
        writeln!(self.input, "?").context("the clients are gone")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let seen: Seen = serde_json::from_str(&line).with_context(|| format!("no answer: {line:?}"))?;
        ensure!(seen.ended == 0, "{} streams ended", seen.ended);
        Ok(seen)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // It is our own child; where it has ended already, that is what was wanted.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}
