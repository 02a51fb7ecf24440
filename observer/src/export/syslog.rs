//! Messages to syslog (RFC 5424, over a unix socket, UDP or TCP) and to the systemd journal.

mod entry;
mod journal;
mod rfc5424;
mod transport;

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use self::entry::{Entries, Entry};
use self::transport::{PATIENCE, Refused, Transport};
use super::Running;
use super::backoff::Backoff;
use super::feed::{Link, Wanted};
use super::state::{Reason, State};
use crate::client::escape;
use crate::config::exporters::{Address, Facility, Name, Syslog};
use crate::filter::InvalidFilter;

/// Updates that are taken at a time.
const BATCH: usize = 512;
/// The longest pause before something is tried again, and as much again at random.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Starts one.
pub(super) fn start(name: &Name, settings: &Syslog, running: &mut Running) {
    let endpoint = escape(&settings.address.to_string()).into_owned();
    let kind = if matches!(settings.address, Address::Journal(_)) { "journal" } else { "syslog" };
    let state = running.add(State::new(format!("syslog.{name}"), kind, endpoint));
    let link = running.link.clone();
    let out = Out {
        address: settings.address.clone(),
        facility: settings.facility,
        form: rfc5424::Form::new(settings.facility, &link.node_name),
        open: None,
        backoff: Backoff::up_to(LONGEST_PAUSE),
        state: state.clone(),
        link: link.clone(),
    };
    let run = prepare(settings, &link).map(|(wanted, entries)| run(wanted, entries, out, link));
    running.on_thread_if(&state, run);
}

fn prepare(settings: &Syslog, link: &Link) -> Result<(Wanted, Entries), InvalidFilter> {
    let selection = settings.selection();
    let events = if settings.events { Some(selection.events()?) } else { None };
    let wanted = Wanted { events, windows: false, incidents: settings.incidents };
    let entries = Entries::new(settings, &link.node_name, selection.incidents()?);
    Ok((wanted, entries))
}

/// Sends what happens, until the daemon stops.
async fn run(wanted: Wanted, mut entries: Entries, mut out: Out, link: Link) {
    let Some(mut feed) = link.subscribe(&wanted, &out.state).await else { return };
    if !out.prepare().await {
        return;
    }
    let mut told = Vec::with_capacity(BATCH);
    while feed.batch(&mut told, BATCH).await {
        let batch: Vec<Entry> = told.drain(..).filter_map(|one| entries.of(&one)).collect();
        if !out.deliver(&batch).await {
            return;
        }
    }
    if let Some(goodbye) = entries.stopping() {
        out.deliver(&[goodbye]).await;
    }
}

/// Where messages go.
struct Out {
    address: Address,
    facility: Facility,
    form: rfc5424::Form,
    open: Option<Transport>,
    /// One for all messages: a receiver that takes one now and then is not well.
    backoff: Backoff,
    state: State,
    link: Link,
}

impl Out {
    /// Opens the way, as often as that takes. `false` where the daemon stops before.
    async fn prepare(&mut self) -> bool {
        loop {
            let opened = timeout(PATIENCE, Transport::open(&self.address)).await;
            match opened.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into())) {
                Ok(open) => {
                    self.open = Some(open);
                    self.state.running();
                    return true;
                }
                Err(error) => {
                    if !self.try_again(&error).await {
                        return false;
                    }
                }
            }
        }
    }

    /// Sends messages, each as often as that takes. `false` where the daemon stops before all are sent.
    async fn deliver(&mut self, entries: &[Entry]) -> bool {
        self.state.hold(entries.len() as u64);
        let mut sent = 0;
        for entry in entries {
            loop {
                match self.send(entry).await {
                    Ok(()) => sent += 1,
                    Err(Refused::TooLarge) => self.lose(Reason::TooLarge),
                    Err(Refused::Unfit(error)) => {
                        self.state.failed(&error);
                        self.lose(Reason::Refused);
                    }
                    Err(Refused::Io(error)) => {
                        self.tell(&mut sent);
                        if !self.try_again(&error).await {
                            return false;
                        }
                        continue;
                    }
                }
                break;
            }
        }
        self.tell(&mut sent);
        true
    }

    /// Waits until it is time to open another way. `false` where the daemon stops before.
    async fn try_again(&mut self, error: &io::Error) -> bool {
        self.open = None;
        self.state.retrying(error);
        self.link.pause(self.backoff.next()).await
    }

    fn lose(&self, reason: Reason) {
        self.state.lose(reason, 1);
        self.state.let_go(1);
    }

    async fn send(&mut self, entry: &Entry) -> Result<(), Refused> {
        let late = |_elapsed| Err(Refused::Io(io::ErrorKind::TimedOut.into()));
        timeout(PATIENCE, self.try_send(entry)).await.unwrap_or_else(late)
    }

    async fn try_send(&mut self, entry: &Entry) -> Result<(), Refused> {
        let transport = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(Transport::open(&self.address).await?),
        };
        match transport {
            Transport::Journal(socket) => socket.send(entry, self.facility).await,
            Transport::Unix(_) | Transport::Udp(_) | Transport::Tcp(_) => {
                transport.send(&self.form.message(entry).map_err(Refused::Unfit)?).await
            }
        }
    }

    fn tell(&self, sent: &mut u64) {
        if *sent > 0 {
            self.state.let_go(*sent);
            self.state.sent(std::mem::take(sent));
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        let too_large = rustix::io::Errno::MSGSIZE.raw_os_error();
        if error.raw_os_error() == Some(too_large) { Self::TooLarge } else { Self::Io(error) }
    }
}

#[cfg(test)]
mod tests;
