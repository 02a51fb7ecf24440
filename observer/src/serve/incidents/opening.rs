//! How all stood when an incident was opened. The event loop only gathers it: others make the message.

use std::sync::Arc;

use foldhash::{HashSet, HashSetExt as _};
use observer_proto::{served, v1};
use prost::Message as _;

use crate::event::{ConnectionId, WallTime};
use crate::wire;

/// The connections of the workloads concerned take no more of a snapshot, and all else no more either.
const HALF_BYTES: usize = 1 << 20;

/// Connections, each with what tells it apart.
pub(crate) type Connections = Vec<(ConnectionId, served::Connection)>;

/// What incidents that are opened at about the same time have in common.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) status: served::Status,
    /// The worst ones, whomever they are of.
    pub(crate) connections: Connections,
    /// How many there are.
    pub(crate) connections_total: u64,
    pub(crate) listeners: Vec<served::Listener>,
    pub(crate) workloads: Vec<served::WorkloadStatus>,
}

/// How all stood.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) time: WallTime,
    /// The connections of the workloads concerned.
    pub(crate) own: Connections,
    pub(crate) standing: Arc<Standing>,
}

impl Opening {
    /// The message: the connections of the workloads concerned first.
    pub(crate) fn snapshot(&self) -> v1::Snapshot {
        let Self { time, own, standing } = self;
        let Standing { status, connections, connections_total, listeners, workloads } = standing.as_ref();
        let mut told = HashSet::with_capacity(own.len());
        told.extend(own.iter().map(|(id, _)| *id));
        let others = connections.iter().filter(|(id, _)| !told.contains(id));
        let (mut of_own, mut of_others) = (HALF_BYTES, HALF_BYTES);
        let mut all = fitting(own.iter().map(|(_, one)| one), &mut of_own);
        all.extend(fitting(others.map(|(_, one)| one), &mut of_others));
        let snapshot = served::Snapshot {
            time: Some(wire::timestamp(*time)),
            status: Some(status.clone()),
            connections: all,
            connections_total: *connections_total,
            listeners: fitting(listeners.iter(), &mut of_others),
            workloads: fitting(workloads.iter(), &mut of_others),
        };
        v1::Snapshot::decode(snapshot.encode_to_vec().as_slice()).unwrap_or_default()
    }
}

/// As many as there is room for.
fn fitting<'a, T: prost::Message + Clone + 'a>(all: impl Iterator<Item = &'a T>, room: &mut usize) -> Vec<T> {
    all.take_while(|one| {
        let bytes = one.encoded_len() + 8;
        let fits = bytes <= *room;
        *room = room.saturating_sub(bytes);
        fits
    })
    .cloned()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_concerned_comes_first_and_nothing_comes_twice() {
        let connection = |id: u64| {
            let state = id.to_string();
            (ConnectionId(id), served::Connection { state, ..served::Connection::default() })
        };
        let standing = Standing {
            status: served::Status::default(),
            connections: [1, 2, 3].map(connection).into(),
            connections_total: 9,
            listeners: vec![served::Listener::default(); 4],
            workloads: Vec::new(),
        };
        let own = [7, 2].map(connection).into();
        let opening = Opening { time: WallTime(5), own, standing: Arc::new(standing) };
        let snapshot = opening.snapshot();
        let told: Vec<&str> = snapshot.connections.iter().map(|one| one.state.as_str()).collect();
        assert_eq!(told, ["7", "2", "1", "3"]);
        assert_eq!((snapshot.connections_total, snapshot.listeners.len()), (9, 4));
    }

    #[test]
    fn a_snapshot_is_bounded() {
        let workload = served::WorkloadStatus { execs: u64::MAX, ..served::WorkloadStatus::default() };
        let mut room = 100;
        let told = fitting(std::iter::repeat_n(&workload, 1_000), &mut room);
        assert!(told.len() < 10, "{}", told.len());
    }
}
