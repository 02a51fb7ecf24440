//! Reads events that were written as JSON, a message a line, and holds no more of them than one.

mod error;
#[cfg(test)]
mod fuzzed;
#[cfg(test)]
mod tests;
mod wanted;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

use observer_proto::v1::{WatchEventsResponse, WatchIncidentsResponse, WatchSummariesResponse};

use super::escape::escape;
use super::json::{Unknown, read_json};

pub(crate) use error::Error;
pub(crate) use wanted::Wanted;

/// No line is longer. An event has some KiB.
const LONGEST_LINE: usize = 4 << 20;
/// What is read at a time.
const PIECE: usize = 64 << 10;

/// A recording that is read.
pub(crate) struct Recording {
    input: BufReader<Box<dyn Read>>,
    /// What errors call it.
    name: String,
    /// The number of the line that was read last.
    line: u64,
    text: Vec<u8>,
    /// It was said that there is more in it than this version knows.
    newer: bool,
    /// The message of the line whose notice came first.
    waiting: Option<Box<WatchEventsResponse>>,
}

/// What a line is.
#[derive(Debug, PartialEq)]
pub(crate) enum Line {
    /// A message.
    Message(Box<WatchEventsResponse>),
    /// Something that whoever reads has to know, in words.
    Notice(String),
}

/// How a line ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Newline,
    /// The input did.
    Input,
}

impl Recording {
    /// Opens a file, or with `-` the standard input.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        if path == Path::new("-") {
            return Ok(Self::new(Box::new(io::stdin()), "standard input"));
        }
        let name = escape(&path.to_string_lossy()).into_owned();
        let unreadable = |source| Error::Open { name: name.clone(), source };
        let file = File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.is_dir() {
            return Err(Error::Folder { name });
        }
        Ok(Self::new(Box::new(file), &name))
    }

    /// Reads from anything.
    pub(crate) fn new(input: Box<dyn Read>, name: &str) -> Self {
        Self {
            input: BufReader::with_capacity(PIECE, input),
            name: name.to_owned(),
            line: 0,
            text: Vec::new(),
            newer: false,
            waiting: None,
        }
    }

    /// The next message or notice, or `None` at the end. `idle` is called before there may be a wait.
    pub(crate) fn next(
        &mut self,
        idle: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<Option<Result<Line, Error>>> {
        if let Some(message) = self.waiting.take() {
            return Ok(Some(Ok(Line::Message(message))));
        }
        loop {
            let end = match self.read_line(idle)? {
                Ok(Some(end)) => end,
                Ok(None) => return Ok(None),
                Err(error) => return Ok(Some(Err(error))),
            };
            match self.parse(end) {
                Ok(None) => {}
                Ok(Some(line)) => return Ok(Some(Ok(line))),
                Err(error) => return Ok(Some(Err(error))),
            }
        }
    }

    /// Reads one line into `text`, without its end.
    fn read_line(
        &mut self,
        idle: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<Result<Option<End>, Error>> {
        self.text.clear();
        self.line += 1;
        loop {
            if self.input.buffer().is_empty() {
                idle()?;
            }
            let piece = match self.input.fill_buf() {
                Ok(piece) => piece,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Ok(Err(Error::Read { name: self.name.clone(), source })),
            };
            if piece.is_empty() {
                return Ok(Ok((!self.text.is_empty()).then_some(End::Input)));
            }
            let newline = piece.iter().position(|byte| *byte == b'\n');
            let taken = newline.unwrap_or(piece.len());
            self.text.extend_from_slice(&piece[..taken]);
            self.input.consume(taken + usize::from(newline.is_some()));
            if self.text.len() > LONGEST_LINE {
                return Ok(Err(self.too_long()));
            }
            if newline.is_some() {
                return Ok(Ok(Some(End::Newline)));
            }
        }
    }

    /// What the line is; `None` for an empty one.
    fn parse(&mut self, end: End) -> Result<Option<Line>, Error> {
        let text = match std::str::from_utf8(&self.text) {
            Ok(text) => text.trim(),
            Err(error) if end == End::Input && error.error_len().is_none() => {
                return Ok(Some(self.cut_off()));
            }
            Err(_binary) => return Err(self.binary()),
        };
        if text.contains('\0') {
            return Err(self.binary());
        }
        if text.is_empty() {
            return Ok(None);
        }
        let refused = match read_message(text, Unknown::Refused) {
            Ok(message) if is_empty(&message) => {
                return Err(self.bad("neither an event nor a notice".to_owned()));
            }
            Ok(message) => return Ok(Some(Line::Message(Box::new(message)))),
            Err(error) if error.is_eof() && end == End::Input => return Ok(Some(self.cut_off())),
            Err(error) => error,
        };
        // Perhaps there is only more in it than this version knows.
        let message =
            read_message(text, Unknown::LeftOut).map_err(|error| self.bad(error::reason(&error)))?;
        if message.payload.is_none() && is_of_incidents(text) {
            return Ok(None);
        }
        let of_summary =
            || read_json::<WatchSummariesResponse>(text, "WatchSummariesResponse", Unknown::Refused);
        if message.payload.is_none() && of_summary().is_ok() {
            return Err(Error::Summary { name: self.name.clone(), line: self.line });
        }
        if is_empty(&message) {
            return Err(self.bad(error::reason(&refused)));
        }
        let message = Box::new(message);
        if std::mem::replace(&mut self.newer, true) {
            return Ok(Some(Line::Message(message)));
        }
        self.waiting = Some(message);
        Ok(Some(Line::Notice(format!(
            "{}:{}: {}: written by a newer version? What this one does not know is left out, here and below",
            self.name,
            self.line,
            error::reason(&refused)
        ))))
    }

    fn cut_off(&self) -> Line {
        Line::Notice(format!(
            "{}:{}: the last line is cut off, as when its writer is killed; all lines before it were read",
            self.name, self.line
        ))
    }

    fn bad(&self, reason: String) -> Error {
        Error::Line { name: self.name.clone(), line: self.line, reason }
    }

    fn too_long(&self) -> Error {
        let cut = |error: std::str::Utf8Error| error.error_len().is_none();
        let is_text = !self.text.contains(&0) && std::str::from_utf8(&self.text).map_or_else(cut, |_| true);
        if is_text { Error::TooLong { name: self.name.clone(), line: self.line } } else { self.binary() }
    }

    fn binary(&self) -> Error {
        Error::Binary { name: self.name.clone(), line: self.line }
    }
}

fn read_message(text: &str, unknown: Unknown) -> Result<WatchEventsResponse, serde_json::Error> {
    read_json(text, "WatchEventsResponse", unknown)
}

/// It tells of an incident, as the daemon's own files of lines do between events.
fn is_of_incidents(text: &str) -> bool {
    let read = read_json::<WatchIncidentsResponse>(text, "WatchIncidentsResponse", Unknown::Refused);
    read.is_ok_and(|message| message.payload.is_some())
}

/// It says nothing, not even whose it is.
fn is_empty(message: &WatchEventsResponse) -> bool {
    message.payload.is_none() && message.node_name.is_empty()
}
