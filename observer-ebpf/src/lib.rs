//! The contract between the probes and the daemon: records, map values, kernel fields and settings.
#![no_std]

pub mod budget;
pub mod cgroup;
pub mod debug;
pub mod dns;
pub mod event;
pub mod fields;
pub mod live;
pub mod process;
pub mod settings;
pub mod tcp;
