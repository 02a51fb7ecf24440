//! What the probes added up instead of telling it, taken out of their maps.

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, MapError};
use observer_ebpf::budget::{
    BUDGETS_MAX, Budget, COUNTS_MAX, CountKey, EXECS_MAX, SOCKETS_MAX, Sockets, SocketsKey,
};

use super::ProbeError;
use crate::status::Table;

/// Gives aya the contract's types.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Abi<T>(T);

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
    budgets: Array<MapData, Abi<Budget>>,
    execs: HashMap<MapData, u32, u8>,
    generation: Array<MapData, u32>,
    current: u32,
}

impl Folds {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, ProbeError> {
        let mut map = |name| ebpf.take_map(name).ok_or(ProbeError::NoMap(name));
        Ok(Self {
            sockets: map("FOLDED_SOCKETS")?.try_into().map_err(ProbeError::Map)?,
            counts: map("FOLDED")?.try_into().map_err(ProbeError::Map)?,
            budgets: map("BUDGETS")?.try_into().map_err(ProbeError::Map)?,
            execs: map("FOLDED_EXECS")?.try_into().map_err(ProbeError::Map)?,
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

    /// Cgroups that have used some of their budget in the period that has begun last.
    fn budgets_in_use(&self) -> u64 {
        let periods: Vec<u32> =
            self.budgets.iter().filter_map(|budget| Some(budget.ok()?.0.period)).collect();
        let newest = periods.iter().max().copied().unwrap_or(0);
        periods.iter().filter(|period| newest > 0 && **period == newest).count() as u64
    }

    /// The maps and how full they are.
    pub(crate) fn tables(&self) -> Vec<Table> {
        let table = |name, entries, capacity| Table { name, entries, capacity: u64::from(capacity) };
        vec![
            table("event_budgets", self.budgets_in_use(), BUDGETS_MAX),
            table("folded_edges", count(&self.sockets, SOCKETS_MAX), SOCKETS_MAX),
            table("folded_counts", count(&self.counts, COUNTS_MAX), COUNTS_MAX),
            table("folded_execs", count(&self.execs, EXECS_MAX), EXECS_MAX),
        ]
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

/// How many entries there are; where entries come and go meanwhile, no more than there can be.
fn count<K: aya::Pod, V: aya::Pod>(map: &HashMap<MapData, K, V>, most: u32) -> u64 {
    map.keys().take(most as usize).count() as u64
}
