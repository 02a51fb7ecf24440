//! The probes: what this kernel has, loading and attaching, rings, samples and costs. Alone in using aya.

mod attach;
mod btf;
mod capabilities;
mod deeper;
mod features;
mod folds;
mod load;
mod maps;
mod ring;
mod sockets;
mod system;

pub(crate) use attach::hook_of;
pub(crate) use capabilities::{DNS_NAMES, capabilities, examine, reset_reason};
pub(crate) use deeper::{Cost, DeeperProbes, deeper_hooks, part_of};
pub(crate) use features::{Features, FeaturesError, HOOKS};
pub(crate) use folds::Sum;
pub(crate) use load::{Attached, Loaded, ProgramReport, RingSizes};
pub(crate) use ring::Ring;
pub(crate) use sockets::{Adopter, Ticks};

/// Why the probes cannot be loaded or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// aya could not read the kernel's types.
    #[error("cannot read the kernel's types")]
    Btf(#[source] aya::BtfError),
    /// The maps could not be made, or the object is not understood.
    #[error("cannot load the probes into the kernel")]
    Load(#[source] aya::EbpfError),
    /// The object lacks a map.
    #[error("the probes have no {0}")]
    NoMap(&'static str),
    /// A map is not what it should be.
    #[error("cannot open a map of the probes")]
    Map(#[source] aya::maps::MapError),
    /// A program could not be loaded.
    #[error("cannot load a program")]
    Program(#[source] aya::programs::ProgramError),
    /// The loss counters could not be read.
    #[error("cannot read the counts of lost records")]
    ReadLosses(#[source] aya::maps::MapError),
    /// What the probes added up could not be read.
    #[error("cannot read what the probes added up")]
    ReadFolds(#[source] aya::maps::MapError),
    /// Nothing more can be watched.
    #[error("cannot have the probes watch it")]
    Watch(#[source] aya::maps::MapError),
    /// The probes could not be asked to wake the daemon.
    #[error("cannot ask the probes for a wake-up")]
    SetAlarm(#[source] aya::maps::MapError),
    /// A ring could not be opened.
    #[error("cannot read a ring of the probes")]
    ReadRing(#[source] std::io::Error),
    /// The sockets could not be read.
    #[error("cannot read the sockets")]
    Sample(#[source] std::io::Error),
}

/// An error with its causes, in one line.
fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
