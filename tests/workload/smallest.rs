//! The smallest program that ends at once: what it costs to run is the kernel's exec and exit, and nothing else.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Its instructions, `exit(0)`, and the machine's number in ELF (elf.h, `EM_X86_64` and `EM_AARCH64`).
#[cfg(target_arch = "x86_64")]
const CODE: (&[u8], u16) = (&[0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05], 62);
#[cfg(target_arch = "aarch64")]
const CODE: (&[u8], u16) = (&[0x00, 0x00, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4], 183);

/// Where it is loaded.
const BASE: u64 = 0x40_0000;
/// Bytes of the header of the file, and of the one header of a segment that follows.
const HEADERS: (u16, u16) = (64, 56);

/// The program as a file, which is gone when this is dropped.
pub(crate) struct Smallest(PathBuf);

impl Smallest {
    /// Writes it.
    pub(crate) fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("smallest-{}", std::process::id()));
        // One that was killed had no time to take its file away, and its number comes again.
        let _ = fs::remove_file(&path);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o700)
            .open(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let smallest = Self(path);
        file.write_all(&elf()).map_err(|error| error.to_string())?;
        Ok(smallest)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Smallest {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The file: both headers and the code (the format: `man 5 elf`).
fn elf() -> Vec<u8> {
    let ((code, machine), (file, segment)) = (CODE, HEADERS);
    let before = u64::from(file + segment);
    let size = before + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    // An executable for this machine, of version 1.
    elf.extend([2_u16, machine].map(u16::to_le_bytes).concat());
    elf.extend(1_u32.to_le_bytes());
    // Where it begins; where the segments' headers are; no sections.
    elf.extend([BASE + before, u64::from(file), 0].map(u64::to_le_bytes).concat());
    elf.extend(0_u32.to_le_bytes());
    elf.extend([file, segment, 1, 0, 0, 0].map(u16::to_le_bytes).concat());
    // One segment to be loaded, readable and executable: the whole file, aligned to a page.
    elf.extend([1_u32, 5].map(u32::to_le_bytes).concat());
    elf.extend([0, BASE, BASE, size, size, 0x1000].map(u64::to_le_bytes).concat());
    elf.extend(code);
    elf
}
