//! The observer: one binary, the daemon and its client.
#![allow(dead_code, unused_imports, missing_docs, reason = "the parts are being put together")]

mod aggregate;
mod attribute;
mod decode;
mod event;
mod inventory;
mod loss;
mod probe;
mod status;

fn main() {}
