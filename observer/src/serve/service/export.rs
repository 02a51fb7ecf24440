//! A file with what is recorded of a time, streamed as it is written.

use std::io::{self, ErrorKind, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use observer_proto::served::export_incident_request::Of;
use observer_proto::{served, v1};
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::Stream;
use tonic::Status;

use super::asked::wall_time;
use super::replayed::unreadable;
use super::{Service, sent_at};
use crate::event::WallTime;
use crate::filter::{Filters, Purpose, Scope};
use crate::record::Store;
use crate::record::export::{self, WriteError};
use crate::serve::access::Seat;

/// So many bytes are sent at once.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that wait for the client.
const PIECES_QUEUED: usize = 4;
/// So long a client may take for a piece.
const PATIENCE: Duration = Duration::from_mins(1);
/// Exports at a time: each has a thread and some blocks in memory.
static PLACES: Semaphore = Semaphore::const_new(2);

/// The answer to `ExportIncident`.
#[derive(Debug)]
pub(crate) struct ExportStream {
    pieces: mpsc::Receiver<Result<Vec<u8>, Status>>,
    /// Its client's place for it.
    _seat: Seat,
}

impl Stream for ExportStream {
    type Item = Result<served::ExportIncidentResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = self.pieces.poll_recv(context);
        piece.map(|piece| piece.map(|piece| piece.map(|data| served::ExportIncidentResponse { data })))
    }
}

/// What is to be exported.
struct Exported {
    store: Store,
    header: v1::ExportHeader,
    incident: Option<v1::StoredIncident>,
    range: [WallTime; 2],
    filters: Filters,
}

impl Service {
    pub(super) async fn export(
        &self,
        scope: Scope,
        seat: Seat,
        request: served::ExportIncidentRequest,
    ) -> Result<ExportStream, Status> {
        let served::ExportIncidentRequest { allow, deny, of } = request;
        let filtered = !allow.is_empty() || !deny.is_empty() || !scope.is_all();
        let filters = self.compile(allow, deny, Purpose::Events)?.within(scope.clone());
        let (range, incident) = match of {
            Some(Of::Id(id)) => {
                let (range, incident) = self.kept(&scope, &id)?;
                (range, Some(incident))
            }
            Some(Of::Range(range)) => (Self::range(&range)?, None),
            None => return Err(Status::invalid_argument("of: name an incident's id or a range")),
        };
        let place = PLACES.try_acquire().map_err(|_taken| {
            Status::resource_exhausted(
                "others export at the moment, as many as may at a time: try again later",
            )
        })?;
        let store = self.recording().await?;
        // A snapshot is of all of the node.
        let with = |incident| self.with_opening(!filtered, &store, incident);
        let incident = incident.map(with).transpose()?;
        let [since, until] = range.map(|time| Some(crate::wire::timestamp(time)));
        let header = v1::ExportHeader {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node_name: self.settings.node_name.clone(),
            since,
            until,
            write_time: Some(sent_at()),
            filtered: filtered || store.is_filtered(),
        };
        let (sender, pieces) = mpsc::channel(PIECES_QUEUED);
        let exported = Exported { store, header, incident, range, filters };
        tokio::task::spawn_blocking(move || {
            let _place = place;
            write(&exported, &sender);
        });
        Ok(ExportStream { pieces, _seat: seat })
    }

    /// The time that is kept for an incident, and the incident.
    pub(super) fn kept(&self, scope: &Scope, id: &str) -> Result<([WallTime; 2], v1::Incident), Status> {
        let incident = self.visible(scope, id)?;
        let time = |name, time: &Option<_>| time.map_or(Ok(WallTime(0)), |time| wall_time(name, time));
        let since = time("window_start", &incident.window_start)?;
        let until = time("window_end", &incident.window_end)?;
        Ok(([since, until.min(now())], incident))
    }

