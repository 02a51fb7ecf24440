//! Lines of JSON, as `observer events -o json` writes them, in a file that is rotated or on the standard output.

mod file;
mod message;
mod rotation;

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use self::file::LogFile;
use self::message::Messages;
use super::Running;
use super::backoff::Backoff;
use super::feed::{Link, Wanted};
use super::state::State;
use crate::client::escape;
use crate::config::exporters::{Json, Name, Place};
use crate::filter::InvalidFilter;

/// Updates that are written at a time.
const BATCH: usize = 512;
/// The longest pause before something is tried again: a disk that has room again is soon written to.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lines beyond so many bytes are written at once, and their memory goes.
const MOST_BYTES: usize = 4 << 20;
/// A pipe that is full and does not wait is tried again after so long, and so often before that is said.
const WHILE_FULL: Duration = Duration::from_millis(10);
const TIMES_FULL: u32 = 50;

/// Starts one.
pub(super) fn start(name: &Name, settings: &Json, running: &mut Running) {
    let endpoint = match &settings.path {
        Place::Output => "the standard output".into(),
        Place::File(path) => escape(&path.to_string_lossy()).into_owned(),
    };
    let state = running.add(State::new(format!("json.{name}"), "json", endpoint));
    let out = match Out::new(settings) {
        Ok(out) => out,
        Err(error) => return log::error!("exporter {}: {}", state.name(), state.failed(&error)),
    };
    let link = running.link.clone();
    let way = Way { out, backoff: Backoff::up_to(PATIENCE), link, state: state.clone() };
    let run = prepare(settings, &running.link).map(|(wanted, messages)| run(wanted, messages, way));
    running.on_thread_if(&state, run);
}

fn prepare(settings: &Json, link: &Link) -> Result<(Wanted, Messages), InvalidFilter> {
    let selection = settings.selection();
    let events = if settings.events { Some(selection.events()?) } else { None };
    let wanted = Wanted { events, windows: settings.summaries, incidents: settings.incidents };
    let messages = Messages::new(link, settings.events, selection.summaries()?, selection.incidents()?);
    Ok((wanted, messages))
}

/// Writes what happens, until the daemon stops.
async fn run(wanted: Wanted, mut messages: Messages, mut way: Way) {
    let Some(mut feed) = way.link.subscribe(&wanted, &way.state).await else { return };
    if !way.prepare().await {
        return;
    }
    let mut told = Vec::with_capacity(BATCH);
    messages.connected(feed.after);
    loop {
        if !way.deliver(&mut messages.lines).await {
            return;
        }
        let due = way.out.due();
        let batch = feed.batch(&mut told, BATCH);
        let more = match due {
            None => batch.await,
            Some(due) => match tokio::time::timeout(due, batch).await {
                Ok(more) => more,
                Err(_elapsed) => {
                    way.turn();
                    true
                }
            },
        };
        way.state.hold(told.len() as u64);
        for one in told.drain(..) {
            messages.take(&one);
            way.state.let_go(1);
            // Windows of many workloads are large.
            if messages.lines.len() > MOST_BYTES && !way.deliver(&mut messages.lines).await {
                return;
            }
        }
        if !more {
            break;
        }
    }
    messages.stopping();
    way.deliver(&mut messages.lines).await;
}

/// Where lines go, and how that stands.
struct Way {
    out: Out,
    backoff: Backoff,
    link: Link,
    state: State,
}

impl Way {
    /// Finds out whether there is where to write to, as often as that takes. `false` where the daemon stops before.
    async fn prepare(&mut self) -> bool {
        while let Err(error) = self.out.prepare() {
            if !self.try_again(&error).await {
                return false;
            }
        }
        self.state.running();
        true
    }

    /// Writes lines, as often as that takes. `false` where the daemon stops before they are written.
    async fn deliver(&mut self, lines: &mut Vec<u8>) -> bool {
        self.state.hold(ends(lines));
        let mut written = 0;
        let mut full = 0;
        while written < lines.len() {
            match self.out.write(&lines[written..]) {
                Ok(count) => {
                    let ended = ends(&lines[written..written + count]);
                    written += count;
                    full = 0;
                    self.state.let_go(ended);
                    self.state.sent(ended);
                }
                // Whoever reads is a little slower.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && full < TIMES_FULL => {
                    full += 1;
                    tokio::time::sleep(WHILE_FULL).await;
                }
                Err(error) => {
                    if !self.try_again(&error).await {
                        return false;
                    }
                }
            }
        }
        lines.clear();
        lines.shrink_to(MOST_BYTES);
        true
    }

    /// Does what is due.
    fn turn(&mut self) {
        if let Err(error) = self.out.turn() {
            self.state.retrying(&error);
        }
    }

    /// Waits until it is time for that. `false` where the daemon stops before.
    async fn try_again(&mut self, error: &io::Error) -> bool {
        self.state.retrying(error);
        self.link.pause(self.backoff.next()).await
    }
}

/// How many lines end in it.
fn ends(lines: &[u8]) -> u64 {
    lines.split(|byte| *byte == b'\n').count() as u64 - 1
}

/// What lines are written to.
#[derive(Debug)]
enum Out {
    /// Not by the standard library's, whose lock is held by whoever began it.
    Output(File),
    File(LogFile),
}

impl Out {
    fn new(settings: &Json) -> io::Result<Self> {
        let Json { path, max_bytes, max_age, max_files, .. } = settings;
        let bounds = rotation::Bounds { bytes: *max_bytes, age: *max_age, files: *max_files };
        match path {
            Place::Output => Ok(Self::Output(io::stdout().as_fd().try_clone_to_owned()?.into())),
            Place::File(path) => Ok(Self::File(LogFile::new(path, bounds))),
        }
    }

    /// Finds out whether there is where to write to.
    fn prepare(&mut self) -> io::Result<()> {
        match self {
            Self::Output(_) => Ok(()),
            Self::File(file) => file.prepare(),
        }
    }

    /// Writes lines, and says how many bytes went out: of a file whole lines, else a part of them where there is no room for more.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        match self {
            Self::Output(output) => loop {
                match output.write(lines) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => return other,
                }
            },
            Self::File(file) => file.write(lines),
        }
    }

    /// When something is due though nothing happens.
    fn due(&self) -> Option<Duration> {
        match self {
            Self::Output(_) => None,
            Self::File(file) => file.due(),
        }
    }

    /// Does what is due.
    fn turn(&mut self) -> io::Result<()> {
        match self {
            Self::Output(_) => Ok(()),
            Self::File(file) => file.turn(),
        }
    }
}

#[cfg(test)]
mod tests;
