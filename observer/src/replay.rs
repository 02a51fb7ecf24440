//! Serves a recording from a file, as the daemon serves what happens: the same service, and a loop that answers in place of
//! the daemon's event loop.

mod answer;
mod moment;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;

pub(crate) use self::answer::Replay;
use crate::event::WallTime;
use crate::record::StoreError;
use crate::record::export::{self, Recording};
use crate::serve::{self, ServeError};

/// Why a file is not replayed.
#[derive(Debug, thiserror::Error)]
#[error("cannot replay {}: {source}", path.display())]
pub(crate) struct Error {
    /// The file.
    path: PathBuf,
    source: Box<Reason>,
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    /// The file cannot be opened.
    #[error("{0}")]
    Open(std::io::Error),
    /// It is not to be read.
    #[error(transparent)]
    File(#[from] export::Error),
    /// What it holds cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The moment that was asked for is not in it.
    #[error("it has nothing of {0}: it is of {1} to {2}")]
    Outside(jiff::Timestamp, jiff::Timestamp, jiff::Timestamp),
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Recording, Error> {
    let failed = |source| Error { path: path.to_owned(), source: Box::new(source) };
    let file = File::open(path).map_err(|error| failed(Reason::Open(error)))?;
    if file.metadata().is_ok_and(|found| found.is_dir()) {
        return Err(failed(Reason::Open(std::io::ErrorKind::IsADirectory.into())));
    }
    export::load(BufReader::with_capacity(1 << 16, file)).map_err(|error| failed(error.into()))
}

/// Reads a file and makes it ready to be served, as of that moment or of the incident's opening.
pub(crate) fn open(path: &Path, at: Option<WallTime>) -> Result<Replay, Error> {
    Replay::new(read(path)?, at).map_err(|source| Error { path: path.to_owned(), source: Box::new(source) })
}

/// Replays a file within this process: what is returned is a connection to the service.
pub(crate) async fn within(path: PathBuf) -> Result<UnixStream, Error> {
    let failed = |source| Error { path: path.clone(), source: Box::new(source) };
    let opened = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || open(&path, None)).await
    };
    let replay =
        opened.map_err(|_panicked| failed(Reason::Open(std::io::Error::other("reading it failed"))))??;
    let serve = || -> Result<UnixStream, std::io::Error> {
        let (client, server) = UnixStream::pair()?;
        tokio::spawn(serve::serve_one(replay.start(), server));
        Ok(client)
    };
    serve().map_err(|error| failed(Reason::Open(error)))
}
