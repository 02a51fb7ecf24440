//! The gRPC service: checks a request, asks the event loop, and shapes the answer.

mod asked;
mod changes;
pub(crate) mod check;
mod compare;
mod debug;
mod events;
mod explain;
mod export;
mod incidents;
mod lists;
mod offered;
mod past;
mod recorded;
mod replayed;
mod settings;
mod states;
mod summaries;

use std::mem::take;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use observer_proto::served as v1;
use observer_proto::served::observer_server::Observer;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::PollSender;
use tonic::{Request as Call, Response, Status};

pub(crate) use self::asked::{connection_order as asked_order, mask as asked_mask, wall_time as asked_time};
pub(super) use self::changes::Changes;
pub(super) use self::debug::DebugStream;
pub(super) use self::events::EventStream;
pub(crate) use self::lists::fitting;
use self::lists::masked;
use self::past::PastWindows;
use self::recorded::Recording;
pub(crate) use self::replayed::Replayed;
pub(crate) use self::settings::Settings;
use self::states::{busy, connected, following, refused, sent_at, stopping};
pub(crate) use self::summaries::Merged;
pub(super) use self::summaries::SummaryStream;
use super::access::Caller;
use super::queue::queue;
use super::{
    Book, ConnectionList, EventsRequest, Filters, ListenerList, Request, SummariesRequest, WorkloadList,
};
use crate::filter::Purpose;
use crate::record::Reader;
use crate::wire;

/// How long the event loop may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Base windows on their way to one subscriber.
const WINDOWS_QUEUED: usize = 64;
/// A verdict is on the figures of so long, as far as they are in memory: a minute.
const EXPLAINED_NS: u64 = 60_000_000_000;
/// Connections listed where the client names no limit.
const CONNECTIONS_LISTED: usize = 10_000;

/// The service; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    settings: Arc<Settings>,
    requests: mpsc::Sender<Request>,
    /// Streams of events so far.
    streams: Arc<AtomicU64>,
    /// What all streams of changes keep to compare with.
    compared: Arc<AtomicUsize>,
    book: Book,
    /// Set where a recording is replayed.
    replayed: Option<Arc<Replayed>>,
    /// Where what is not in memory any more can be read.
    recorded: Option<Reader>,
}

#[tonic::async_trait]
impl Observer for Service {
    type DebugStream = DebugStream;
    type WatchEventsStream = EventStream;
    type WatchSummariesStream = SummaryStream;

    async fn watch_events(
        &self,
        call: Call<v1::WatchEventsRequest>,
    ) -> Result<Response<EventStream>, Status> {
        let (scope, caller) = Caller::admit(&call, "WatchEvents")?;
        let mut request = call.into_inner();
        let (allow, deny) = (take(&mut request.allow), take(&mut request.deny));
        let filters = self.compile(allow, deny, Purpose::Events)?.within(scope.clone());
        let mask = asked::mask(request.field_mask.take(), "Event", &["sequence"])?;
        let ask = asked::of(&request, self.settings.start_time)?;
        let seat = caller.seat()?;
        let (mut sink, source) = queue(self.settings.queue_capacity, "events");
        sink.hold(self.settings.queue_bytes);
        let id = self.streams.fetch_add(1, Ordering::Relaxed);
        let follow = request.follow;
        let recording = Recording::asked(self.recorded.as_ref(), &filters, mask.as_ref(), ask).await;
        self.send(Request::Events(EventsRequest { id, filters, ask, follow, sink })).await?;
        let requests = PollSender::new(self.requests.clone());
        let stream = EventStream::new(id, source, requests, &self.settings, mask, (scope, seat));
        Ok(Response::new(stream.with(recording, follow)))
    }

