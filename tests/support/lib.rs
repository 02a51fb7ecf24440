//! Support of the end-to-end tests: a real containerd with real pods, faults, the daemon and its clients.
//!
//! A test reads from top to bottom: start a [`Testbed`], run [`Pod`]s and [`Container`]s in it, break something
//! with [`Loss`], and compare what a [`Daemon`] tells its [`client`]s with what the workload, the kernel's own
//! counters and the runtime say.
#![allow(clippy::disallowed_methods, reason = "tests wait and measure")]

pub mod wait;

pub mod guardian;

pub mod image;
pub mod testbed;

pub mod container;
pub mod pod;
pub mod podman;

pub mod delay;
pub mod faults;
pub mod netns;
pub mod raw;
pub mod workload;

pub mod vm;

mod asked;
pub mod authority;
pub mod client;
pub mod collector;
pub mod crowd;
pub mod daemon;
pub mod debugging;
pub mod deployed;
pub mod edges;
pub mod elsewhere;
pub mod ends;
pub mod events;
pub mod exporting;
pub mod firings;
pub mod footprint;
pub mod frames;
pub mod kubernetes;
pub mod lines;
pub mod loaded;
pub mod losses;
pub mod manifests;
pub mod names;
pub mod nodes;
pub mod otlp_receiver;
pub mod owners;
pub mod passes;
pub mod prometheus;
pub mod python;
pub mod receiver;
pub mod recording;
pub mod secured;
pub mod shop;
pub mod snoop;
pub mod soak;
pub mod steady;
pub mod story;
pub mod summed;
pub mod terminal;
pub mod totals;
pub mod watch;
pub mod web;

pub use authority::Authority;
pub use client::channel;
pub use container::{Container, Exit};
pub use crowd::Crowd;
pub use daemon::Daemon;
pub use debugging::Debugging;
pub use delay::SlowLink;
pub use deployed::{Deployed, Deployment};
pub use edges::Edges;
pub use faults::{Loss, Packets};
pub use footprint::Footprint;
pub use frames::Frames;
pub use kubernetes::KubernetesApi;
pub use lines::Lines;
pub use names::NameServer;
pub use netns::{Counters, Netns, NetnsPair};
pub use nodes::{Node, Nodes};
pub use pod::Pod;
pub use podman::Podman;
pub use prometheus::Prometheus;
pub use raw::RawPeer;
pub use secured::Secured;
pub use snoop::Snoop;
pub use steady::Steady;
pub use summed::Summed;
pub use terminal::Terminal;
pub use testbed::Testbed;
pub use vm::Vm;
pub use wait::eventually;
pub use watch::Watch;
