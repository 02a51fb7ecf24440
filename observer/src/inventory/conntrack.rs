//! Where connections go whose address is translated: asked of the kernel's connection tracking, over netlink, one by one.
//!
//! Mostly the machine's own network namespace translates (a Service's address into a pod's), else the one that the
//! connection was made in. The answers come from a thread of their own.

mod elsewhere;
mod refused;
mod table;

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::mpsc::Sender;

use self::elsewhere::Elsewhere;
use self::refused::Refused;
use self::table::Table;
use super::{Fact, host, netns};
use crate::event::ConnectionId;
use crate::status::IdentitySource;

/// The name of this source.
const SOURCE: &str = "conntrack";
/// Questions that may wait.
const MAX_WAITING: usize = 4096;
/// How often the source's health is looked at while nobody asks.
const HEALTH_INTERVAL: Duration = Duration::from_secs(10);

/// A connection that goes to nobody we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TranslationQuery {
    /// Its name.
    pub(crate) id: ConnectionId,
    /// The inode of the network namespace that it was made in.
    pub(crate) netns: u32,
    /// A process in that namespace.
    pub(crate) pid: Option<u32>,
    /// The end that asked.
    pub(crate) local: SocketAddr,
    /// Where it asked.
    pub(crate) remote: SocketAddr,
    /// It was never established, and is over.
    pub(crate) failed: bool,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Translated {
    /// The packets go there.
    To(SocketAddr),
    /// They go where they are sent.
    No,
    /// Nobody could be asked.
    Unknown,
}

/// Where questions are put.
pub(super) type Queries = SyncSender<TranslationQuery>;

/// Starts the thread, which ends when nobody can ask any more. It asks in other network namespaces only if it may
/// `enter` them.
pub(super) fn start(facts: Sender<Fact>, enter: bool) -> Queries {
    let (queries, waiting) = sync_channel(MAX_WAITING);
    let asker = Asker {
        own_netns: netns::own().unwrap_or(0),
        table: None,
        elsewhere: enter.then(Elsewhere::default),
        refused: Refused::default(),
        failure: None,
    };
    let thread = std::thread::Builder::new().name(SOURCE.to_owned());
    if let Err(error) = thread.spawn(move || asker.run(&waiting, &facts)) {
        log::error!("no thread asks for translated addresses: {error}");
    }
    queries
}

/// The thread's state.
struct Asker {
    own_netns: u32,
    /// The table of this network namespace, once it was opened.
    table: Option<Table>,
    /// Those of others, where these may be entered.
    elsewhere: Option<Elsewhere>,
    /// What the table has forgotten already.
    refused: Refused,
    /// Why the table cannot be asked.
    failure: Option<String>,
}

impl Asker {
    fn run(mut self, waiting: &Receiver<TranslationQuery>, facts: &Sender<Fact>) {
        let mut told = None;
        loop {
            let health = self.health();
            if told.as_ref() != Some(&health) {
                told = Some(health.clone());
                if facts.blocking_send(Fact::Sources(SOURCE, vec![health])).is_err() {
                    return;
                }
            }
            self.refused.rest(host::now().boot);
            let query = match waiting.recv_timeout(HEALTH_INTERVAL) {
                Ok(query) => query,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let (id, answer) = (query.id, self.ask(&query));
            if facts.blocking_send(Fact::Translation { id, answer }).is_err() {
                return;
            }
        }
    }

    fn ask(&mut self, query: &TranslationQuery) -> Translated {
        let mut here = self.ask_here(query);
        if here == Translated::No && query.failed {
            here = self.ask_refused(query);
        }
        match here {
            // Where no table could be asked here, there is none elsewhere.
            Translated::To(_) | Translated::Unknown => here,
            Translated::No if query.netns == self.own_netns => here,
            Translated::No => match self.ask_there(query) {
                Ok(there) => there.unwrap_or(here),
                Err(error) => {
                    log::debug!("the namespace of {}: {error}", query.local);
                    Translated::Unknown
                }
            },
        }
    }

    fn ask_here(&mut self, query: &TranslationQuery) -> Translated {
        let table = match self.table.take() {
            Some(table) => Ok(table),
            None => Table::open(),
        };
        match table.and_then(|table| Ok((table.destination(query.local, query.remote)?, table))) {
            Ok((destination, table)) => {
                (self.table, self.failure) = (Some(table), None);
                answer(destination, query)
            }
            Err(error) => {
                self.failure = Some(error.to_string());
                Translated::Unknown
            }
        }
    }

    fn ask_refused(&mut self, query: &TranslationQuery) -> Translated {
        match self.refused.destination(query.local, query.remote, host::now().boot) {
            Ok(destination) => answer(destination, query),
            Err(error) => {
                log::debug!("what was refused: {error}");
                Translated::No
            }
        }
    }

    /// `None` where others are left alone.
    fn ask_there(&mut self, query: &TranslationQuery) -> io::Result<Option<Translated>> {
        let Some(elsewhere) = &mut self.elsewhere else { return Ok(None) };
        let table = elsewhere.open(query.netns, query.pid)?;
        Ok(Some(answer(table.destination(query.local, query.remote)?, query)))
    }

    fn health(&self) -> IdentitySource {
        let (healthy, message) = match &self.failure {
            None if self.elsewhere.is_some() => (true, "tells who answers for a Service's address".to_owned()),
            None => (
                true,
                "tells who answers for a Service's address; not what pods translate themselves (--enter-namespaces)"
                    .to_owned(),
            ),
            Some(error) => (false, format!("{error}; connections to Services show without their backends")),
        };
        IdentitySource { name: SOURCE, endpoint: "netlink".to_owned(), healthy, message }
    }
}

fn answer(destination: Option<SocketAddr>, query: &TranslationQuery) -> Translated {
    match destination {
        Some(to) if to != query.remote => Translated::To(to),
        Some(_) | None => Translated::No,
    }
}

#[cfg(test)]
mod tests;