    async fn watch_summaries(
        &self,
        call: Call<v1::WatchSummariesRequest>,
    ) -> Result<Response<SummaryStream>, Status> {
        let (scope, caller) = Caller::admit(&call, "WatchSummaries")?;
        let mut request = call.into_inner();
        let (allow, deny) = (take(&mut request.allow), take(&mut request.deny));
        let filters = self.compile(allow, deny, Purpose::Summaries)?.within(scope);
        let mask = asked::mask(request.field_mask.take(), "Summary", &[])?;
        let length_ns = asked::window_ns(request.window.as_ref(), self.settings.window)?;
        // A recording that is replayed has nothing but the past.
        let newest =
            || self.replayed.as_ref().map(|replayed| replayed.newest(request.window.map(|_| length_ns)));
        let past = asked::windows(&request)?.or_else(newest);
        let past = PastWindows::asked(self.recorded.as_ref(), past).await?;
        let v1::WatchSummariesRequest { follow, changes, .. } = request;
        let seat = caller.seat()?;
        let (sink, source) = queue(WINDOWS_QUEUED, "windows");
        self.send(Request::Summaries(SummariesRequest { length_ns, sink })).await?;
        let stream = SummaryStream::new(source, &self.settings, filters, length_ns, follow, seat).after(past);
        Ok(Response::new(stream.shaped(mask, changes.then(|| Changes::new(&self.compared)))))
    }

    async fn debug(&self, call: Call<v1::DebugRequest>) -> Result<Response<DebugStream>, Status> {
        let (scope, caller) = Caller::admit(&call, "Debug")?;
        self.may_change()?;
        Ok(Response::new(self.open_session(call.into_inner(), scope, caller).await?))
    }

    async fn list_connections(
        &self,
        call: Call<v1::ListConnectionsRequest>,
    ) -> Result<Response<v1::ListConnectionsResponse>, Status> {
        let (scope, _) = Caller::admit(&call, "ListConnections")?;
        let v1::ListConnectionsRequest { allow, deny, limit, order, field_mask } = call.into_inner();
        let mask = asked::mask(field_mask, "Connection", &[])?;
        let order = asked::connection_order(order)?;
        let filters = self.compile(allow, deny, Purpose::Connections)?.within(scope.clone());
        let limit = if limit == 0 { CONNECTIONS_LISTED } else { limit as usize };
        let ConnectionList { connections, total, sampled, now } =
            self.ask(|reply| Request::Connections { filters, order, limit, reply }).await?;
        let seen = connections.iter().filter_map(|connection| scope.connection(connection));
        Ok(Response::new(v1::ListConnectionsResponse {
            connections: fitting(
                seen.map(|connection| wire::connection(&connection, sampled, now)),
                mask.as_ref(),
            ),
            total,
            node_name: self.settings.node_name.clone(),
            time: Some(wire::boot_timestamp(sampled, now)),
            missing_nodes: Vec::new(),
        }))
    }

    async fn explain(&self, call: Call<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        let (scope, caller) = Caller::admit(&call, "Explain")?;
        let v1::ExplainRequest { allow, deny, field_mask } = call.into_inner();
        let mask = asked::mask(field_mask, "Summary", &[])?;
        let filters = self.compile(allow, deny, Purpose::Summaries)?.within(scope);
        let _seat = caller.seat()?;
        let (window, now) = if let Some(replayed) = &self.replayed {
            replayed.before(EXPLAINED_NS)?
        } else {
            let (sink, source) = queue(WINDOWS_QUEUED, "windows");
            self.send(Request::Summaries(SummariesRequest { length_ns: EXPLAINED_NS, sink })).await?;
            explain::watch(source).await?
        };
        let edges = wire::explained(&filters.scope().window(&window), &filters, now);
        let total = edges.len() as u64;
        Ok(Response::new(v1::ExplainResponse {
            edges: fitting(edges.into_iter(), mask.as_ref()),
            total,
            node_name: self.settings.node_name.clone(),
            window_start: Some(wire::boot_timestamp(window.start, now)),
            window_ns: window.length_ns,
            lost_events: window.lost_events,
            missing_nodes: Vec::new(),
        }))
    }

