//! Subscribers, and the service over a unix socket with a small event loop in place of the daemon's.

mod calls;
mod fanout;
mod windows;

use observer_proto::v1;

use super::queue::{Item, Source};

/// Everything that is in a queue now.
fn drain(source: &mut Source) -> Vec<Item> {
    std::iter::from_fn(|| source.items.try_recv().ok()).collect()
}

/// A filter for one port.
fn by_port(port: u32) -> v1::Filter {
    v1::Filter { ports: vec![port], ..v1::Filter::default() }
}
