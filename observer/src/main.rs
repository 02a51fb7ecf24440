//! The observer: one binary, the daemon and its client.
#![allow(dead_code, unused_imports, missing_docs, reason = "the parts are being put together")]

mod event;
mod status;

mod aggregate;
mod serve;

fn main() {}