    /// A part of time.
    pub(super) fn range(range: &served::TimeRange) -> Result<[WallTime; 2], Status> {
        let since = range.since.map(|since| wall_time("since", since)).transpose()?;
        let until = range.until.map(|until| wall_time("until", until)).transpose()?;
        let [since, until] = [since.unwrap_or(WallTime(0)), until.unwrap_or_else(now).min(now())];
        if since > until {
            return Err(Status::invalid_argument(
                "since is later than until, or than now, so nothing can be between them",
            ));
        }
        Ok([since, until])
    }

    /// The incident as it is stored; the snapshot only where the whole is wanted and may be seen.
    fn with_opening(
        &self,
        whole: bool,
        store: &Store,
        incident: v1::Incident,
    ) -> Result<v1::StoredIncident, Status> {
        let stored =
            store.incident(&incident.id).map_err(|error| unreadable(&error))?.and_then(|one| one.opening);
        let opening = stored.or_else(|| self.book.opening(&incident.id));
        // A snapshot is of all of the node.
        let opening = opening.filter(|_| whole);
        Ok(v1::StoredIncident { incident: Some(incident), opening })
    }

    /// What is recorded, up to now.
    pub(super) async fn recording(&self) -> Result<Store, Status> {
        let Some(reader) = &self.recorded else {
            return Err(Status::failed_precondition(
                "nothing is recorded: the recorder is off (--record-dir)",
            ));
        };
        // With what happened just now.
        reader.commit().await;
        reader
            .store()
            .ok_or_else(|| Status::unavailable("the recording is not open: see the daemon's status"))
    }
}

fn write(exported: &Exported, pieces: &mpsc::Sender<Result<Vec<u8>, Status>>) {
    let Exported { store, header, incident, range, filters } = exported;
    let out = Pieces { waiting: Vec::with_capacity(PIECE_BYTES), pieces: pieces.clone() };
    let mut seen = export::Seen::new(filters, *range);
    let change = |raw| {
        // Where filters leave little, nothing is sent for a long time.
        if pieces.is_closed() {
            return Err(WriteError::Io(ErrorKind::BrokenPipe.into()));
        }
        seen.change(raw)
    };
    match export::store(out, header, incident.as_ref(), (store, *range), change) {
        // The last piece was sent as it was flushed.
        Ok(_) => {}
        Err(WriteError::Store(error)) => drop(send(pieces, Err(unreadable(&error)))),
        // The client is gone, or takes nothing.
        Err(WriteError::Io(error)) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::TimedOut) => {
            log::debug!("an export was given up: {error}");
        }
        Err(WriteError::Io(error)) => {
            let told = Status::internal(format!("the recording cannot be exported: {error}"));
            drop(send(pieces, Err(told)));
        }
    }
}

/// Waits for the client, but not for ever: it holds a place of those who export.
fn send(pieces: &mpsc::Sender<Result<Vec<u8>, Status>>, piece: Result<Vec<u8>, Status>) -> io::Result<()> {
    let sent = Handle::current().block_on(pieces.send_timeout(piece, PATIENCE));
    sent.map_err(|error| match error {
        SendTimeoutError::Timeout(_) => ErrorKind::TimedOut.into(),
        SendTimeoutError::Closed(_) => ErrorKind::BrokenPipe.into(),
    })
}

/// What was written, on its way to the client; the writing waits for it.
struct Pieces {
    waiting: Vec<u8>,
    pieces: mpsc::Sender<Result<Vec<u8>, Status>>,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.waiting, Vec::with_capacity(PIECE_BYTES));
        send(&self.pieces, Ok(piece))
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..taken]);
        if self.waiting.len() == PIECE_BYTES {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() { Ok(()) } else { self.send() }
    }
}

#[allow(clippy::disallowed_methods, reason = "what is asked for without an end is asked for up to now")]
fn now() -> WallTime {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    WallTime(now.map_or(0, |now| now.as_nanos() as u64))
}
