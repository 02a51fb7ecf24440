//! What the probes added up instead of telling it, taken out of their maps.

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, MapError};
use observer_ebpf::budget::{CountKey, Sockets, SocketsKey};

use super::ProbeError;

/// Gives aya the contract's types.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Abi<T>(pub(super) T);

// SAFETY: the contract's types are plain old data of any bits without padding, as `zerocopy` has verified.
#[allow(unsafe_code, reason = "aya wants the promise that `zerocopy` has checked")]
unsafe impl<T: zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable + Copy + 'static> aya::Pod
    for Abi<T>
{
}

/// One piece of what was added up.
pub(crate) enum Sum {
    /// What sockets did.
    Sockets(Box<(SocketsKey, Sockets)>),
    /// How many there were of something else.
    Count(CountKey, u64),
}

/// The maps. The probes add to the current generation; an old one is taken away once none of them adds to it any more.
pub(crate) struct Folds {
    sockets: HashMap<MapData, Abi<SocketsKey>, Abi<Sockets>>,
    counts: HashMap<MapData, Abi<CountKey>, u64>,
    generation: Array<MapData, u32>,
    current: u32,
}

impl Folds {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, ProbeError> {
        let mut map = |name| ebpf.take_map(name).ok_or(ProbeError::NoMap(name));
        Ok(Self {
            sockets: map("FOLDED_SOCKETS")?.try_into().map_err(ProbeError::Map)?,
            counts: map("FOLDED")?.try_into().map_err(ProbeError::Map)?,
            generation: map("GENERATION")?.try_into().map_err(ProbeError::Map)?,
            current: 0,
        })
    }

    /// Takes away what was added up in earlier generations, and begins a new one if there is something in the current
    /// one: to be called some times a second, so that a probe that has just read the number has long finished.
    pub(crate) fn read(&mut self, mut take: impl FnMut(Sum)) -> Result<(), ProbeError> {
        let current = self.current;
        self.read_if(|generation| generation != current, &mut take).map_err(ProbeError::ReadFolds)
    }

    /// The same of all generations, for the daemon's end.
    pub(crate) fn read_all(&mut self, mut take: impl FnMut(Sum)) -> Result<(), ProbeError> {
        self.read_if(|_| true, &mut take).map_err(ProbeError::ReadFolds)
    }

    fn read_if(&mut self, is_due: impl Fn(u32) -> bool, take: &mut dyn FnMut(Sum)) -> Result<(), MapError> {
        let current = self.current;
        let mut in_use = false;
        let mut is_due = |generation| {
            in_use |= generation == current;
            is_due(generation)
        };
        for (key, value) in take_away(&mut self.sockets, |key| is_due(key.0.generation))? {
            take(Sum::Sockets(Box::new((key.0, value.0))));
        }
        for (key, value) in take_away(&mut self.counts, |key| is_due(key.0.generation))? {
            take(Sum::Count(key.0, value));
        }
        if in_use {
            let next = current.wrapping_add(1);
            self.generation.set(0, next, 0)?;
            self.current = next;
        }
        Ok(())
    }
}

/// Takes the entries out whose key is due.
fn take_away<K: aya::Pod, V: aya::Pod>(
    map: &mut HashMap<MapData, K, V>,
    mut is_due: impl FnMut(&K) -> bool,
) -> Result<Vec<(K, V)>, MapError> {
    let mut due = Vec::new();
    for key in map.keys() {
        let key = key?;
        if is_due(&key) {
            due.push(key);
        }
    }
    let mut taken = Vec::with_capacity(due.len());
    for key in due {
        match map.get(&key, 0) {
            Ok(value) => {
                map.remove(&key)?;
                taken.push((key, value));
            }
            // Keys that are added meanwhile may have the kernel begin anew, and tell of one twice.
            Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}
