//! Reads an exported file part by part. Nothing that it says is believed before it is checked.

use std::io::{self, Read};

use observer_proto::v1::{ExportEnd, ExportHeader};
use prost::Message;

use super::bounds::{self, Count};
use super::{
    AS_IT_IS, Error, FIRST_WORDS, FORMAT, HEAD_BYTES, Kind, LONGEST_NUMBER, LZ4, MOST_BYTES, MOST_PARTS,
    checksum,
};

/// What files of other kinds begin with.
const FOREIGN: [(&[u8], &str); 10] = [
    (b"\x1f\x8b", "something compressed by gzip: unpack it first (gunzip)"),
    (b"\x28\xb5\x2f\xfd", "something compressed by zstd: unpack it first (unzstd)"),
    (b"\xfd7zXZ", "something compressed by xz: unpack it first (unxz)"),
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    (b"\x04\x22\x4d\x18", "something compressed by lz4: unpack it first (unlz4)"),
    (
        b"observer record\n",
        "the daemon's own store: ask that daemon for an export (observer incident export)",
    ),
    (b"redb\x1a\x0a\xa9\x0d\x0a", "a database of redb"),
    (b"PAR1", "a table in Parquet, which is for other tools: export it without --format parquet"),
    (b"\x7fELF", "a program"),
    (b"{", "JSON: events in JSON are read by `observer events --input`"),
];
/// So much of a file says of which kind it is.
const LONGEST_BEGINNING: usize = 512;

/// What is said where more is in a message than any has.
pub(super) const TOO_MANY: &str = "more in one part";

/// LZ4 makes no more bytes of one.
const MOST_PACKED: usize = 255;

/// A file that is being read.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    input: R,
    header: ExportHeader,
    /// Where the next part begins.
    at: u64,
    /// So many parts and bytes were read.
    parts: u64,
    bytes: u64,
    last: Kind,
    end: Option<ExportEnd>,
}

/// A part that was read, whose checksum is right.
#[derive(Debug)]
pub(crate) struct Part {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its content.
    pub(crate) content: Vec<u8>,
    /// Where it begins.
    pub(super) at: u64,
    /// How long it is as it is stored.
    pub(super) stored: u64,
}

impl Part {
    /// The message that it holds, unless more is in it than a part of its kind has.
    pub(crate) fn message<M: Message + Default>(&self) -> Result<M, Error> {
        let most = match self.kind {
            Kind::Incident => bounds::INCIDENT,
            Kind::Extras => bounds::EXTRAS,
            Kind::Header | Kind::Run | Kind::Events | Kind::Windows | Kind::End => bounds::PLAIN,
        };
        // The only bytes of a block are what is compressed.
        let is_block = matches!(self.kind, Kind::Events | Kind::Windows);
        if !is_block && !Count::up_to(most).add(&self.content) {
            return Err(Error::TooLarge { at: self.at, what: TOO_MANY });
        }
        M::decode(self.content.as_slice()).map_err(|_not_decodable| self.damaged("it cannot be understood"))
    }

    /// It is not as it was written.
    pub(crate) const fn damaged(&self, what: &'static str) -> Error {
        Error::Damaged { at: self.at, what }
    }
}

impl<R: Read> Reader<R> {
    /// Reads the first line and the header.
    pub(crate) fn open(mut input: R) -> Result<Self, Error> {
        let at = read_first_line(&mut input)?;
        let mut reader = Self {
            input,
            header: ExportHeader::default(),
            at,
            parts: 0,
            bytes: 0,
            last: Kind::Header,
            end: None,
        };
        let first = reader.read()?;
        if first.kind != Kind::Header {
            return Err(first.damaged("it does not begin with a header"));
        }
        reader.header = first.message()?;
        Ok(reader)
    }

    /// What the file is of.
    pub(crate) const fn header(&self) -> &ExportHeader {
        &self.header
    }

    /// What it holds by its own account, once all of it was read.
    pub(crate) const fn end(&self) -> Option<&ExportEnd> {
        self.end.as_ref()
    }

    /// The next part; `None` after the last one, where the file is whole.
    pub(crate) fn next(&mut self) -> Result<Option<Part>, Error> {
        if self.end.is_some() {
            return Ok(None);
        }
        let part = self.read()?;
        let fits = match part.kind {
            Kind::Header => false,
            Kind::Incident => self.last == Kind::Header,
            Kind::Run | Kind::End => true,
            Kind::Events | Kind::Windows | Kind::Extras => self.last > Kind::Incident,
        };
        if !fits {
            return Err(part.damaged("its parts are in a wrong order"));
        }
        self.last = part.kind;
        if part.kind != Kind::End {
            return Ok(Some(part));
        }
        let end: ExportEnd = part.message()?;
        if end.parts != self.parts - 1 {
            return Err(part.damaged("parts are missing"));
        }
        if self.input.read(&mut [0])? > 0 {
            return Err(Error::Damaged { at: self.at, what: "something follows its end" });
        }
        self.end = Some(end);
        Ok(None)
    }

