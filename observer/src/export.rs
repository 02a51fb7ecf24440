//! Exporters: what happens, in the formats of other tools. Each is a client within the process, with a queue, a back-off and
//! a count of losses of its own: one that cannot send costs its own data, and nothing else waits for it.

pub(crate) mod backoff;
pub(crate) mod feed;
pub(crate) mod http;
mod lines;
mod message;
pub(crate) mod metrics;
mod otlp;
pub(crate) mod secret;
pub(crate) mod state;
mod syslog;

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use self::backoff::Backoff;
pub(crate) use self::feed::Link;
pub(crate) use self::http::{Bound, HttpError, HttpFiles};
pub(crate) use self::metrics::labels::{LABELS, Label};
pub(crate) use self::metrics::settings::Settings as MetricSettings;
pub(crate) use self::metrics::table::metrics;
pub(crate) use self::state::{Board, State};
use crate::config::exporters::Exporters;
use crate::filter::InvalidFilter;
use crate::status::{Exporter, ExporterState};

/// How long they may take to send what they have when the daemon stops.
const FLUSH: Duration = Duration::from_secs(2);
/// And until they let go of what they wait for. One that waits for a disk goes with the process.
const AWAY: Duration = Duration::from_secs(1);

/// The exporters that run.
#[derive(Debug)]
pub(crate) struct Running {
    tasks: JoinSet<()>,
    /// Each waits for the end of a thread: the runtime has to be there as long as these are.
    threads: JoinSet<()>,
    link: Link,
    board: Board,
    /// Their time is over.
    over: CancellationToken,
}

/// Starts those that are wanted, each with its place on the board. Needs to be called within the runtime, after privileges were
/// given up: threads keep those that they begin with.
pub(crate) fn start(settings: &Exporters, bound: Option<Bound>, link: &Link, board: &Board) -> Running {
    let mut running = Running {
        tasks: JoinSet::new(),
        threads: JoinSet::new(),
        link: link.clone(),
        board: board.clone(),
        over: CancellationToken::new(),
    };
    for (name, json) in &settings.json {
        lines::start(name, json, &mut running);
    }
    for (name, syslog) in &settings.syslog {
        syslog::start(name, syslog, &mut running);
    }
    for (name, otlp) in &settings.otlp {
        otlp::start(name, otlp, &settings.metrics.settings(), &mut running);
    }
    if let Some(bound) = bound {
        http::start(bound, &settings.metrics.settings(), &mut running);
    }
    running
}

impl Running {
    /// Gives one its place on the board.
    fn add(&self, state: State) -> State {
        self.board.add(state)
    }

    /// Has one run on a thread of its own, since it may have to wait for a disk.
    fn on_thread(&mut self, state: &State, run: impl Future<Output = ()> + Send + 'static) {
        let (done, ended) = oneshot::channel();
        let (runtime, over) = (tokio::runtime::Handle::current(), self.over.clone());
        let thread = std::thread::Builder::new().name("exporter".to_owned()).spawn(move || {
            // The runtime may not end while it is waited for with it.
            runtime.block_on(over.run_until_cancelled(run));
            let _nobody_waits = done.send(()).is_err();
        });
        if let Err(error) = thread {
            log::error!("exporter {} has no thread: {}", state.name(), state.failed(&error));
            return;
        }
        self.threads.spawn(async {
            let _ended_or_gone = ended.await.is_ok();
        });
    }

    /// The same; where its filters are none, which the configuration has tried, its state says so.
    fn on_thread_if(
        &mut self,
        state: &State,
        run: Result<impl Future<Output = ()> + Send + 'static, InvalidFilter>,
    ) {
        match run {
            Ok(run) => self.on_thread(state, run),
            Err(error) => drop(state.failed(&error)),
        }
    }

    /// Lets them send what they have. The daemon has told them all by now.
    pub(crate) async fn finish(mut self) {
        let waiting = self.board.status();
        self.link.stopping.cancel();
        let all = tokio::time::timeout(FLUSH, self.ended()).await.is_ok();
        // One that still tried again ended without having sent what it had.
        let unsent = |one: &Exporter| one.queued > 0 || one.state == ExporterState::Retrying;
        for (Exporter { name, .. }, before) in
            self.board.status().into_iter().zip(waiting).filter(|(one, _)| unsent(one))
        {
            log::warn!(
                "exporter {name}: the daemon ends before all was sent; {} updates waited",
                before.queued
            );
        }
        if all {
            return;
        }
        self.over.cancel();
        self.tasks.abort_all();
        let _waits_for_a_disk = tokio::time::timeout(AWAY, self.ended()).await.is_err();
    }

    /// All of them have ended.
    async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
        while self.threads.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests;
