//! Tables of live connections, of listeners and of workloads.

mod connections;
mod contexts;
mod listeners;
mod workloads;

pub(crate) use connections::{trouble, write_connections};
pub(crate) use contexts::{write_contexts, write_target};
pub(crate) use listeners::write_listeners;
pub(crate) use workloads::write_workloads;
