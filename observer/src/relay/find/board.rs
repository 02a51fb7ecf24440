//! Where sources put what they found, and where it is read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::merge::{Source, State, merged};
use super::{Found, FoundNodes};

/// All sources.
#[derive(Debug, Default)]
pub(super) struct Board {
    sources: Vec<Source>,
}

/// All sources, for all tasks.
#[derive(Debug)]
pub(super) struct Shared {
    board: Mutex<Board>,
    told: watch::Sender<Arc<FoundNodes>>,
}

/// The place of one source.
#[derive(Debug)]
pub(super) struct Place {
    shared: Arc<Shared>,
    at: usize,
}

impl Board {
    /// Makes place for a source.
    pub(super) fn add(&mut self, name: &'static str, endpoint: String) -> usize {
        self.sources.push(Source { name, endpoint, found: BTreeMap::new(), state: State::Asked });
        self.sources.len() - 1
    }

    /// What a source has to say before all begins.
    pub(super) fn found(&mut self, at: usize, found: BTreeMap<String, Found>) {
        self.sources[at].found = found;
        self.sources[at].state = State::Answered;
    }

    /// Begins: gives what tasks write to, and what is read.
    pub(super) fn share(self) -> (Arc<Shared>, watch::Receiver<Arc<FoundNodes>>) {
        let (told, receiver) = watch::channel(Arc::new(merged(&self.sources, &BTreeMap::new())));
        (Arc::new(Shared { board: Mutex::new(self), told }), receiver)
    }
}

impl Shared {
    /// The place of a source.
    pub(super) fn place(self: &Arc<Self>, at: usize) -> Place {
        Place { shared: Arc::clone(self), at }
    }

    /// Nobody reads any more.
    pub(super) async fn closed(&self) {
        self.told.closed().await;
    }
}

impl Place {
    /// Puts down what was found, as it is now.
    pub(super) fn found(&self, found: BTreeMap<String, Found>) {
        self.change(Some(found), State::Answered);
    }

    /// The same, with what is missing.
    pub(super) fn found_but(&self, found: BTreeMap<String, Found>, lacks: String) {
        self.change(Some(found), State::Lacks(lacks));
    }

    /// It does not work: what was found before stays.
    pub(super) fn fails(&self, reason: String) {
        self.change(None, State::Fails(reason));
    }

    fn change(&self, found: Option<BTreeMap<String, Found>>, state: State) {
        // Held while it is told, so that the last word that is told is the last word.
        let mut board = self.shared.board.lock().unwrap_or_else(PoisonError::into_inner);
        let source = &mut board.sources[self.at];
        if let Some(found) = found {
            source.found = found;
        }
        let news = source.state != state;
        source.state = state;
        let all = merged(&board.sources, &self.shared.told.borrow().nodes);
        if news {
            log(&board.sources[self.at], &all.sources[self.at].message);
        }
        self.shared.told.send_if_modified(|told| {
            let other = **told != all;
            if other {
                *told = Arc::new(all);
            }
            other
        });
    }
}

fn log(source: &Source, message: &str) {
    let level = if source.state == State::Answered { log::Level::Info } else { log::Level::Warn };
    log::log!(level, "where daemons are, by {} ({}): {message}", source.name, source.endpoint);
}
