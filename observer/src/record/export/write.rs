//! Writes an exported file part by part, with no more in memory than one of them.

use std::io::{self, Write};

use observer_proto::v1::{ExportEnd, ExportHeader};
use prost::Message;

use super::{AS_IT_IS, FIRST_WORDS, FORMAT, Kind, LZ4, checksum};

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    out: W,
    end: ExportEnd,
}

impl<W: Write> Writer<W> {
    /// Begins a file of that.
    pub(crate) fn new(mut out: W, header: &ExportHeader) -> io::Result<Self> {
        out.write_all(FIRST_WORDS)?;
        writeln!(out, "{FORMAT}")?;
        let mut writer = Self { out, end: ExportEnd::default() };
        writer.message(Kind::Header, header)?;
        Ok(writer)
    }

    /// Adds a message as a part of its own.
    pub(crate) fn message(&mut self, kind: Kind, message: &impl Message) -> io::Result<()> {
        self.packed(kind, &message.encode_to_vec())
    }

    /// Adds a message that would not become shorter.
    pub(crate) fn plain(&mut self, kind: Kind, message: &impl Message) -> io::Result<()> {
        self.part(kind, &message.encode_to_vec())
    }

    /// Adds a part, compressed where that makes it shorter.
    pub(crate) fn packed(&mut self, kind: Kind, content: &[u8]) -> io::Result<()> {
        let packed = lz4_flex::block::compress(content);
        if packed.len() < content.len() {
            self.write(kind, LZ4, &packed, content.len())
        } else {
            self.part(kind, content)
        }
    }

    /// Adds a part as it is: a block of the store, say, which is compressed already.
    pub(crate) fn part(&mut self, kind: Kind, content: &[u8]) -> io::Result<()> {
        self.write(kind, AS_IT_IS, content, content.len())
    }

    /// So many are in a block that was added.
    pub(super) const fn count(&mut self, kind: Kind, count: u32) {
        match kind {
            Kind::Events => self.end.events += count as u64,
            Kind::Windows => self.end.windows += count as u64,
            Kind::Header | Kind::Incident | Kind::Run | Kind::Extras | Kind::End => {}
        }
    }

    #[cfg(test)]
    pub(super) const fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// Writes the end.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let end = self.end;
        self.message(Kind::End, &end)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write(&mut self, kind: Kind, encoding: u8, content: &[u8], meant: usize) -> io::Result<()> {
        let [Ok(length), Ok(meant_length)] = [content.len(), meant].map(u32::try_from) else {
            return Err(too_long(meant));
        };
        if meant > kind.longest() || content.len() > kind.longest() {
            return Err(too_long(meant));
        }
        let mut head = [0; 12];
        head[0] = kind as u8;
        head[1] = encoding;
        head[4..8].copy_from_slice(&length.to_le_bytes());
        head[8..12].copy_from_slice(&meant_length.to_le_bytes());
        self.out.write_all(&head)?;
        self.out.write_all(&checksum(&head, content).to_le_bytes())?;
        self.out.write_all(content)?;
        self.end.parts += 1;
        Ok(())
    }
}

fn too_long(bytes: usize) -> io::Error {
    io::Error::other(format!("a part of {bytes} bytes is longer than a file may have it"))
}
