//! Live sockets, read by iterators: their counters, who they are, and taking over those that are older.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use aya::Ebpf;
use aya::maps::{Array, Map, MapData};
use aya::programs::Iter;
use observer_ebpf::live::{Known, Sample};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::attach::Verdicts;
use super::load::take_ring;
use super::ring::Reader;
use super::{ProbeError, system};

/// Reads the counters of every tracked socket.
pub(super) const SAMPLE: &str = "sample_sockets";
/// Reads who the tracked sockets are.
pub(super) const LIST: &str = "list_sockets";
/// Gives storage to the sockets of the reader's network namespace.
pub(super) const ADOPT: &str = "adopt_sockets";
/// Gives storage to the sockets that processes hold, and takes down whose they are.
pub(super) const ADOPT_FILES: &str = "adopt_files";

/// The iterators, each with the kernel's name for what it goes through.
pub(super) const ITERATORS: [(&str, &str); 4] = [
    (SAMPLE, "bpf_sk_storage_map"),
    (LIST, "bpf_sk_storage_map"),
    (ADOPT, "tcp"),
    (ADOPT_FILES, "task_file"),
];

/// A moment as the kernel's timer ticks have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticks {
    /// Jiffies.
    pub(crate) jiffies: u64,
    /// The boot clock, in nanoseconds.
    pub(crate) time_ns: u64,
}

/// The linked iterators; those that the kernel refused are missing.
pub(crate) struct Sockets {
    sample: Option<OwnedFd>,
    list: Option<OwnedFd>,
    adopt: Option<OwnedFd>,
    adopt_files: Option<OwnedFd>,
    ticks: Array<MapData, [u64; 2]>,
    readings: Reader,
}

/// Takes sockets over; apart from the rest, since that takes a while.
pub(crate) struct Adopter {
    adopt: Option<OwnedFd>,
    adopt_files: Option<OwnedFd>,
}

impl Sockets {
    /// Links the iterators that were loaded; `refuse` is told of each that the kernel does not take.
    pub(super) fn link(
        ebpf: &mut Ebpf,
        verdicts: &mut Verdicts,
        mut refuse: impl FnMut(&'static str, &ProbeError),
    ) -> Result<Self, ProbeError> {
        let map = match ebpf.map("SOCKETS") {
            Some(Map::SkStorage(map)) => map.fd().as_fd().try_clone_to_owned().map_err(ProbeError::Sample)?,
            _ => return Err(ProbeError::NoMap("SOCKETS")),
        };
        let ticks = ebpf.take_map("TICKS").ok_or(ProbeError::NoMap("TICKS"))?;
        let ticks = Array::try_from(ticks).map_err(ProbeError::Map)?;
        let readings = take_ring(ebpf, "READINGS")?;
        let size = readings.info().map_err(ProbeError::Map)?.max_entries();
        let readings = Reader::new(readings.fd().as_fd(), size).map_err(ProbeError::ReadRing)?;
        let [sample, list, adopt, adopt_files] = ITERATORS.map(|(name, target)| {
            let of = (target == "bpf_sk_storage_map").then(|| map.as_fd());
            link(ebpf, verdicts, name, of).inspect_err(|error| refuse(name, error)).ok()
        });
        Ok(Self { sample, list, adopt, adopt_files, ticks, readings })
    }

    /// Runs one pass; `take` is given each live socket's reading. Gives the ticks at its end.
    pub(crate) fn sample(&mut self, take: impl FnMut(&Sample)) -> Result<Option<Ticks>, ProbeError> {
        let Some(link) = &self.sample else { return Ok(None) };
        read(link.as_fd(), &mut self.readings, take).map_err(ProbeError::Sample)?;
        let [jiffies, time_ns] = self.ticks.get(&0, 0).map_err(ProbeError::Map)?;
        Ok(Some(Ticks { jiffies, time_ns }))
    }

    /// Begins a pass, of which nothing is read.
    pub(super) fn try_reading(&self) -> io::Result<()> {
        self.sample.as_ref().map_or(Ok(()), |link| system::open_iterator(link.as_fd()).map(drop))
    }

    /// Runs one pass; `take` is given who each live socket is.
    pub(crate) fn list(&mut self, take: impl FnMut(&Known)) -> Result<(), ProbeError> {
        let Some(link) = &self.list else { return Ok(()) };
        read(link.as_fd(), &mut self.readings, take).map_err(ProbeError::Sample)
    }

    /// What takes older sockets over; to be asked for once.
    pub(crate) fn adopter(&mut self) -> Adopter {
        Adopter { adopt: self.adopt.take(), adopt_files: self.adopt_files.take() }
    }
}

impl Adopter {
    /// Takes over the TCP sockets of the network namespace that the calling thread is in.
    pub(crate) fn of_this_netns(&self) -> io::Result<()> {
        run(self.adopt.as_ref())
    }

    /// Takes over the TCP sockets that processes hold, of all network namespaces, and takes their
    /// processes down.
    pub(crate) fn of_processes(&self) -> io::Result<()> {
        run(self.adopt_files.as_ref())
    }
}

fn run(link: Option<&OwnedFd>) -> io::Result<()> {
    let Some(link) = link else { return Ok(()) };
    let mut file = system::open_iterator(link.as_fd())?;
    while !goes_on(&mut file)? {}
    Ok(())
}

fn link(
    ebpf: &mut Ebpf,
    verdicts: &mut Verdicts,
    name: &'static str,
    map: Option<BorrowedFd<'_>>,
) -> Result<OwnedFd, ProbeError> {
    let program: &mut Iter =
        ebpf.program_mut(name).ok_or(ProbeError::NoMap(name))?.try_into().map_err(ProbeError::Program)?;
    verdicts.remove(name).unwrap_or(Ok(())).map_err(ProbeError::Program)?;
    let fd = program.fd().map_err(ProbeError::Program)?;
    system::link_iterator(fd.as_fd(), map).map_err(ProbeError::Sample)
}

/// Runs an iterator and takes what it puts into the ring, ring by ring.
fn read<T: FromBytes + Immutable + KnownLayout>(
    link: BorrowedFd<'_>,
    ring: &mut Reader,
    mut take: impl FnMut(&T),
) -> io::Result<()> {
    // A pass that failed may have left some.
    ring.take(usize::MAX, |_| ()).map_err(|(_, error)| error)?;
    let mut file = system::open_iterator(link)?;
    loop {
        let ended = goes_on(&mut file)?;
        let each = |bytes: &[u8]| {
            if let Ok(record) = T::ref_from_bytes(bytes) {
                take(record);
            }
        };
        ring.take(usize::MAX, each).map_err(|(_, error)| error)?;
        if ended {
            return Ok(());
        }
    }
}

/// Lets an iterator that writes no output go on; `true` at its end. It pauses where its program wants it to, and after
/// a million objects.
fn goes_on(file: &mut File) -> io::Result<bool> {
    match file.read(&mut [0]) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
        Err(error) => Err(error),
    }
}
