//! The gRPC side: what clients ask of the event loop, and how its answers reach them.
//!
//! The event loop owns the state; the services own nothing. A call becomes a `Request`, sent over a
//! bounded queue; the loop answers it or hands it to its `Subscribers`. Filters are evaluated in the
//! loop, before anything is built for the wire; conversion happens in the streams' own tasks, of an event in the
//! first one that sends it.

mod access;
mod history;
mod incidents;
mod queue;
mod server;
mod service;
mod subscribers;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use observer_proto::v1;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::access::{CALLER, Caller, ClientLimits, Scope, Seat, told};
pub(crate) use self::history::Ask;
pub(crate) use self::incidents::{Book, Change, Connections, Opening, Standing};
pub(crate) use self::queue::{Gauge, Item, Sink, Source, queue};
pub(crate) use self::server::{
    LONGEST_ANSWER_BYTES, LONGEST_REQUEST_BYTES, Listeners, SecurityFiles, ServeError, TlsFiles, serve_one,
};
pub(crate) use self::service::{
    Merged, Replayed, Service, Settings, asked_mask, asked_order, asked_time, check, fitting,
};
pub(crate) use self::subscribers::{Limits, Subscribers};
use crate::event::{
    BootTime, Connection, ConnectionOrder, Event, Listener, Now, WallTime, Window, WorkloadEntry,
};
use crate::filter::Filters;
use crate::session::{News, Part, Refusal, SessionId};
use crate::status::Status;
use crate::trigger::Refused;

/// What a client asks of the event loop.
#[derive(Debug)]
pub(crate) enum Request {
    /// For `Subscribers::add_events`.
    Events(EventsRequest),
    /// For `Subscribers::read_on`: the stream with that name has sent what it got from the memory.
    ReadOn(u64),
    /// Opens a debugging session.
    Debug(Box<DebugAsk>),
    /// For `Subscribers::read_rest`.
    ReadRest(Rest),
    /// For `Subscribers::add_summaries`.
    Summaries(SummariesRequest),
    /// The live connections that pass, in order, `limit` at most.
    Connections {
        filters: Filters,
        order: ConnectionOrder,
        limit: usize,
        reply: oneshot::Sender<ConnectionList>,
    },
    /// The listeners that pass, the fullest first.
    Listeners { filters: Filters, reply: oneshot::Sender<ListenerList> },
    /// The workloads that pass, in any order.
    Workloads { filters: Filters, reply: oneshot::Sender<WorkloadList> },
    /// The daemon's state; `Now` dates what it holds.
    Status { reply: oneshot::Sender<(Status, Now)> },
    /// What is in memory of a time.
    Past { since: WallTime, until: WallTime, reply: oneshot::Sender<Past> },
    /// An incident is to be opened.
    OpenIncident { open: OpenIncident, reply: oneshot::Sender<Result<Arc<v1::Incident>, Refused>> },
    /// An incident is to be closed; `None` where none is open with that id.
    CloseIncident {
        id: String,
        client: String,
        note: String,
        reply: oneshot::Sender<Option<Arc<v1::Incident>>>,
    },
    /// An incident is to be deleted, and closed before that.
    DeleteIncident { id: String, client: String, reply: oneshot::Sender<()> },
}

/// An incident that a client wants.
#[derive(Debug)]
pub(crate) struct OpenIncident {
    /// About which workloads; those that let all pass mean the node.
    pub(crate) filters: Filters,
    /// Who wants it.
    pub(crate) client: String,
    pub(crate) note: String,
}

/// The answer to `Request::Past`.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// In the order in which they were told.
    pub(crate) events: Vec<Arc<Event>>,
    /// All events after this time are among them.
    pub(crate) complete_since: WallTime,
    pub(crate) windows: Vec<Arc<Window>>,
    pub(crate) now: Now,
}

/// Asks for events.
#[derive(Debug)]
pub(crate) struct EventsRequest {
    /// Names the stream; no other one has the same.
    pub(crate) id: u64,
    pub(crate) filters: Filters,
    /// What of the memory comes first; `None`: nothing.
    pub(crate) ask: Option<Ask>,
    /// Goes on with new ones.
    pub(crate) follow: bool,
    pub(crate) sink: Sink,
}

/// Asks for a debugging session. Its events are a stream of their own.
#[derive(Debug)]
pub(crate) struct DebugAsk {
    /// Names the session; no other one has the same.
    pub(crate) id: SessionId,
    /// The containers that are watched.
    pub(crate) filters: Filters,
    pub(crate) parts: Vec<Part>,
    /// Failed opens are to be seen at any cost.
    pub(crate) costly_opens: bool,
    pub(crate) length_ns: u64,
    pub(crate) max_cpu_share: f64,
    /// Who asks.
    pub(crate) client: String,
    /// The session ends when nobody listens there any more.
    pub(crate) news: mpsc::Sender<News>,
    pub(crate) reply: oneshot::Sender<Result<(), Refusal>>,
}

/// Asks for what of a stream's past is left when it has read what is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    /// The stream.
    pub(crate) id: u64,
    /// Events up to this number of this run were read.
    pub(crate) after: u64,
    /// Not before this time.
    pub(crate) since: Option<WallTime>,
    /// Not after this time.
    pub(crate) until: Option<WallTime>,
    /// So many at most.
    pub(crate) left: usize,
}

/// Asks for windows. They are merged and filtered in the stream's own task.
#[derive(Debug)]
pub(crate) struct SummariesRequest {
    /// How long a window the client wants: so much of the history comes first.
    pub(crate) length_ns: u64,
    pub(crate) sink: Sink,
}

/// The answer to `Request::Connections`.
#[derive(Debug)]
pub(crate) struct ConnectionList {
    pub(crate) connections: Vec<Connection>,
    /// How many passed, listed or not.
    pub(crate) total: u64,
    /// When the counters were read.
    pub(crate) sampled: BootTime,
    pub(crate) now: Now,
}

/// The answer to `Request::Listeners`.
#[derive(Debug)]
pub(crate) struct ListenerList {
    pub(crate) listeners: Vec<Listener>,
    /// When the queues were read.
    pub(crate) sampled: BootTime,
    pub(crate) now: Now,
}

/// The answer to `Request::Workloads`.
#[derive(Debug)]
pub(crate) struct WorkloadList {
    pub(crate) workloads: Vec<WorkloadEntry>,
    pub(crate) now: Now,
}
