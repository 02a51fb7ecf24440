//! What an ELF file says of itself: for which processor it is, by what it is loaded, which libraries it wants.

use anyhow::{Context, Result, bail, ensure};
use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use object::{Endianness, U16, U64};

type Header = FileHeader64<Endianness>;
type Segment = elf::ProgramHeader64<Endianness>;

/// A processor, by the names that others have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Processor {
    /// x86-64.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

impl Processor {
    /// Debian's and OCI's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The folder of Debian's libraries.
    pub(super) const fn triplet(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu",
            Self::Arm64 => "aarch64-linux-gnu",
        }
    }

    /// Rust's name of the target.
    pub(super) const fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// OCI's variant.
    pub(super) const fn variant(self) -> Option<&'static str> {
        match self {
            Self::Amd64 => None,
            Self::Arm64 => Some("v8"),
        }
    }
}

/// A program or a library.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Elf {
    pub(super) processor: Processor,
    /// The path of the loader, for programs.
    pub(super) loader: Option<String>,
    /// The names of the libraries that the loader looks for.
    pub(super) needed: Vec<String>,
}

impl Elf {
    /// Reads a file's headers.
    pub(super) fn read(data: &[u8]) -> Result<Self> {
        let (header, endian, segments) = parse(data)?;
        let processor = match header.e_machine.get(endian) {
            elf::EM_X86_64 => Processor::Amd64,
            elf::EM_AARCH64 => Processor::Arm64,
            other => bail!("it is for the machine {other} of ELF, for which no image is made"),
        };
        let mut loader = None;
        let mut needed = Vec::new();
        for segment in segments {
            if let Some(path) = segment.interpreter(endian, data)? {
                loader = Some(text(path)?);
            }
            if let Some(entries) = segment.dynamic(endian, data)? {
                needed = wanted(entries, endian, data, segments)?;
            }
        }
        Ok(Self { processor, loader, needed })
    }
}

fn parse(data: &[u8]) -> Result<(&Header, Endianness, &[Segment])> {
    let header = Header::parse(data).context("it is no ELF file of 64 bits")?;
    let endian = header.endian()?;
    Ok((header, endian, header.program_headers(endian, data)?))
}

/// The names in the dynamic section.
fn wanted(
    entries: &[elf::Dyn64<Endianness>],
    endian: Endianness,
    data: &[u8],
    segments: &[Segment],
) -> Result<Vec<String>> {
    let value =
        |tag: i64| entries.iter().find(|entry| entry.tag(endian) == tag).map(|entry| entry.d_val(endian));
    ensure!(
        value(elf::DT_RPATH).is_none() && value(elf::DT_RUNPATH).is_none(),
        "it has its libraries looked for in folders of its own, which no image has"
    );
    let (Some(start), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else {
        return Ok(Vec::new());
    };
    let mut names =
        segments.iter().filter_map(|segment| segment.data_range(endian, data, start, size).ok()?);
    let names = names.next().context("its names are outside of it")?;
    let needed = entries.iter().filter(|entry| entry.tag(endian) == elf::DT_NEEDED);
    needed
        .map(|entry| text(names.get(entry.d_val(endian) as usize..).context("a name is outside of it")?))
        .collect()
}

/// The text up to a zero byte.
fn text(bytes: &[u8]) -> Result<String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    Ok(std::str::from_utf8(&bytes[..end]).context("a name that is no text")?.to_owned())
}

/// What of a program the kernel and the loader look at: all up to the end of its last segment.
///
/// Tables of sections, symbols and lines of source code come behind that, and make up three quarters of the file.
pub(super) fn without_debug_information(data: &[u8]) -> Result<Vec<u8>> {
    let (_, endian, segments) = parse(data)?;
    let end = |segment: &Segment| segment.file_range(endian).0.saturating_add(segment.file_range(endian).1);
    let end = segments.iter().map(end).max().context("it has no segment")?;
    let mut kept = data.get(..end as usize).context("a segment is outside of it")?.to_vec();
    let (header, _) = object::pod::from_bytes_mut::<Header>(&mut kept)
        .map_err(|()| anyhow::anyhow!("its header is outside of it"))?;
    header.e_shoff = U64::new(endian, 0);
    header.e_shnum = U16::new(endian, 0);
    header.e_shstrndx = U16::new(endian, 0);
    Ok(kept)
}

/// What the loader reads of a file: the ranges of its segments.
#[cfg(test)]
fn ranges(data: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (_, endian, segments) = parse(data).unwrap();
    let ranges = segments.iter().map(|segment| segment.file_range(endian));
    ranges.map(|(start, size)| start as usize..(start + size) as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Vec<u8> {
        std::fs::read("/proc/self/exe").unwrap()
    }

    #[test]
    fn this_test_names_its_loader_and_its_libraries() {
        let read = Elf::read(&own()).unwrap();
        assert!(read.loader.is_some_and(|loader| loader.contains("/ld-linux-")));
        assert!(read.needed.iter().any(|name| name == "libc.so.6"), "{:?}", read.needed);
        assert_eq!(read.processor.target().split('-').next(), Some(std::env::consts::ARCH));
    }

    #[test]
    fn the_header_says_the_processor() {
        let mut changed = own();
        // e_machine
        changed[18..20].copy_from_slice(&elf::EM_AARCH64.to_le_bytes());
        assert_eq!(Elf::read(&changed).unwrap().processor, Processor::Arm64);
        changed[18..20].copy_from_slice(&elf::EM_S390.to_le_bytes());
        assert!(Elf::read(&changed).unwrap_err().to_string().contains("the machine 22"));
    }

    #[test]
    fn what_is_no_program_is_refused() {
        for data in [&b""[..], b"#!/bin/sh\n", b"\x7fELF", &own()[..100]] {
            assert!(Elf::read(data).is_err());
            assert!(without_debug_information(data).is_err());
        }
    }

    #[test]
    fn a_program_without_debug_information_runs_and_keeps_all_that_is_loaded() {
        let whole = own();
        let kept = without_debug_information(&whole).unwrap();
        assert!(kept.len() < whole.len());
        assert_eq!(Elf::read(&kept).unwrap(), Elf::read(&whole).unwrap());
        // But for the header, which one segment may have in it.
        assert!(ranges(&whole).into_iter().all(|range| {
            let range = range.start.max(64)..range.end.max(64);
            kept[range.clone()] == whole[range]
        }));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        std::fs::copy("/proc/self/exe", &path).unwrap();
        std::fs::write(&path, kept).unwrap();
        let listed = std::process::Command::new(&path).arg("--list").output().unwrap();
        assert!(listed.status.success());
        assert!(String::from_utf8_lossy(&listed.stdout).contains("keeps_all_that_is_loaded"));
    }
}
