//! The connection to a daemon, made again and again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use observer_proto::v1::Status;
use observer_proto::v1::incidents_client::IncidentsClient;
use observer_proto::v1::observer_client::ObserverClient;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::up::greet;
use super::{Claims, Found, Link, Node, Settings, Up, first_line, now, words};
use crate::client::{Client, Server, Target, Tls, Unread};
use crate::export::Backoff;

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A daemon's clock is compared so often.
const CLOCK_READ_EACH: Duration = Duration::from_mins(1);
/// The longest answer.
const LONGEST_ANSWER: usize = 64 << 20;
/// A client that does not read leaves so much of each node's stream unread: more waits in the daemon, which counts what it
/// drops. All calls together may leave more unread than they can, so that none of them holds up the others.
const UNREAD: Unread = Unread { call: 128 << 10, connection: 128 << 20 };

/// What the connections of all nodes have in common.
#[derive(Debug)]
pub(in crate::relay) struct Shared {
    /// Who may connect at a time.
    room: Semaphore,
    claims: Arc<Claims>,
}

impl Shared {
    /// So many connect at a time.
    pub(in crate::relay) fn new(room: usize) -> Arc<Self> {
        Arc::new(Self { room: Semaphore::new(room), claims: Arc::default() })
    }
}

impl Node {
    /// Keeps it connected.
    pub(in crate::relay) async fn keep(self: Arc<Self>, settings: Arc<Settings>, shared: Arc<Shared>) {
        let mut pauses = Backoff::up_to(LONGEST_PAUSE);
        let mut told = String::new();
        loop {
            let why = match self.connect(&settings, &shared.room).await {
                Ok((up, channel)) => {
                    let _claim = match shared.claims.claim(&up.name, up.start_time, &self.address) {
                        Ok(claim) => claim,
                        Err(of) => {
                            self.relink(Link::Twin { of: of.into(), since: now() });
                            sleep(LONGEST_PAUSE).await;
                            continue;
                        }
                    };
                    let name = up.name.to_string();
                    log::info!("{name} at {} is connected{}", self.address, after_colon(&up.words()));
                    told.clear();
                    self.relink(Link::Up(Arc::new(up)));
                    self.stay(channel, &settings).await
                }
                Err(why) => why,
            };
            if why != told {
                log::warn!("{} at {} is unavailable: {why}", self.name(), self.address);
                told.clone_from(&why);
            }
            self.relink(Link::Down { why: why.into(), since: now() });
            sleep(pauses.next()).await;
        }
    }

    /// Connects, and hears who is there.
    async fn connect(&self, settings: &Settings, room: &Semaphore) -> Result<(Up, Channel), String> {
        let _place = room.acquire().await;
        let Found { server, tls_name, .. } = &self.found;
        let mut tls = settings.tls.clone();
        if !matches!(server, Server::Secured { .. }) {
            tls = Tls::default();
        } else if let Some(name) = tls_name {
            tls.server_name.get_or_insert_with(|| name.clone());
        }
        let target = Target { server: server.clone(), tls, timeout: settings.patience };
        let channel =
            Client::open(target, Some(UNREAD)).await.map_err(|error| first_line(&error.to_string()))?;
        self.counts.connects.fetch_add(1, Ordering::Relaxed);
        let observer = ObserverClient::new(channel.clone()).max_decoding_message_size(LONGEST_ANSWER);
        let incidents = IncidentsClient::new(channel.clone()).max_decoding_message_size(LONGEST_ANSWER);
        let (status, clock) = greet(observer.clone(), settings.patience).await?;
        if status.relay.is_some() {
            return Err("that is a relay, and not a daemon".to_owned());
        }
        let name: Arc<str> = if status.node_name.is_empty() { self.name() } else { status.node_name.into() };
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&name);
        let Status { version, start_time, .. } = status;
        Ok((Up { observer, incidents, name, version, start_time, clock, since: now() }, channel))
    }

    /// Stays until the connection ends; says why.
    async fn stay(&self, channel: Channel, settings: &Settings) -> String {
        let mut health = HealthClient::new(channel);
        let mut watched = match health.watch(HealthCheckRequest { service: String::new() }).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return words(&status),
        };
        let mut clock = Instant::now() + CLOCK_READ_EACH;
        loop {
            tokio::select! {
                heard = watched.message() => match heard {
                    Ok(Some(heard)) if heard.status() == ServingStatus::Serving => {}
                    Ok(Some(_)) => return "its daemon is stopping".to_owned(),
                    Ok(None) => return "its daemon has ended the connection".to_owned(),
                    Err(status) => return words(&status),
                },
                () = tokio::time::sleep_until(clock) => {
                    clock = Instant::now() + CLOCK_READ_EACH;
                    self.read_clock(settings).await;
                }
            }
        }
    }

    /// Compares the clocks again.
    async fn read_clock(&self, settings: &Settings) {
        let Link::Up(up) = self.link.borrow().clone() else { return };
        if let Ok((_, clock)) = greet(up.observer.clone(), settings.patience).await {
            self.relink(Link::Up(Arc::new(Up { clock, ..Up::clone(&up) })));
        }
    }
}

fn after_colon(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}
