//! Messages to syslog (RFC 5424, over a unix socket, UDP or TCP) and to the systemd journal.

mod entry;
mod journal;
mod rfc5424;
mod transport;

use std::io;

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

/// Starts one.
pub(super) fn start(name: &Name, settings: &Syslog, running: &mut Running) {
    let endpoint = escape(&settings.address.to_string()).into_owned();
    let kind = if matches!(settings.address, Address::Journal(_)) { "journal" } else { "syslog" };
    let state = running.add(State::new(format!("syslog.{name}"), kind, endpoint));
    let (wanted, entries) = match prepare(settings, &running.link) {
        Ok(prepared) => prepared,
        // The configuration has tried it.
        Err(error) => return drop(state.failed(&error)),
    };
    let link = running.link.clone();
    let out = Out {
        address: settings.address.clone(),
        facility: settings.facility,
        form: rfc5424::Form::new(settings.facility, &link.node_name),
        open: None,
        state: state.clone(),
        link: link.clone(),
    };
    running.on_thread(&state, run(wanted, entries, out, link));
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
    state: State,
    link: Link,
}

impl Out {
    /// Sends messages, each as often as that takes. `false` where the daemon stops before all are sent.
    async fn deliver(&mut self, entries: &[Entry]) -> bool {
        let mut sent = 0;
        for entry in entries {
            let mut backoff = Backoff::default();
            loop {
                match self.send(entry).await {
                    Ok(()) => {
                        sent += 1;
                        break;
                    }
                    Err(Refused::TooLarge) => {
                        self.state.lose(Reason::TooLarge, 1);
                        break;
                    }
                    Err(Refused::Io(error)) => {
                        self.tell(&mut sent);
                        self.open = None;
                        self.state.retrying(&error);
                        if !self.link.pause(backoff.next()).await {
                            return false;
                        }
                    }
                }
            }
        }
        self.tell(&mut sent);
        true
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
                transport.send(&self.form.message(entry)?).await
            }
        }
    }

    fn tell(&self, sent: &mut u64) {
        if *sent > 0 {
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
