//! Tables of live connections, of listeners and of workloads.

pub(super) mod connections;
mod listeners;
pub(super) mod workloads;

pub(crate) use connections::{trouble, write_connections};
pub(crate) use listeners::write_listeners;
pub(crate) use workloads::write_workloads;
