//! The observer: one binary, the daemon and its client.
fn main() {}
