//! What clients ask of the service, answered from a recording.

use std::sync::Arc;
use std::time::Duration;

use observer_proto::{served, v1};
use prost::Message as _;
use tokio::sync::mpsc;

use super::Reason;
use super::moment::Moment;
use crate::aggregate::first_of;
use crate::event::{BootTime, Now, WallTime};
use crate::record::export::Recording;
use crate::record::{Reader, Run, Store};
use crate::serve::{
    Book, ConnectionList, Limits, ListenerList, Replayed, Request, Service, Settings, Subscribers,
    WorkloadList,
};
use crate::wire::{back, timestamp};

/// Calls of clients that may wait for the loop.
const REQUESTS_QUEUED: usize = 256;

/// A recording that is served.
#[derive(Debug)]
pub(crate) struct Replay {
    header: v1::ExportHeader,
    incident: Option<v1::Incident>,
    store: Store,
    moment: Moment,
    /// The daemon's state as it was.
    status: v1::Status,
    subscribers: Subscribers,
    /// The start of the newest run that it has something of.
    start: WallTime,
    reader: Reader,
}

impl Replay {
    pub(super) fn new(recording: Recording, at: Option<WallTime>) -> Result<Self, Reason> {
        let [since, until] = recording.range();
        let Recording { header, incident, store } = recording;
        let (incident, opening) = incident.map_or((None, None), |stored| (stored.incident, stored.opening));
        if let Some(at) = at.filter(|at| *at < since || *at > until) {
            let [at, since, until] = [at, since, until].map(|time| {
                jiff::Timestamp::from_nanosecond(i128::from(time.0)).unwrap_or(jiff::Timestamp::MAX)
            });
            return Err(Reason::Outside(at, since, until));
        }
        let opened = opening.as_ref().and_then(|opening| opening.time.as_ref());
        let opened = opened.or_else(|| incident.as_ref()?.open_time.as_ref()).map(back::wall_time);
        let shown = at.or(opened).unwrap_or(until);
        let status = opening.as_ref().and_then(|opening| opening.status.clone()).unwrap_or_default();
        let moment = Moment::of(&store, opening.unwrap_or_default(), shown)?;
        // It has no memory: all of the past is in the store.
        let never = Now { boot: BootTime(u64::MAX), wall: WallTime(u64::MAX) };
        let limits = Limits { history_bytes: 0, ..Limits::default() };
        let mut subscribers = Subscribers::new(&header.node_name, limits, never);
        let start = store.runs()?.last().map_or(WallTime(0), Run::start);
        let reader = Reader::of(store.clone(), start);
        subscribers.read_from(Some(reader.clone()));
        Ok(Self { header, incident, store, moment, status, subscribers, start, reader })
    }

    /// What a client is told that asks for the state.
    pub(crate) fn status(&self) -> v1::Status {
        let Self { header, incident, moment, status, .. } = self;
        let v1::ExportHeader { version, node_name, since, until, write_time, filtered } = header.clone();
        let (incident_id, title) =
            incident.as_ref().map_or_else(Default::default, |of| (of.id.clone(), of.title.clone()));
        let replay = v1::Replay {
            moment: Some(timestamp(moment.time)),
            since,
            until,
            incident_id,
            title,
            write_time,
            version: version.clone(),
            filtered,
        };
        let own = if status.version.is_empty() { version } else { status.version.clone() };
        v1::Status { replay: Some(replay), node_name, version: own, ..status.clone() }
    }

    /// The service, whose calls a task of its own answers.
    pub(crate) fn start(self) -> Service {
        let (sender, mut requests) = mpsc::channel(REQUESTS_QUEUED);
        // The same message in the server's types.
        let status = served::Status::decode(self.status().encode_to_vec().as_slice()).unwrap_or_default();
        let settings = Settings {
            // A whole recording is one window unless somebody says otherwise.
            window: Duration::from_nanos(u64::MAX),
            start_time: self.start,
            ..Settings::new(self.header.node_name.clone())
        };
        let replayed = Replayed { status, store: self.store.clone(), moment: self.moment.time };
        let book = Book::default();
        if let Some(incident) = &self.incident {
            book.put_told(Arc::new(incident.clone()));
        }
        let service = Service::new(settings, sender)
            .with_incidents(book)
            .recorded(Some(self.reader.clone()))
            .replaying(replayed);
        let mut answering = self;
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                answering.answer(request);
            }
        });
        service
    }

    /// Answers a client; one that is gone needs no answer.
    fn answer(&mut self, request: Request) {
        let Moment { time, sampled, connections, listeners, workloads } = &self.moment;
        let now = Now { boot: BootTime(time.0), wall: *time };
        let sampled = BootTime(sampled.0);
        match request {
            Request::Events(request) => self.subscribers.add_events(request),
            Request::ReadOn(id) => self.subscribers.read_on(id),
            Request::ReadRest(rest) => self.subscribers.read_rest(&rest),
            Request::Summaries(request) => self.subscribers.add_summaries(request),
            Request::Connections { filters, order, limit, reply } => {
                let passing = connections.iter().filter(|one| filters.connection(one, sampled));
                let (connections, total) = first_of(passing, order, limit, sampled);
                let _gone = reply.send(ConnectionList { connections, total, sampled, now }).is_err();
            }
            Request::Listeners { filters, reply } => {
                let listeners = listeners.iter().filter(|one| filters.listener(one)).cloned().collect();
                let _gone = reply.send(ListenerList { listeners, sampled, now }).is_err();
            }
            Request::Workloads { filters, reply } => {
                let passing = workloads.iter().filter(|one| filters.workload(&one.workload));
                let _gone = reply.send(WorkloadList { workloads: passing.cloned().collect(), now }).is_err();
            }
            // The service knows it, or refuses to change anything.
            Request::Status { .. }
            | Request::Past { .. }
            | Request::Debug(_)
            | Request::OpenIncident { .. }
            | Request::CloseIncident { .. }
            | Request::DeleteIncident { .. } => {}
        }
    }
}
