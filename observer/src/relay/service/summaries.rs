//! A stream of summaries over all nodes: the windows of one time as one window.

mod order;
mod telling;
mod whose;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use observer_proto::Mask;
use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{NodeStatus, WatchSummariesRequest, WatchSummariesResponse};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use self::telling::{Brought, Complete, Telling, What};
use self::whose::Whose;
use super::super::Settings;
use super::super::call::Asker;
use super::super::chosen::Chosen;
use super::super::merge::NodeNumber;
use super::super::node::{nanos, now};
use super::super::nodes::Nodes;
use super::super::windows::{Ends, Overlaps, Told, Windows};
use super::Answered;
use super::asked::{Asked, Happens, Who};
use super::part::run;
use crate::filter::Purpose;
use crate::serve::{Seat, asked_mask, check};

/// Messages for the client to read.
const READY: usize = 256;
/// Windows of all nodes on their way to where they are put together: each node's waits for its place.
const ON_THEIR_WAY: usize = 16;
/// A node's window is waited for so long behind the first one of its time, beside half of a window's length: one that was
/// asked later than the others begins its windows later.
const GRACE: Duration = Duration::from_secs(2);
/// Windows that one node may tell ahead of the others: beyond that it waits, and what it cannot keep it tells as lost.
const AHEAD: usize = 3;
/// The window of a daemon where neither the client nor its configuration says another.
const USUAL_WINDOW: Duration = Duration::from_secs(10);

/// One client's stream.
pub(super) struct Summaries {
    request: WatchSummariesRequest,
    mask: Option<Mask>,
    told: Option<Told>,
    asked: Asked,
    out: mpsc::Sender<Result<WatchSummariesResponse, Status>>,
    sender: mpsc::Sender<Brought>,
    windows: Windows,
    /// Up to when each daemon has told.
    ends: Ends,
    /// The keys that were given to summaries.
    keys: Arc<AtomicU64>,
    /// What was lost and only counted in windows that were left out: the next window has it.
    lost_events: u64,
    folded_events: u64,
    whose: Whose,
}

/// The client has gone, or has all.
struct Done;

impl Summaries {
    /// Opens the stream.
    pub(super) fn open(
        asker: Asker,
        seat: Seat,
        mut request: WatchSummariesRequest,
        nodes: &Nodes,
        settings: &Settings,
    ) -> Result<Answered<WatchSummariesResponse>, Status> {
        check::summaries(&request)?;
        let (allow, deny) = (std::mem::take(&mut request.allow), std::mem::take(&mut request.deny));
        let chosen = Chosen::checked(allow, deny, Purpose::Summaries)?;
        if nodes.now().nodes.is_empty() && !request.follow {
            return Err(Status::unavailable(nodes.now().nobody()));
        }
        let mask = asked_mask(request.field_mask.take(), "Summary", &["node_name", "key"])?;
        let length =
            request.window.and_then(|window| Duration::try_from(window).ok()).unwrap_or(USUAL_WINDOW);
        if request.follow || request.since.is_some() {
            // Windows of one time are of one length, whatever each daemon's own is. A single one is as its daemon has it.
            request
                .window
                .get_or_insert(prost_types::Duration { seconds: length.as_secs() as i64, nanos: 0 });
        }
        let who = Who { asker, chosen, patience: settings.patience, follow: request.follow };
        let asked = Asked::new(nodes, who);
        let whose = Whose::new(nodes.clone(), asked.asker().clone());
        let (out, answers) = mpsc::channel(READY);
        let (sender, brought) = mpsc::channel(ON_THEIR_WAY);
        let summaries = Self {
            mask,
            told: request.changes.then(Told::default),
            asked,
            out,
            sender,
            windows: Windows::new(length, GRACE + length / 2, request.changes),
            ends: Ends::default(),
            keys: Arc::default(),
            lost_events: 0,
            folded_events: 0,
            whose,
            request,
        };
        tokio::spawn(async move {
            let _seat = seat;
            // Whoever has gone needs no more.
            let _done = Box::pin(summaries.run(brought)).await.is_err();
        });
        Ok(Box::pin(ReceiverStream::new(answers)))
    }

    async fn run(mut self, mut brought: mpsc::Receiver<Brought>) -> Result<(), Done> {
        for status in self.asked.greeting() {
            self.status(status).await?;
        }
        self.join(true);
        loop {
            let due = self.windows.due();
            tokio::select! {
                biased;
                one = brought.recv() => self.take(one.ok_or(Done)?).await?,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                happens = self.asked.happens() => match happens.map_err(|_stopping| Done)? {
                    Happens::Found if self.request.follow => self.join(false),
                    // What there was at the beginning is all that was asked.
                    Happens::Found => {}
                    Happens::Fell(node, status) => {
                        self.status(status).await?;
                        self.take(Brought { node, what: What::Ended }).await?;
                    }
                },
                () = self.out.closed() => return Err(Done),
            }
            // Nobody is late whose windows are here already.
            while let Ok(one) = brought.try_recv() {
                self.take(one).await?;
            }
            self.release().await?;
            if !self.request.follow && self.asked.is_empty() {
                return self.finish().await;
            }
        }
    }

    /// Asks the nodes that are new.
    fn join(&mut self, first: bool) {
        for (number, of) in self.asked.join() {
            let mut request = self.request.clone();
            if first {
                // All that is asked for is past where nothing is followed, or comes first.
                self.windows.expect(number, !request.follow || request.since.is_some());
            } else {
                // One that comes later tells what happens from then on.
                (request.since, request.until) = (None, None);
            }
            let telling = Telling {
                of,
                number,
                request,
                sender: self.sender.clone(),
                places: Arc::new(Semaphore::new(AHEAD)),
                keys: Arc::clone(&self.keys),
                began: false,
            };
            self.asked.begin(number, run(telling));
        }
    }

    async fn take(&mut self, brought: Brought) -> Result<(), Done> {
        let Brought { node, what } = brought;
        match what {
            What::Telling(status) => {
                self.windows.tells(node);
                self.status(status).await?;
            }
            What::Window(window) => self.take_window(node, window).await?,
            What::State(status) => {
                self.windows.leave(node);
                self.status(status).await?;
            }
            What::Left => self.windows.leave(node),
            What::Ended => {
                self.windows.leave(node);
                self.asked.leave(node);
            }
        }
        Ok(())
    }

    async fn take_window(&mut self, node: NodeNumber, brought: Complete) -> Result<(), Done> {
        let Complete { window, time, ahead, started, is_first } = brought;
        match self.ends.tell(&window.name, started, time, is_first) {
            Ok(()) => {
                self.whose.want();
                self.windows.add(node, time[0] - ahead, *window, wall(), Instant::now());
                Ok(())
            }
            Err(Overlaps(missing_ns)) => {
                let seconds = Duration::from_nanos(missing_ns).as_secs_f64();
                let words = format!(
                    "its first window since it is back was told in part before, and is left out: figures lack {seconds:.1} s"
                );
                let name = window.name.to_string();
                self.left_out(name, *window, (missing_ns > 0).then_some(words)).await
            }
        }
    }

    async fn status(&self, status: NodeStatus) -> Result<(), Done> {
        self.send(status.node_name.clone(), Payload::NodeStatus(status)).await
    }

    async fn send(&self, node_name: String, payload: Payload) -> Result<(), Done> {
        let message = WatchSummariesResponse { payload: Some(payload), node_name, time: Some(now()) };
        self.out.send(Ok(message)).await.map_err(|_closed| Done)
    }
}

/// The time by this machine's clock, in nanoseconds.
fn wall() -> i128 {
    nanos(&now())
}
