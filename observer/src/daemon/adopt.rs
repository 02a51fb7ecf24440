//! Sockets that are older than the daemon are taken over, beside its work: there may be many.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::time::Instant;

use crate::inventory::cluster::Resource;
use crate::inventory::{ClusterFact, Fact, netns};
use crate::probe::Adopter;

/// How long visiting network namespaces may take: each with sockets costs a walk through all of the kernel's.
const PATIENCE: Duration = Duration::from_secs(5);
/// For so long it is waited until it is known who has which address. Whose the other side of a connection is, is looked up
/// once.
const STRANGE: Duration = Duration::from_secs(5);

/// Older sockets are being taken over, or were.
pub(super) struct Adoption {
    /// Ends with the number of namespaces that were not searched.
    thread: Option<JoinHandle<u64>>,
    unsearched: u64,
    started: Instant,
    /// For so long the rings are left alone until it is known who lives here.
    hold: Duration,
    /// What happened since has not been read yet: it may tell of what nobody seems to know.
    behind: bool,
    /// The runtimes have not said yet whom they have.
    unsurveyed: bool,
    /// The cluster's objects that are still to be listed.
    unlisted: Vec<Resource>,
}

impl Adoption {
    /// Starts to take them over; other network namespaces are entered for that only if it may `enter` them. What happens
    /// meanwhile waits for names as long as events do (`hold`), and no longer than the rings have room.
    pub(super) fn start(adopter: Adopter, enter: bool, asks_cluster: bool, hold: Duration) -> Self {
        let thread = thread::Builder::new()
            .name("adopt".to_owned())
            .spawn(move || adopt(&adopter, enter))
            .inspect_err(|error| log::warn!("older connections are not followed: {error}"))
            .ok();
        let unlisted = if asks_cluster { Resource::ALL.to_vec() } else { Vec::new() };
        Self {
            thread,
            unsearched: 0,
            started: Instant::now(),
            hold: hold.min(STRANGE),
            behind: true,
            unsurveyed: true,
            unlisted,
        }
    }

    /// From now on it is waited for who is known: what the machine has told of itself so far took its own time.
    pub(super) fn begin(&mut self) {
        self.started = Instant::now();
    }

    /// Takes note of who is known by now.
    pub(super) fn told(&mut self, fact: &Fact) {
        self.unsurveyed &= *fact != Fact::Surveyed;
        if let Fact::Cluster(ClusterFact::Listed(of)) = fact {
            self.unlisted.retain(|resource| resource != of);
        }
    }

    /// It is known who lives here and in the cluster and what happened meanwhile, or has been waited for.
    pub(super) fn knows(&self) -> bool {
        (self.is_told() && !self.behind) || self.started.elapsed() >= STRANGE
    }

    /// The daemon has just begun, and what the rings have is better left there until it is known who lives here.
    pub(super) fn is_early(&self) -> bool {
        !self.is_told() && self.started.elapsed() < self.hold
    }

    /// All that waited in the rings was read.
    pub(super) fn caught_up(&mut self) {
        self.behind = false;
    }

    fn is_told(&self) -> bool {
        !self.unsurveyed && self.unlisted.is_empty()
    }

    /// It has ended, and nobody has [taken that down](Self::end) yet, who can.
    pub(super) fn is_due(&self) -> bool {
        self.knows() && self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Takes its end down; false where there is none.
    pub(super) fn end(&mut self) -> bool {
        let ended = self.thread.take_if(|thread| thread.is_finished());
        let told = ended.map(|thread| thread.join().unwrap_or(0));
        self.unsearched += told.unwrap_or(0);
        told.is_some()
    }

    /// How many network namespaces were not searched, as far as nobody was told.
    pub(super) fn take_unsearched(&mut self) -> u64 {
        std::mem::take(&mut self.unsearched)
    }
}

/// Those that a process holds need no visit; the others (not yet accepted, or closed and not yet at
/// their end) are found in their namespace only. Gives how many namespaces with such ones were not searched, as far as
/// that can be seen from outside.
fn adopt(adopter: &Adopter, enter: bool) -> u64 {
    if let Err(error) = adopter.of_processes() {
        log::warn!("the processes of older connections are not known: {error}");
    }
    let started = Instant::now();
    let search = || if netns::is_empty() { Ok(()) } else { adopter.of_this_netns() };
    // Its own needs no entering, and must not be left before.
    let mut unsearched = u64::from(search().is_err());
    for netns in netns::all().filter(|netns| !netns.is_own()) {
        let in_time = started.elapsed() <= PATIENCE;
        let searched = in_time
            && if enter {
                netns.enter().and_then(|()| search()).is_ok()
            } else {
                netns.has_unheld().is_ok_and(|unheld| !unheld)
            };
        unsearched += u64::from(!searched);
    }
    if unsearched > 0 {
        // Told as a loss as well; no more than that is wrong.
        log::info!(
            "older connections that no process holds are not followed in network namespaces: {unsearched}"
        );
    }
    unsearched
}
