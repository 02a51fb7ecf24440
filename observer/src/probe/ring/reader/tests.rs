//! A ring of the kernel's own, which root may make, and a file laid out like one, for what no program can be made to do.

mod kernel;

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use aya_obj::generated::{BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT};
use rustix::fs::{MemfdFlags, memfd_create};

use self::kernel::KernelRing;
use super::*;

/// A file that is laid out like a ring, and the writer's side.
struct Model {
    file: File,
    size: usize,
    produced: usize,
}

impl Model {
    fn new(size: usize) -> (Self, Reader) {
        let file = File::from(memfd_create("ring", MemfdFlags::CLOEXEC).unwrap());
        file.set_len((2 * rustix::param::page_size() + 2 * size) as u64).unwrap();
        let reader = Reader::new(file.as_fd(), size as u32).unwrap();
        (Self { file, size, produced: 0 }, reader)
    }

    /// Writes at a place of the ring, which is there twice.
    fn write(&self, at: usize, bytes: &[u8]) {
        let data = 2 * rustix::param::page_size();
        for (index, byte) in bytes.iter().enumerate() {
            let offset = (at + index) % self.size;
            for copy in [offset, offset + self.size] {
                self.file.write_all_at(&[*byte], (data + copy) as u64).unwrap();
            }
        }
    }

    /// Adds a record; gives its place.
    fn put(&mut self, record: &[u8], flags: u32) -> usize {
        let place = self.produced;
        self.write(place, &(record.len() as u32 | flags).to_ne_bytes());
        self.write(place + HEADER, record);
        self.produced += (HEADER + record.len()).next_multiple_of(8);
        let page = rustix::param::page_size() as u64;
        self.file.write_all_at(&self.produced.to_ne_bytes(), page).unwrap();
        place
    }

    /// What the reader has told of.
    fn told(&self) -> usize {
        let mut position = [0; size_of::<usize>()];
        self.file.read_exact_at(&mut position, 0).unwrap();
        usize::from_ne_bytes(position)
    }
}

fn all(reader: &mut Reader) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let taken = reader.take(usize::MAX, |record| records.push(record.to_vec())).unwrap();
    assert_eq!(taken, records.len());
    records
}

#[test]
fn a_record_that_is_being_written_holds_up_those_behind_it() {
    let (mut ring, mut reader) = Model::new(4096);
    ring.put(b"first", 0);
    let busy = ring.put(b"second", BPF_RINGBUF_BUSY_BIT);
    ring.put(b"third", 0);
    assert_eq!(all(&mut reader), [b"first"]);
    assert_eq!(ring.told(), busy);
    assert_eq!(all(&mut reader), Vec::<Vec<u8>>::new());
    ring.write(busy, &6_u32.to_ne_bytes());
    assert_eq!(all(&mut reader), [b"second".to_vec(), b"third".to_vec()]);
    assert_eq!(ring.told(), ring.produced);
}

#[test]
fn what_its_writer_gave_up_is_passed() {
    let (mut ring, mut reader) = Model::new(4096);
    ring.put(b"given up", BPF_RINGBUF_DISCARD_BIT);
    ring.put(b"", 0);
    ring.put(b"given up as well", BPF_RINGBUF_DISCARD_BIT);
    ring.put(b"kept", 0);
    ring.put(b"gone", BPF_RINGBUF_DISCARD_BIT);
    assert_eq!(all(&mut reader), [b"".to_vec(), b"kept".to_vec()]);
    assert_eq!(ring.told(), ring.produced);
}

#[test]
fn a_batch_ends_where_it_was_asked_to() {
    let (mut ring, mut reader) = Model::new(4096);
    for record in 0..10_u8 {
        ring.put(&[record; 9], 0);
    }
    let mut taken = Vec::new();
    while reader.take(4, |record| taken.push(record[0])).unwrap() > 0 {
        assert_eq!(ring.told(), taken.len() * 24);
    }
    assert_eq!(taken, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_length_that_cannot_be_is_an_error() {
    let (mut ring, mut reader) = Model::new(4096);
    ring.put(b"good", 0);
    let bad = ring.put(b"bad", 0);
    ring.write(bad, &4096_u32.to_ne_bytes());
    let (taken, error) = reader.take(usize::MAX, |record| assert_eq!(record, b"good")).unwrap_err();
    assert_eq!((taken, error.kind()), (1, io::ErrorKind::InvalidData));
    assert_eq!(ring.told(), bad);
}

/// Needs root. Rings that fit into the window, and one of several windows, each gone through several times: records lie
/// over the end of the window and over the end of the ring.
#[test]
fn the_kernels_records_come_whole_and_in_order() {
    for (size, rounds) in [(4096_u32, 200_u32), (1 << 20, 3)] {
        let ring = KernelRing::new(size);
        let mut reader = Reader::new(ring.fd(), size).unwrap();
        let writers = [8, 40, 168, 504].map(|bytes| (bytes, ring.writer(bytes)));
        let giving_up = ring.giving_up(96);
        let mut number = 0_u64;
        for _ in 0..rounds {
            let mut expected = Vec::new();
            // Nearly full: the largest one has no room at some time, and is not there then.
            for round in 0.. {
                let (bytes, writer) = &writers[round % writers.len()];
                if round % 7 == 0 {
                    giving_up.run(0);
                }
                number += 1;
                if !writer.run(number) {
                    break;
                }
                expected.push((*bytes as usize, number));
            }
            let mut seen = Vec::new();
            let taken = reader
                .take(usize::MAX, |record| {
                    let number = u64::from_ne_bytes(record[..8].try_into().unwrap());
                    assert!(record.chunks(8).all(|part| part == number.to_ne_bytes()), "{record:?}");
                    seen.push((record.len(), number));
                })
                .unwrap();
            assert_eq!(taken, expected.len());
            assert_eq!(seen, expected);
            let mapped = reader.window.as_ref().map_or(0, |window| window.mapping.length);
            assert!(mapped <= WINDOW, "{mapped} bytes are mapped");
        }
        assert!(number > u64::from(rounds) * u64::from(size) / 300, "{number} records");
    }
}

/// Needs root: a reader that comes later goes on where the last one stopped.
#[test]
fn the_next_reader_goes_on() {
    let ring = KernelRing::new(1 << 20);
    let writer = ring.writer(504);
    let mut numbers = Vec::new();
    for number in 0..600 {
        assert!(writer.run(number));
        if number == 599 || number % 250 == 249 {
            let mut reader = Reader::new(ring.fd(), 1 << 20).unwrap();
            reader.take(usize::MAX, |record| numbers.push(record[0])).unwrap();
        }
    }
    let expected: Vec<_> = (0..600_u64).map(|number| number as u8).collect();
    assert_eq!(numbers, expected);
}
