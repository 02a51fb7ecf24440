//! Subscribers, and the service over a unix socket with a small event loop in place of the daemon's.

pub(super) mod calls;
mod changes;
mod fanout;
mod incidents;
mod masks;
mod seen;
mod told;
mod windows;

use std::task::{Context, Poll, Waker};

use observer_proto::v1;

use super::access::{Caller, ClientLimits, Clients, Identity, Scope, Seat};
use super::queue::{Item, Source};

/// Everything that is in a queue now.
fn drain(source: &mut Source) -> Vec<Item> {
    let mut context = Context::from_waker(Waker::noop());
    let next = || match source.poll_next(&mut context) {
        Poll::Ready(item) => item,
        Poll::Pending => None,
    };
    std::iter::from_fn(next).collect()
}

/// Somebody who may see all, and as often as that allows.
pub(super) fn caller(limits: ClientLimits) -> Caller {
    Caller::new(&Identity::Loopback, Some(Scope::All), true, &Clients::new(limits)).unwrap()
}

/// A place for a stream of somebody who may see all.
fn seat() -> Seat {
    caller(ClientLimits::default()).seat().unwrap()
}

/// A filter for one port.
fn by_port(port: u32) -> v1::Filter {
    v1::Filter { ports: vec![port], ..v1::Filter::default() }
}
