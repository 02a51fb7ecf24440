//! Exporters: what happens, in the formats of other tools. Each is a client within the process, with a queue, a back-off and
//! a count of losses of its own: one that cannot send costs its own data, and nothing else waits for it.

pub(crate) mod backoff;
pub(crate) mod feed;
mod lines;
mod message;
#[allow(dead_code, reason = "not all of it is exported yet")]
pub(crate) mod metrics;
mod otlp;
pub(crate) mod secret;
pub(crate) mod state;
mod syslog;

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

pub(crate) use self::feed::Link;
pub(crate) use self::state::{Board, State};
use crate::config::exporters::Exporters;
use crate::status::Exporter;

/// How long they may take to send what they have when the daemon stops.
const FLUSH: Duration = Duration::from_secs(2);

/// The exporters that run.
#[derive(Debug)]
pub(crate) struct Running {
    tasks: JoinSet<()>,
    link: Link,
    board: Board,
}

/// Starts those that are wanted, each with its place on the board. Needs to be called within the runtime, after privileges were
/// given up: threads keep those that they begin with.
pub(crate) fn start(settings: &Exporters, link: &Link, board: &Board) -> Running {
    let mut running = Running { tasks: JoinSet::new(), link: link.clone(), board: board.clone() };
    for (name, json) in &settings.json {
        lines::start(name, json, &mut running);
    }
    for (name, syslog) in &settings.syslog {
        syslog::start(name, syslog, &mut running);
    }
    for (name, otlp) in &settings.otlp {
        otlp::start(name, otlp, &mut running);
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
        let runtime = tokio::runtime::Handle::current();
        let thread = std::thread::Builder::new().name("exporter".to_owned()).spawn(move || {
            runtime.block_on(run);
            let _nobody_waits = done.send(()).is_err();
        });
        if let Err(error) = thread {
            log::error!("exporter {} has no thread: {}", state.name(), state.failed(&error));
            return;
        }
        self.tasks.spawn(async {
            let _ended_or_gone = ended.await.is_ok();
        });
    }

    /// Lets them send what they have. The daemon has told them all by now.
    pub(crate) async fn finish(mut self) {
        self.link.stopping.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(FLUSH, all).await.is_err() {
            let waiting = self.board.status().into_iter().filter(|one| one.queued > 0);
            waiting.for_each(|Exporter { name, queued, .. }| {
                log::warn!("exporter {name}: {queued} updates were not sent before the daemon ended");
            });
        }
    }
}
