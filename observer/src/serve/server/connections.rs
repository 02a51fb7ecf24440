//! The connections of clients: accepted from a socket, let in where there is room, ended in order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_stream::{Stream, StreamExt as _};
use tonic::service::Routes;

use super::door::{Door, Guest};
use super::greeting::{Greeted, Strangers, greeted};
use super::requests::{Pool, Receiving};
use super::security::Current;
use super::visit;
use crate::serve::access::{Caller, Clients};

/// That there are too many clients is said so often at the most.
const REFUSALS_TOLD: Duration = Duration::from_secs(10);
/// Between two attempts to accept where the daemon may open no more files, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// What all connections have in common.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) routes: Routes,
    pub(super) security: Current,
    pub(super) clients: Arc<Clients>,
    /// Clients of a listener at a time.
    pub(super) most: usize,
    /// Says when no new call is to be taken; or whoever would say it is gone.
    pub(super) stopping: watch::Receiver<bool>,
}

/// Serves each client that comes, until the daemon stops. Then no new call is taken; done once all open ones are.
pub(super) async fn serve<D: Door>(
    door: D,
    mut incoming: impl Stream<Item = io::Result<D::Raw>> + Unpin,
    mut site: Site,
) {
    let door = Arc::new(door);
    let mut visitors = Visitors::new(site.clone());
    let mut strangers = Strangers::new(site.most / 2);
    loop {
        let full = strangers.full_until();
        let accepted = tokio::select! {
            _ = site.stopping.wait_for(|stop| *stop) => break,
            Some(arrived) = strangers.next() => {
                if let Some((stream, guest)) = arrived {
                    visitors.add(stream, guest);
                }
                continue;
            }
            () = tokio::time::sleep_until(full.unwrap_or_else(Instant::now)), if full.is_some() => continue,
            accepted = incoming.next(), if full.is_none() => accepted,
        };
        match accepted {
            Some(Ok(raw)) => strangers.add(arrive(Arc::clone(&door), raw, site.clone())),
            // The client was gone before it was accepted.
            Some(Err(error)) if is_of_client(&error) => {}
            Some(Err(error)) => {
                log::warn!("cannot accept a client: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            None => break,
        }
    }
    // Whoever comes now is refused, and does not wait for an answer.
    drop((incoming, strangers));
    visitors.open.shutdown().await;
}

/// Finds out who comes, and hears what it says first.
async fn arrive<D: Door>(door: Arc<D>, raw: D::Raw, site: Site) -> Option<(Greeted<D::Stream>, Guest)> {
    let security = Arc::clone(&site.security.borrow());
    match door.enter(raw, &security).await {
        Ok((stream, guest)) => Some((greeted(stream).await?, guest)),
        Err(error) => {
            site.clients.turned_away(&error);
            None
        }
    }
}

/// The clients of a listener.
struct Visitors {
    site: Site,
    open: GracefulShutdown,
    pool: Pool,
    places: Arc<Semaphore>,
    /// Refused since that was said last, and when that was.
    refused: (u64, Option<Instant>),
}

impl Visitors {
    fn new(site: Site) -> Self {
        let places = Arc::new(Semaphore::new(site.most));
        Self { site, open: GracefulShutdown::new(), pool: Pool::default(), places, refused: (0, None) }
    }

    /// Serves one, or refuses it where there are too many, or too many that are the same.
    fn add<S: visit::Served>(&mut self, stream: Greeted<S>, guest: Guest) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return self.refuse() };
        let Site { routes, security, clients, .. } = self.site.clone();
        let (scope, relays) = {
            let security = security.borrow();
            (security.scope(&guest.identity), security.may_relay(&guest.identity))
        };
        let Some(caller) = Caller::new(&guest.identity, scope, relays, &clients) else {
            return self.refuse();
        };
        let service = Receiving::new(routes, &self.pool);
        let visit = visit::Visit { guest, caller: Arc::new(caller), security };
        let open = self.open.watcher();
        tokio::spawn(async move {
            visit.serve(stream, service, open).await;
            drop(place);
        });
    }

    fn refuse(&mut self) {
        let (count, told) = &mut self.refused;
        *count += 1;
        if told.is_none_or(|told| told.elapsed() >= REFUSALS_TOLD) {
            log::warn!("refused {count} clients: as many are connected as may be, or of the same one");
            self.refused = (0, Some(Instant::now()));
        }
    }
}

fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
