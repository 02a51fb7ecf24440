//! Lines of JSON, as `observer events -o json` writes them, in a file that is rotated or on the standard output.

mod file;
mod message;
mod rotation;

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
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

/// Starts one.
pub(super) fn start(name: &Name, settings: &Json, running: &mut Running) {
    let (endpoint, out) = match &settings.path {
        Place::Output => ("the standard output".to_owned(), Out::Output),
        Place::File(path) => (escape(&path.to_string_lossy()).into_owned(), Out::file(path, settings)),
    };
    let state = running.add(State::new(format!("json.{name}"), "json", endpoint));
    let (wanted, messages) = match prepare(settings, &running.link) {
        Ok(prepared) => prepared,
        // The configuration has tried it.
        Err(error) => return drop(state.failed(&error)),
    };
    let run = run(wanted, messages, out, running.link.clone(), state.clone());
    running.on_thread(&state, run);
}

fn prepare(settings: &Json, link: &Link) -> Result<(Wanted, Messages), InvalidFilter> {
    let selection = settings.selection();
    let events = if settings.events { Some(selection.events()?) } else { None };
    let wanted = Wanted { events, windows: settings.summaries, incidents: settings.incidents };
    let messages = Messages::new(link, settings.events, selection.summaries()?, selection.incidents()?);
    Ok((wanted, messages))
}

/// Writes what happens, until the daemon stops.
async fn run(wanted: Wanted, mut messages: Messages, mut out: Out, link: Link, state: State) {
    let Some(mut feed) = link.subscribe(&wanted, &state).await else { return };
    let mut told = Vec::with_capacity(BATCH);
    messages.connected(feed.after);
    loop {
        if !deliver(&mut messages.lines, &mut out, &link, &state).await {
            return;
        }
        let due = out.due();
        let batch = feed.batch(&mut told, BATCH);
        let more = match due {
            None => batch.await,
            Some(due) => match tokio::time::timeout(due, batch).await {
                Ok(more) => more,
                Err(_elapsed) => {
                    out.turn(&state);
                    true
                }
            },
        };
        told.drain(..).for_each(|one| messages.take(&one));
        if !more {
            break;
        }
    }
    messages.stopping();
    deliver(&mut messages.lines, &mut out, &link, &state).await;
}

/// Writes lines, as often as that takes. `false` where the daemon stops before they are written.
async fn deliver(lines: &mut Vec<u8>, out: &mut Out, link: &Link, state: &State) -> bool {
    let mut backoff = Backoff::up_to(PATIENCE);
    let mut written = 0;
    while written < lines.len() {
        match out.write(&lines[written..]) {
            Ok(count) => {
                let of = &lines[written..written + count];
                written += count;
                state.sent(of.split_inclusive(|byte| *byte == b'\n').count() as u64);
                backoff.reset();
            }
            Err(error) => {
                state.retrying(&error);
                if !link.pause(backoff.next()).await {
                    return false;
                }
            }
        }
    }
    lines.clear();
    true
}

/// Where lines go.
#[derive(Debug)]
enum Out {
    Output,
    File(LogFile),
}

impl Out {
    fn file(path: &Path, settings: &Json) -> Self {
        let Json { max_bytes, max_age, max_files, .. } = settings;
        Self::File(LogFile::new(
            path,
            rotation::Bounds { bytes: *max_bytes, age: *max_age, files: *max_files },
        ))
    }

    /// Writes whole lines, one at least, and says how many bytes they have.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        match self {
            // The lock of the standard output is held by whoever began it.
            Self::Output => {
                File::from(io::stdout().as_fd().try_clone_to_owned()?).write_all(lines).map(|()| lines.len())
            }
            Self::File(file) => file.write(lines),
        }
    }

    /// When something is due though nothing happens.
    fn due(&self) -> Option<Duration> {
        match self {
            Self::Output => None,
            Self::File(file) => file.due(),
        }
    }

    /// Does what is due.
    fn turn(&mut self, state: &State) {
        if let Self::File(file) = self
            && let Err(error) = file.turn()
        {
            state.retrying(&error);
        }
    }
}
