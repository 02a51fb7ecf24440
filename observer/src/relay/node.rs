//! One node's daemon: the connection to it, made again and again, and what is known of it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use observer_proto::v1::incidents_client::IncidentsClient;
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{GetStatusRequest, NodeState, NodeStatus, RelayedNode, Status};
use prost_types::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::Settings;
use super::find::Found;
use crate::client::{Client, Target};
use crate::export::Backoff;

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A daemon's clock is compared so often.
const CLOCK_READ_EACH: Duration = Duration::from_secs(60);
/// A clock that differs by no more is right: the way there and back takes time as well.
const CLOCKS_AGREE: i64 = 500_000_000;
/// An answer within twice that tells well enough what a clock says.
const WELL_KNOWN: i64 = 50_000_000;
/// The longest answer.
const LONGEST_ANSWER: usize = 64 << 20;

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it is asked.
    pub(super) address: String,
    found: Found,
    /// What it is called; before its daemon has said so, the address.
    name: Mutex<Arc<str>>,
    link: watch::Sender<Link>,
    pub(super) counts: Counts,
}

/// What it was asked for.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) streams: AtomicU32,
    pub(super) messages: AtomicU64,
    pub(super) lost: AtomicU64,
    connects: AtomicU64,
}

/// How it is connected.
#[derive(Clone, Debug)]
pub(super) enum Link {
    /// Nobody has tried yet.
    New,
    /// It is not: why, and since when.
    Down { why: Arc<str>, since: Timestamp },
    /// It is.
    Up(Arc<Up>),
    /// It is not among those that are found any more.
    Gone { since: Timestamp },
}

/// A daemon that answers.
#[derive(Clone, Debug)]
pub(super) struct Up {
    pub(super) observer: ObserverClient<Channel>,
    pub(super) incidents: IncidentsClient<Channel>,
    pub(super) name: Arc<str>,
    version: String,
    pub(super) start_time: Option<Timestamp>,
    clock: Clock,
    since: Timestamp,
}

/// A daemon's clock beside this one.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// How much it is ahead.
    ahead_ns: i64,
    /// Or behind, or ahead more: half of the time that the answer took.
    within_ns: i64,
}

impl Up {
    /// How much its clock is ahead of this one's, where that is more than can be told.
    pub(super) const fn clock_ahead_ns(&self) -> i64 {
        let Clock { ahead_ns, within_ns } = self.clock;
        if ahead_ns.abs() > CLOCKS_AGREE + within_ns { ahead_ns } else { 0 }
    }

    /// Both are over one connection.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.since == other.since
    }

    /// What is worth saying of it.
    pub(super) fn words(&self) -> String {
        let own = env!("CARGO_PKG_VERSION");
        let mut words = Vec::new();
        if self.version != own {
            words.push(format!("its daemon is of version {}, this relay of {own}", self.version));
        }
        if self.clock_ahead_ns() != 0 {
            let way = if self.clock.ahead_ns > 0 { "ahead of" } else { "behind" };
            let seconds = Duration::from_nanos(self.clock.ahead_ns.unsigned_abs()).as_secs_f64();
            words.push(format!(
                "its clock is {seconds:.1} s {way} the relay's: its events have their own times, and their place by the relay's"
            ));
        }
        words.join("; ")
    }
}

impl Node {
    /// One that was found and not asked yet.
    pub(super) fn new(found: Found) -> Self {
        let address = found.server.to_string();
        let name = found.node_name.clone().unwrap_or_else(|| address.clone());
        let (link, _) = watch::channel(Link::New);
        Self { address, found, name: Mutex::new(name.into()), link, counts: Counts::default() }
    }

    /// What it is called.
    pub(super) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How it is connected, now and later.
    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// It is not to be found any more.
    pub(super) fn leave(&self) {
        self.link.send_replace(Link::Gone { since: now() });
    }

    /// It, if it is connected; else why not. One that nobody has tried yet is waited for.
    pub(super) async fn up(&self, patience: Duration) -> Result<Arc<Up>, NodeStatus> {
        let mut link = self.link();
        let tried = link.wait_for(|link| !matches!(link, Link::New));
        let _elapsed = timeout(patience, tried).await.is_err();
        let now = link.borrow().clone();
        match now {
            Link::Up(up) => Ok(up),
            other => Err(self.status(&other)),
        }
    }

    /// It, once it is connected; `Err` where it is gone.
    pub(super) async fn up_again(&self) -> Result<Arc<Up>, NodeStatus> {
        let mut link = self.link();
        let _unless_it_is_dropped =
            link.wait_for(|link| matches!(link, Link::Up(_) | Link::Gone { .. })).await.is_err();
        let now = link.borrow().clone();
        match now {
            Link::Up(up) => Ok(up),
            other => Err(self.status(&other)),
        }
    }

    /// That state in a message.
    pub(super) fn status(&self, link: &Link) -> NodeStatus {
        let (state, message, start_time) = match link {
            Link::New => (NodeState::Unavailable, "it is being connected to".to_owned(), None),
            Link::Down { why, .. } => (NodeState::Unavailable, why.to_string(), None),
            Link::Up(up) => (NodeState::Connected, up.words(), up.start_time),
            Link::Gone { .. } => (NodeState::Gone, "it is not found any more".to_owned(), None),
        };
        let node_name = self.name().to_string();
        NodeStatus { state: state.into(), message, start_time, node_name, ..NodeStatus::default() }
    }