    async fn list_listeners(
        &self,
        call: Call<v1::ListListenersRequest>,
    ) -> Result<Response<v1::ListListenersResponse>, Status> {
        let (scope, _) = Caller::admit(&call, "ListListeners")?;
        let v1::ListListenersRequest { allow, deny, field_mask } = call.into_inner();
        let mask = asked::mask(field_mask, "Listener", &[])?;
        let filters = self.compile(allow, deny, Purpose::Connections)?.within(scope);
        let ListenerList { listeners, sampled, now } =
            self.ask(|reply| Request::Listeners { filters, reply }).await?;
        Ok(Response::new(v1::ListListenersResponse {
            listeners: fitting(listeners.iter().map(|listener| wire::listener(listener, now)), mask.as_ref()),
            total: listeners.len() as u64,
            node_name: self.settings.node_name.clone(),
            time: Some(wire::boot_timestamp(sampled, now)),
            missing_nodes: Vec::new(),
        }))
    }

    async fn list_workloads(
        &self,
        call: Call<v1::ListWorkloadsRequest>,
    ) -> Result<Response<v1::ListWorkloadsResponse>, Status> {
        let (scope, _) = Caller::admit(&call, "ListWorkloads")?;
        let v1::ListWorkloadsRequest { allow, deny, field_mask } = call.into_inner();
        let mask = asked::mask(field_mask, "WorkloadStatus", &[])?;
        let filters = self.compile(allow, deny, Purpose::Workloads)?.within(scope);
        let WorkloadList { mut workloads, now } =
            self.ask(|reply| Request::Workloads { filters, reply }).await?;
        workloads.sort_by(|a, b| wire::order(&a.workload).cmp(&wire::order(&b.workload)));
        let told = workloads.iter().map(|entry| wire::workload_status(entry, now));
        Ok(Response::new(v1::ListWorkloadsResponse {
            workloads: told.map(|entry| masked(entry, mask.as_ref())).collect(),
            node_name: self.settings.node_name.clone(),
            missing_nodes: Vec::new(),
        }))
    }

    async fn get_status(
        &self,
        call: Call<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        // Nothing in it is of a workload: whoever may see some may know how the daemon is.
        Caller::admit(&call, "GetStatus")?;
        if let Some(replayed) = &self.replayed {
            return Ok(Response::new(v1::GetStatusResponse { status: Some(replayed.status.clone()) }));
        }
        let (status, now) = self.ask(|reply| Request::Status { reply }).await?;
        let status = Some(wire::status(status, &self.settings.node_name, now));
        Ok(Response::new(v1::GetStatusResponse { status }))
    }
}

impl Service {
    /// Sends what it is asked to the event loop.
    pub(crate) fn new(settings: Settings, requests: mpsc::Sender<Request>) -> Self {
        Self {
            settings: Arc::new(settings),
            requests,
            streams: Arc::default(),
            compared: Arc::default(),
            book: Book::default(),
            replayed: None,
            recorded: None,
        }
    }

    /// With the incidents that are known.
    pub(crate) fn with_incidents(self, book: Book) -> Self {
        Self { book, ..self }
    }

    /// With a recording that is replayed.
    pub(crate) fn replaying(self, replayed: Replayed) -> Self {
        Self { replayed: Some(Arc::new(replayed)), ..self }
    }

    /// Has what is not in memory any more read from there.
    pub(crate) fn recorded(self, recorded: Option<Reader>) -> Self {
        Self { recorded, ..self }
    }

    fn compile(
        &self,
        allow: Vec<v1::Filter>,
        deny: Vec<v1::Filter>,
        purpose: Purpose,
    ) -> Result<Filters, Status> {
        Filters::compile(allow, deny, purpose, &self.settings.node_name).map_err(Status::from)
    }

    async fn send(&self, request: Request) -> Result<(), Status> {
        match timeout(PATIENCE, self.requests.send(request)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_closed)) => Err(Status::unavailable("the daemon is stopping")),
            Err(_elapsed) => Err(busy()),
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Status> {
        let (reply, answer) = oneshot::channel();
        self.send(request(reply)).await?;
        match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_dropped)) => Err(Status::unavailable("the daemon is stopping")),
            Err(_elapsed) => Err(busy()),
        }
    }
}
