//! One simulated node: what happened there, and who is told of it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{
    GetStatusResponse, LossSource, Lost, NodeState, NodeStatus, Resume, Status, WatchEventsResponse,
};
use prost_types::Timestamp;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::content::Content;

/// So many updates wait for a client, as with a daemon that is told nothing else.
const QUEUE: usize = 8_192;
/// So many events it has in memory for those whose stream was cut off.
const REMEMBERED: usize = 1_024;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) sequence: u64,
    pub(super) time_ns: u64,
}

/// What is told.
#[derive(Debug)]
pub(super) enum Told {
    State(NodeStatus),
    Event(Happened),
    Lost(&'static str, u64),
}

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) content: Content,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When each run of its daemon began, and how many events it counted.
    runs: Vec<(SystemTime, u64)>,
    memory: VecDeque<Happened>,
    subscribers: Vec<Subscriber>,
}

#[derive(Debug)]
struct Subscriber {
    queue: mpsc::Sender<Told>,
    /// What found no room and was not told yet.
    lost: u64,
}

impl Node {
    /// One whose daemon starts now.
    pub(super) fn new(number: usize) -> Self {
        let name = format!("node-{number:04}");
        let content = Content::new(&name, number);
        let runs = vec![(SystemTime::now(), 0)];
        let state = State { runs, memory: VecDeque::new(), subscribers: Vec::new() };
        Self { name, content, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happens.
    pub(super) fn happen(&self, time_ns: u64) {
        let mut state = self.lock();
        let Some((_, sequence)) = state.runs.last_mut() else { return };
        *sequence += 1;
        let happened = Happened { sequence: *sequence, time_ns };
        if state.memory.len() == REMEMBERED {
            state.memory.pop_front();
        }
        state.memory.push_back(happened);
        state.subscribers.retain_mut(|subscriber| subscriber.offer(happened));
    }

    /// Tells losses that found no room either.
    pub(super) fn flush(&self) {
        self.lock().subscribers.retain_mut(Subscriber::flush);
    }

    /// Its daemon starts anew: it has forgotten all.
    pub(super) fn restart(&self) {
        let mut state = self.lock();
        state.runs.push((SystemTime::now(), 0));
        state.memory.clear();
        state.subscribers.clear();
    }

    /// When each run began, and how many events it counted.
    pub(super) fn runs(&self) -> Vec<(Timestamp, u64)> {
        self.lock().runs.iter().map(|(began, count)| ((*began).into(), *count)).collect()
    }

    /// What a new stream begins with, and where what happens later comes from.
    pub(super) fn subscribe(&self, resume: Option<Resume>) -> (Vec<Told>, mpsc::Receiver<Told>) {
        let mut state = self.lock();
        let (began, newest) = state.runs.last().copied().unwrap_or((SystemTime::UNIX_EPOCH, 0));
        let start_time: Timestamp = began.into();
        let after = match resume {
            None => newest,
            Some(resume) if resume.start_time == Some(start_time) => resume.sequence,
            // Numbers of another run mean nothing: all that there is comes.
            Some(_) => 0,
        };
        let mut first = vec![Told::State(NodeStatus {
            state: NodeState::Connected.into(),
            message: "new events follow".to_owned(),
            start_time: Some(start_time),
            after_sequence: after,
            ..NodeStatus::default()
        })];
        let past = || state.memory.iter().filter(|happened| happened.sequence > after);
        let oldest = past().next().map_or(newest + 1, |happened| happened.sequence);
        if oldest > after + 1 {
            first.push(Told::Lost("history", oldest - after - 1));
        }
        first.extend(past().map(|happened| Told::Event(*happened)));
        let (queue, receiver) = mpsc::channel(QUEUE);
        state.subscribers.push(Subscriber { queue, lost: 0 });
        (first, receiver)
    }

    /// A message to a client.
    pub(super) fn message(&self, told: Told) -> WatchEventsResponse {
        let payload = match told {
            Told::State(status) => Payload::NodeStatus(status),
            Told::Event(happened) => Payload::Event(self.content.event(happened)),
            Told::Lost(kind, count) => Payload::Lost(Lost {
                source: LossSource::Subscriber.into(),
                kind: kind.to_owned(),
                count,
                ..Lost::default()
            }),
        };
        let time = Some(SystemTime::now().into());
        WatchEventsResponse { payload: Some(payload), node_name: self.name.clone(), time }
    }

    /// What its daemon says of itself.
    pub(super) fn status(&self) -> GetStatusResponse {
        let began = self.lock().runs.last().map_or(SystemTime::UNIX_EPOCH, |(began, _)| *began);
        let uptime = SystemTime::now().duration_since(began).unwrap_or(Duration::ZERO);
        let status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node_name: self.name.clone(),
            start_time: Some(began.into()),
            uptime_ns: uptime.as_nanos() as u64,
            ..Status::default()
        };
        GetStatusResponse { status: Some(status) }
    }
}

impl Subscriber {
    /// Tells it; `false` where nobody reads any more.
    fn offer(&mut self, happened: Happened) -> bool {
        if !self.flush() {
            return false;
        }
        if self.lost > 0 {
            self.lost += 1;
            return true;
        }
        match self.queue.try_send(Told::Event(happened)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.lost += 1;
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }

    /// Tells what was lost, as soon as there is room.
    fn flush(&mut self) -> bool {
        if self.lost == 0 {
            return !self.queue.is_closed();
        }
        match self.queue.try_send(Told::Lost("events", self.lost)) {
            Ok(()) => self.lost = 0,
            Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Closed(_)) => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(receiver: &mut mpsc::Receiver<Told>) -> (u64, u64) {
        let (mut events, mut lost) = (0, 0);
        while let Ok(told) = receiver.try_recv() {
            match told {
                Told::Event(_) => events += 1,
                Told::Lost(_, count) => lost += count,
                Told::State(_) => {}
            }
        }
        (events, lost)
    }

    #[test]
    fn what_finds_no_room_is_told_as_lost() {
        let node = Node::new(1);
        let (first, mut receiver) = node.subscribe(None);
        assert_eq!(first.len(), 1);
        (0..QUEUE as u64 + 100).for_each(|time| node.happen(time));
        assert_eq!(drain(&mut receiver), (QUEUE as u64, 0));
        node.flush();
        assert_eq!(drain(&mut receiver), (0, 100));
        node.happen(0);
        assert_eq!(drain(&mut receiver), (1, 0));
    }

    #[test]
    fn a_stream_goes_on_where_it_was_cut_off() {
        let node = Node::new(1);
        (0..REMEMBERED as u64 + 10).for_each(|time| node.happen(time));
        let start_time = node.runs().last().map(|(began, _)| *began);
        let resume = |sequence| Some(Resume { sequence, start_time });
        assert_eq!(node.subscribe(resume(REMEMBERED as u64)).0.len(), 1 + 10);
        let (first, _) = node.subscribe(resume(4));
        assert!(matches!(first.get(1), Some(Told::Lost("history", 6))), "{:?}", first.get(1));
        assert_eq!(first.len(), 2 + REMEMBERED);
        node.restart();
        node.happen(1);
        assert_eq!(node.subscribe(resume(4)).0.len(), 2, "all of the new run");
    }
}
