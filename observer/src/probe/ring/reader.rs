//! Reads a ring of the kernel's through a window that moves along it, so that a large ring costs the daemon no memory.
#![allow(unsafe_code, reason = "memory that is shared with the kernel")]

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use aya_obj::generated::{BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT, BPF_RINGBUF_HDR_SZ};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// So much of a ring is mapped at a time. Moving the window takes some 10 µs, for each 1,500 records.
pub(super) const WINDOW: usize = 256 << 10;
/// The most that is read before the kernel is told that there is room again: each telling costs the probes on other
/// processors a look into memory.
const UNTOLD: usize = 16 << 10;
/// Before each record: its length and what became of it.
const HEADER: usize = BPF_RINGBUF_HDR_SZ as usize;

/// The one reader of a ring (`BPF_MAP_TYPE_RINGBUF`).
///
/// The kernel's file has a page with the reader's position, one with the writers', and the data, twice in a row, so
/// that a record that goes over the end is read in one piece (`kernel/bpf/ringbuf.c`).
pub(in crate::probe) struct Reader {
    fd: OwnedFd,
    /// Of the data; a power of two.
    size: usize,
    page: usize,
    consumer: Mapping,
    producer: Mapping,
    window: Option<Window>,
    /// What was read, since the ring was made.
    at: usize,
    /// What of that the kernel knows.
    told: usize,
}

impl Reader {
    /// Reads the ring that `fd` is; its data is of `size` bytes.
    pub(in crate::probe) fn new(fd: BorrowedFd<'_>, size: u32) -> io::Result<Self> {
        let fd = fd.try_clone_to_owned()?;
        let page = rustix::param::page_size();
        let consumer = Mapping::new(&fd, ProtFlags::READ | ProtFlags::WRITE, 0, page)?;
        let producer = Mapping::new(&fd, ProtFlags::READ, page, page)?;
        // The kernel only reads it: it is what the last reader left.
        let at = consumer.position().load(Ordering::Relaxed);
        Ok(Self { fd, size: size as usize, page, consumer, producer, window: None, at, told: at })
    }

    /// Takes at most `most` records, oldest first; gives how many there were. What was taken before an error stays so.
    pub(in crate::probe) fn take(
        &mut self,
        most: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Result<usize, (usize, io::Error)> {
        // Pairs with the kernel's release after it has marked a record as being written.
        let end = self.producer.position().load(Ordering::Acquire);
        let mut taken = 0;
        let mut result = Ok(());
        while taken < most && self.at != end {
            let length = match self.next() {
                Ok(Next::Record(record)) => {
                    take(record);
                    taken += 1;
                    record.len()
                }
                Ok(Next::Discarded(length)) => length,
                Ok(Next::Busy) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            };
            self.at = self.at.wrapping_add((HEADER + length).next_multiple_of(8));
            if self.at.wrapping_sub(self.told) >= UNTOLD.min(self.size / 4) {
                self.tell();
            }
        }
        self.tell();
        result.map(|()| taken).map_err(|error| (taken, error))
    }

    /// The record at the reader's place, which is not passed by that.
    fn next(&mut self) -> io::Result<Next<'_>> {
        let header = self.header()?;
        if header & BPF_RINGBUF_BUSY_BIT != 0 {
            return Ok(Next::Busy);
        }
        let length = (header & !(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT)) as usize;
        if HEADER + length > self.size {
            let words = format!("a record of {length} bytes in a ring of {}", self.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        }
        if header & BPF_RINGBUF_DISCARD_BIT != 0 {
            return Ok(Next::Discarded(length));
        }
        let start = self.mapped(HEADER + length)?;
        // SAFETY: so many bytes are mapped there, for as long as the window is not moved, which takes `&mut self`. The
        // kernel writes no record again until it is told that it was read, and the busy bit, read before with Acquire,
        // says that it is complete.
        Ok(Next::Record(unsafe { std::slice::from_raw_parts(start.add(HEADER).as_ptr(), length) }))
    }

    fn header(&mut self) -> io::Result<u32> {
        let start = self.mapped(HEADER)?;
        // SAFETY: so many bytes are mapped there, and records begin at multiples of 8. The kernel writes the word as
        // one, with a full barrier.
        Ok(unsafe { AtomicU32::from_ptr(start.cast().as_ptr()) }.load(Ordering::Acquire))
    }

    /// Tells the kernel what was read: it may write there again.
    fn tell(&mut self) {
        if self.told != self.at {
            self.consumer.position().store(self.at, Ordering::Release);
            self.told = self.at;
        }
    }

    /// Where the next `length` bytes are in memory; moves the window if they are not in it.
    fn mapped(&mut self, length: usize) -> io::Result<NonNull<u8>> {
        let offset = self.at & (self.size - 1);
        // The data is there twice, and the window may be in either half or on both.
        let found = |window: &Window| {
            [offset, offset + self.size].into_iter().find_map(|offset| window.find(offset, length))
        };
        if let Some(start) = self.window.as_ref().and_then(found) {
            return Ok(start);
        }
        // Given up first, so that there is never more than one.
        self.window = None;
        let (first, bytes) = if 2 * self.size <= WINDOW {
            (0, 2 * self.size)
        } else {
            let first = offset - offset % self.page;
            let needed = (offset - first + length).next_multiple_of(self.page);
            (first, needed.max(WINDOW).min(2 * self.size - first))
        };
        let mapping = Mapping::new(&self.fd, ProtFlags::READ, 2 * self.page + first, bytes)?;
        let window = self.window.insert(Window { first, mapping });
        window.find(offset, length).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl AsRawFd for Reader {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// What is at the reader's place.
enum Next<'a> {
    Record(&'a [u8]),
    /// A record that its writer gave up, and its length.
    Discarded(usize),
    /// A record that is being written. Those behind it wait, so that the order is kept.
    Busy,
}

/// A part of the data that is mapped.
struct Window {
    /// Where it begins in the data, and its copy behind it.
    first: usize,
    mapping: Mapping,
}

impl Window {
    /// Where `length` bytes at that offset are, if they are all in it.
    fn find(&self, offset: usize, length: usize) -> Option<NonNull<u8>> {
        let within = offset.checked_sub(self.first)?;
        // SAFETY: it stays within the mapping.
        (within + length <= self.mapping.length).then(|| unsafe { self.mapping.start.add(within) })
    }
}

/// A part of a ring's file, mapped.
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: it owns its memory, which any thread may read; what the kernel shares is read and written as atomics.
unsafe impl Send for Mapping {}
// SAFETY: the same.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(fd: &OwnedFd, allowed: ProtFlags, offset: usize, length: usize) -> io::Result<Self> {
        // SAFETY: a new mapping where the kernel wants it to be; nothing else refers to it.
        let start = unsafe {
            mmap(std::ptr::null_mut(), length, allowed, MapFlags::SHARED, fd.as_fd(), offset as u64)
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, length })
    }

    /// The position at the beginning of one of the first two pages.
    fn position(&self) -> &AtomicUsize {
        // SAFETY: the page begins with an `unsigned long`, which both sides use as an atomic.
        unsafe { AtomicUsize::from_ptr(self.start.cast().as_ptr()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it is this mapping, whole, and nothing refers to it any more.
        let unmapped = unsafe { munmap(self.start.cast().as_ptr(), self.length) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}
