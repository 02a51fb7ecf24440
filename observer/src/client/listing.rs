//! Tables of live connections, of listeners and of workloads.

pub(super) mod connections;
mod contexts;
mod listeners;
mod order;
pub(super) mod workloads;

pub(crate) use connections::{CONNECTIONS, trouble, write_connections};
pub(crate) use contexts::{write_contexts, write_target};
pub(crate) use listeners::{LISTENERS, write_listeners};
pub(crate) use order::WorkloadSort;
pub(crate) use workloads::{WORKLOADS, write_workloads};