    fn read(&mut self) -> Result<Part, Error> {
        let at = self.at;
        let mut head = [0; HEAD_BYTES];
        self.fill(&mut head)?;
        let damaged = |what| Error::Damaged { at, what };
        let number =
            |from: usize| u32::from_le_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
        let (length, meant, sum) = (number(4) as usize, number(8) as usize, number(12));
        let kind = Kind::of(head[0]).ok_or_else(|| damaged("there is no such part"))?;
        if length > kind.longest() || meant > kind.longest() {
            return Err(Error::TooLarge { at, what: "a part that is too long" });
        }
        self.parts += 1;
        self.bytes += meant as u64;
        if self.parts > MOST_PARTS {
            return Err(Error::TooLarge { at, what: "more than a million parts" });
        }
        if self.bytes > MOST_BYTES {
            return Err(Error::TooLarge { at, what: "more than 2 GiB" });
        }
        let stored = self.content(length)?;
        if checksum(&head[..12], &stored) != sum {
            return Err(damaged("a checksum is wrong"));
        }
        let content = match head[1] {
            AS_IT_IS if length == meant => stored,
            LZ4 if meant <= length.saturating_mul(MOST_PACKED) => lz4_flex::block::decompress(&stored, meant)
                .ok()
                .filter(|content| content.len() == meant)
                .ok_or_else(|| damaged("it cannot be unpacked"))?,
            _ => return Err(damaged("it is encoded in an unknown way")),
        };
        Ok(Part { kind, content, at, stored: length as u64 })
    }

    /// So many bytes; no more memory is taken than there are bytes.
    fn content(&mut self, length: usize) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        let read = (&mut self.input).take(length as u64).read_to_end(&mut content)?;
        self.at += read as u64;
        if read < length {
            return Err(Error::Truncated(self.at));
        }
        Ok(content)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        let content = self.content(buffer.len())?;
        buffer.copy_from_slice(&content);
        Ok(())
    }
}

/// Finds out whether it is a recording, and of which format. Gives how long that line is.
fn read_first_line(input: &mut impl Read) -> Result<u64, Error> {
    let mut beginning = vec![0; FIRST_WORDS.len()];
    let read = read_most(input, &mut beginning)?;
    beginning.truncate(read);
    if beginning != FIRST_WORDS {
        if read > 0 && FIRST_WORDS.starts_with(&beginning) {
            return Err(Error::Truncated(read as u64));
        }
        let mut more = vec![0; LONGEST_BEGINNING];
        let read = read_most(input, &mut more)?;
        beginning.extend(&more[..read]);
        return Err(Error::Foreign(kind_of(&beginning)));
    }
    let (mut number, mut length) = (0, FIRST_WORDS.len() as u64);
    loop {
        let mut byte = [0];
        if read_most(input, &mut byte)? == 0 {
            return Err(Error::Truncated(length));
        }
        length += 1;
        let digits = length as usize - FIRST_WORDS.len() - 1;
        match byte[0] {
            b'\n' if digits > 0 => break,
            digit @ b'0'..=b'9' if digits < LONGEST_NUMBER => number = number * 10 + u32::from(digit - b'0'),
            _ => return Err(Error::Damaged { at: 0, what: "its first line says no format" }),
        }
    }
    match number {
        FORMAT => Ok(length),
        0 => Err(Error::Damaged { at: 0, what: "there is no format 0" }),
        older if older < FORMAT => Err(Error::Older(older)),
        newer => Err(Error::Newer(newer)),
    }
}

/// What it is instead.
fn kind_of(beginning: &[u8]) -> &'static str {
    if beginning.is_empty() {
        return "empty";
    }
    if let Some((_, known)) = FOREIGN.iter().find(|(known, _)| beginning.starts_with(known)) {
        return known;
    }
    // A character may be cut off at the end.
    let text = match std::str::from_utf8(beginning) {
        Ok(_) => true,
        Err(error) => error.valid_up_to() > 0 && error.error_len().is_none(),
    };
    if text { "a text" } else { "something else" }
}

/// As much as there is of it.
fn read_most(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
