//! Sockets that are older than the daemon are taken over, beside its work: there may be many.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::time::Instant;

use crate::inventory::netns;
use crate::probe::Adopter;

/// Network namespaces that are visited.
const MOST_NETNS: usize = 4096;
/// How long visiting them may take: each costs a walk through all of the kernel's sockets.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts to take them over; the end of the thread is the end of that.
pub(super) fn start(adopter: Adopter) -> Option<JoinHandle<()>> {
    thread::Builder::new()
        .name("adopt".to_owned())
        .spawn(move || adopt(&adopter))
        .inspect_err(|error| log::warn!("older connections are not followed: {error}"))
        .ok()
}

/// Those that a process holds need no visit; the others (not yet accepted, or closed and not yet at
/// their end) are found in their namespace only.
fn adopt(adopter: &Adopter) {
    if let Err(error) = adopter.of_processes() {
        log::warn!("the processes of older connections are not known: {error}");
    }
    let started = Instant::now();
    let mut refused = 0_usize;
    for netns in netns::all(MOST_NETNS) {
        if started.elapsed() > PATIENCE {
            log::warn!("there are too many network namespaces to look for older connections in all of them");
            break;
        }
        if netns.enter().and_then(|()| adopter.of_this_netns()).is_err() {
            refused += 1;
        }
    }
    if refused > 0 {
        log::warn!("{refused} network namespaces could not be searched for older connections");
    }
}
