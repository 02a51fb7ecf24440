//! How all stood at one moment: as the snapshot has it, or, at another one, as events tell.

use std::collections::{HashMap, HashSet};

use observer_proto::v1;
use observer_proto::v1::event::Detail;
use prost::Message as _;

use crate::event::{BootTime, Connection, Listener, WallTime, WorkloadEntry};
use crate::record::{Place, Recorded, Store, StoreError};
use crate::wire::{back, timestamp};

/// What is told as live.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) time: WallTime,
    /// When sockets were read.
    pub(super) sampled: WallTime,
    pub(super) connections: Vec<Connection>,
    pub(super) listeners: Vec<Listener>,
    pub(super) workloads: Vec<WorkloadEntry>,
}

impl Moment {
    /// Of that time. Listeners and workloads are those of the snapshot at any time: no event tells all of them.
    pub(super) fn of(store: &Store, snapshot: v1::Snapshot, time: WallTime) -> Result<Self, StoreError> {
        let read = snapshot.time.as_ref().map(back::wall_time);
        let told = if read == Some(time) {
            snapshot.connections
        } else {
            let mut live = Live { at: time, found: HashMap::new(), closed: HashSet::new() };
            live.read(store)?;
            live.with(snapshot.connections)
        };
        // Of the snapshot, whatever is told of its sockets.
        let sampled = read.unwrap_or(time);
        let at = BootTime(sampled.0);
        Ok(Self {
            time,
            sampled: if read == Some(time) { sampled } else { time },
            connections: told.iter().map(|one| back::connection(one, at)).collect(),
            listeners: snapshot.listeners.iter().map(|one| back::listener(one, at)).collect(),
            workloads: snapshot.workloads.iter().map(back::workload_entry).collect(),
        })
    }
}

/// The connections that events tell of, at a moment.
struct Live {
    at: WallTime,
    /// By the name of the socket.
    found: HashMap<String, v1::Connection>,
    /// Sockets that were closed by then.
    closed: HashSet<String>,
}

impl Live {
    fn read(&mut self, store: &Store) -> Result<(), StoreError> {
        let (mut place, mut run) = (Place::default(), 0);
        while let Some(chunk) = store.forward(place)? {
            place = chunk.after;
            if chunk.run.number != run && chunk.run.start() <= self.at {
                // What was open at the end of a run may have ended while nobody looked. What did not tells so as it ends.
                self.found.clear();
            }
            run = chunk.run.number;
            for item in chunk.items {
                let Recorded::Event { event, .. } = item else { continue };
                if let Ok(event) = v1::Event::decode(event) {
                    self.take(event);
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, event: v1::Event) {
        let v1::Event { time, workload, process, detail, .. } = event;
        let Some(time) = time.as_ref().map(back::wall_time) else { return };
        let connection = |tcp: Option<v1::Tcp>, start: WallTime, handshake_latency_ns| {
            tcp.filter(|tcp| !tcp.connection_id.is_empty()).map(|tcp| v1::Connection {
                tcp: Some(tcp),
                workload,
                process,
                state: "ESTABLISHED".to_owned(),
                start_time: Some(timestamp(start)),
                handshake_latency_ns,
                ..v1::Connection::default()
            })
        };
        let before = |ns: u64| WallTime(time.0.saturating_sub(ns));
        match detail {
            Some(Detail::TcpConnect(connect)) if time <= self.at => {
                let latency = connect.handshake_latency_ns;
                self.open(connection(connect.tcp, before(latency), Some(latency)));
            }
            Some(Detail::TcpAccept(accept)) if time <= self.at => {
                self.open(connection(accept.tcp, time, accept.handshake_latency_ns));
            }
            Some(Detail::TcpClose(close)) if time <= self.at => {
                let id = close.tcp.map(|tcp| tcp.connection_id).unwrap_or_default();
                self.found.remove(&id);
                self.closed.insert(id);
            }
            // It began before the recording did.
            Some(Detail::TcpClose(close)) => {
                let start = close.duration_ns.map(before).filter(|start| *start <= self.at);
                if let Some(found) = start.and_then(|start| connection(close.tcp, start, None)) {
                    let id = id(&found);
                    self.found.entry(id).or_insert(found);
                }
            }
            Some(_) | None => {}
        }
    }

    fn open(&mut self, connection: Option<v1::Connection>) {
        if let Some(connection) = connection {
            self.found.insert(id(&connection), connection);
        }
    }

    /// With those of the snapshot that were there already, or still. What it says of their sockets is of another time.
    fn with(mut self, snapshot: Vec<v1::Connection>) -> Vec<v1::Connection> {
        for one in snapshot {
            let began = one.start_time.as_ref().is_some_and(|start| back::wall_time(start) <= self.at);
            let id = id(&one);
            if began && !self.closed.contains(&id) {
                self.found.entry(id).or_insert(v1::Connection {
                    counters: None,
                    flow: None,
                    half_closed_time: None,
                    peer: None,
                    ..one
                });
            }
        }
        let mut all: Vec<v1::Connection> = self.found.into_values().collect();
        all.sort_by_cached_key(id);
        all
    }
}

fn id(connection: &v1::Connection) -> String {
    connection.tcp.as_ref().map(|tcp| tcp.connection_id.clone()).unwrap_or_default()
}