    /// What the relay's status says of it.
    pub(super) fn told(&self) -> RelayedNode {
        let link = self.link.borrow().clone();
        let NodeStatus { state, message, start_time, node_name, .. } = self.status(&link);
        let (since, version, ahead) = match link {
            Link::New => (None, String::new(), None),
            Link::Down { since, .. } | Link::Gone { since } => (Some(since), String::new(), None),
            Link::Up(up) => (Some(up.since), up.version.clone(), Some(up.clock.ahead_ns)),
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RelayedNode {
            name: node_name,
            address: self.address.clone(),
            state,
            message,
            since,
            version,
            start_time,
            clock_ahead_ns: ahead,
            streams: self.counts.streams.load(Ordering::Relaxed),
            messages: count(&self.counts.messages),
            lost: count(&self.counts.lost),
            connects: count(&self.counts.connects),
        }
    }

    /// Keeps it connected. `room`: who may connect at a time.
    pub(super) async fn keep(self: Arc<Self>, settings: Arc<Settings>, room: Arc<Semaphore>) {
        let mut pauses = Backoff::up_to(LONGEST_PAUSE);
        let mut told = String::new();
        loop {
            let why = match self.connect(&settings, &room).await {
                Ok((up, channel)) => {
                    pauses.reset();
                    let name = up.name.to_string();
                    log::info!("{name} at {} is connected{}", self.address, after_colon(&up.words()));
                    told.clear();
                    self.link.send_replace(Link::Up(Arc::new(up)));
                    self.stay(channel, &settings).await
                }
                Err(why) => why,
            };
            if why != told {
                log::warn!("{} at {} is unavailable: {why}", self.name(), self.address);
                told.clone_from(&why);
            }
            self.link.send_replace(Link::Down { why: why.into(), since: now() });
            sleep(pauses.next()).await;
        }
    }

    /// Connects, and hears who is there.
    async fn connect(&self, settings: &Settings, room: &Semaphore) -> Result<(Up, Channel), String> {
        let _place = room.acquire().await;
        let Found { server, tls_name, .. } = &self.found;
        let mut tls = settings.tls.clone();
        if !matches!(server, crate::client::Server::Secured { .. }) {
            tls = crate::client::Tls::default();
        } else if let Some(name) = tls_name {
            tls.server_name.get_or_insert_with(|| name.clone());
        }
        let target = Target { server: server.clone(), tls, timeout: settings.patience };
        let channel = Client::open(target).await.map_err(|error| first_line(&error.to_string()))?;
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
            self.link.send_replace(Link::Up(Arc::new(Up { clock, ..Up::clone(&up) })));
        }
    }
}

/// Who is there, and its clock: where an answer took long, as while it attaches its probes, it is asked again for that.
async fn greet(observer: ObserverClient<Channel>, patience: Duration) -> Result<(Status, Clock), String> {
    let (mut status, mut clock) = ask(observer.clone(), patience).await?;
    for _again in 0..2 {
        if clock.within_ns <= WELL_KNOWN {
            break;
        }
        let (newer, another) = ask(observer.clone(), patience).await?;
        if another.within_ns < clock.within_ns {
            (status, clock) = (newer, another);
        }
    }
    Ok((status, clock))
}

async fn ask(mut observer: ObserverClient<Channel>, patience: Duration) -> Result<(Status, Clock), String> {
    let before = unix_ns();
    let answer = match timeout(patience, observer.get_status(GetStatusRequest {})).await {
        Ok(Ok(answer)) => answer.into_inner().status.unwrap_or_default(),
        Ok(Err(status)) => return Err(words(&status)),
        Err(_elapsed) => return Err(format!("no answer within {} s", patience.as_secs_f64())),
    };
    let within_ns = (unix_ns() - before) / 2;
    let middle = before + within_ns;
    let start = answer.start_time.map_or(middle, |time| time.seconds * 1_000_000_000 + i64::from(time.nanos));
    let theirs = start.saturating_add_unsigned(answer.uptime_ns);
    let ahead_ns = if answer.start_time.is_some() { theirs - middle } else { 0 };
    Ok((answer, Clock { ahead_ns, within_ns: within_ns.max(0) }))
}

/// Why a call failed, in one line.
pub(super) fn words(status: &tonic::Status) -> String {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(status);
    let mut last = None;
    while let Some(error) = cause {
        last = Some(error.to_string());
        cause = error.source();
    }
    match last {
        Some(last) => format!("the connection broke: {}", first_line(&last)),
        None if status.message().is_empty() => status.code().description().to_owned(),
        None => first_line(status.message()),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(500).collect()
}

fn after_colon(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

/// The time by this machine's clock.
#[allow(clippy::disallowed_methods, reason = "messages carry the time of their sending")]
pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}

fn unix_ns() -> i64 {
    let Timestamp { seconds, nanos } = now();
    seconds * 1_000_000_000 + i64::from(nanos)
}
