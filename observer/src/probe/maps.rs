//! The probes' maps and what they take of the kernel's memory, for the status.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use aya::Ebpf;
use aya::maps::{Map, MapData};

use super::system;
use crate::status::KernelMap;

/// Beside its data a ring has a page of the kernel's own and one for each position.
const RING_PAGES: u64 = 3;

/// The maps, each by a descriptor of its own: the others are taken apart by those who use them.
pub(crate) struct KernelMaps {
    maps: Vec<Known>,
}

struct Known {
    name: String,
    kind: Kind,
    key_size: usize,
    capacity: u64,
    fd: OwnedFd,
}

/// What can be told of a map depends on what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Always full.
    Array(&'static str),
    /// Counted by its keys.
    Hash(&'static str),
    Ring,
    /// Kept beside each socket.
    SocketStorage,
}

impl KernelMaps {
    /// Takes all maps down, before any of them is taken out. One of a kind that the probes do not have is left out.
    pub(super) fn of(ebpf: &Ebpf) -> Self {
        let known = ebpf.maps().filter_map(|(name, map)| {
            let (kind, data) = kind(map)?;
            let info = data.info().ok()?;
            Some(Known {
                name: name.to_owned(),
                kind,
                key_size: info.key_size() as usize,
                capacity: u64::from(info.max_entries()),
                fd: data.fd().as_fd().try_clone_to_owned().ok()?,
            })
        });
        let mut maps: Vec<_> = known.collect();
        maps.sort_by(|a, b| a.name.cmp(&b.name));
        Self { maps }
    }

    /// How full they are now.
    pub(super) fn read(&self) -> Vec<KernelMap> {
        self.maps.iter().map(Known::read).collect()
    }
}

impl Known {
    fn read(&self) -> KernelMap {
        let memory = memory(self.fd.as_raw_fd());
        let (kind, entries, capacity, bytes) = match self.kind {
            Kind::Array(kind) => (kind, None, self.capacity, memory),
            Kind::Hash(kind) => {
                let entries = system::count_keys(self.fd.as_fd(), self.key_size, self.capacity).ok();
                (kind, entries, self.capacity, memory)
            }
            // Kernels before 6.4 say 0 of a ring.
            Kind::Ring => {
                let pages = RING_PAGES * rustix::param::page_size() as u64;
                ("ringbuf", None, self.capacity, memory.max(self.capacity + pages))
            }
            Kind::SocketStorage => ("sk_storage", None, 0, memory),
        };
        KernelMap { name: self.name.clone(), kind, entries, capacity, bytes }
    }
}

/// The kernel's memory behind a descriptor of a map or a program; 0 where it cannot be read.
pub(super) fn memory(fd: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
    let field = text.lines().find_map(|line| line.strip_prefix("memlock:"));
    field.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0)
}

#[allow(clippy::wildcard_enum_match_arm, reason = "aya knows 30 kinds, of which the probes have a few")]
fn kind(map: &Map) -> Option<(Kind, &MapData)> {
    Some(match map {
        Map::Array(map) => (Kind::Array("array"), map),
        Map::PerCpuArray(map) => (Kind::Array("percpu_array"), map),
        Map::HashMap(map) => (Kind::Hash("hash"), map),
        Map::LruHashMap(map) => (Kind::Hash("lru_hash"), map),
        Map::PerCpuHashMap(map) => (Kind::Hash("percpu_hash"), map),
        Map::PerCpuLruHashMap(map) => (Kind::Hash("lru_percpu_hash"), map),
        Map::RingBuf(map) => (Kind::Ring, map),
        Map::SkStorage(map) => (Kind::SocketStorage, map),
        _ => return None,
    })
}
