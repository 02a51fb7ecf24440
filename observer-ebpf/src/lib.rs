//! The contract between the probes and the daemon.
#![no_std]
