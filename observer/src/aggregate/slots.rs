//! A bounded table whose entries keep a small number for as long as they are there.

use std::hash::Hash;

use foldhash::{HashMap, HashMapExt as _};

use crate::room::Room;

/// What an entry takes beside its place: what it points to, and its share of the index.
const BESIDE: usize = 256;
/// So many places are kept, used or not.
const SPARED: usize = 1024;

/// Entries by key and by number. A number is given again after its entry was removed.
#[derive(Debug)]
pub(super) struct Slots<K, V> {
    numbers: HashMap<K, u32>,
    entries: Vec<Option<(K, V)>>,
    free: Vec<u32>,
    capacity: usize,
    room: Room,
}

impl<K: Clone + Eq + Hash, V> Slots<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            numbers: HashMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
            capacity,
            room: Room::default(),
        }
    }

    /// Has it grow no further than memory allows.
    pub(super) fn share(&mut self, room: &Room) {
        self.room = room.clone();
    }

    pub(super) fn find(&self, key: &K) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    /// Adds an entry whose key is not there yet; `None` where there is no room.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<u32> {
        // What was given up has left its memory behind.
        let grows = self.free.is_empty();
        if self.is_full() || (grows && !self.room.take(size_of::<Option<(K, V)>>() + BESIDE)) {
            return None;
        }
        let at = if let Some(at) = self.free.pop() {
            at
        } else {
            self.entries.push(None);
            (self.entries.len() - 1) as u32
        };
        *self.entries.get_mut(at as usize)? = Some((key.clone(), value));
        self.numbers.insert(key, at);
        Some(at)
    }

    pub(super) fn remove(&mut self, at: u32) -> Option<V> {
        let (key, value) = self.entries.get_mut(at as usize).and_then(Option::take)?;
        self.numbers.remove(&key);
        self.free.push(at);
        Some(value)
    }

    /// Removes those that are to go, and gives memory back where most places are free.
    pub(super) fn extract(&mut self, goes: impl Fn(&V) -> bool) -> Vec<V> {
        let all = 0..self.entries.len() as u32;
        let gone: Vec<u32> = all.filter(|at| self.get(*at).is_some_and(&goes)).collect();
        let gone = gone.into_iter().filter_map(|at| self.remove(at)).collect();
        if self.entries.len() > SPARED && self.len() < self.entries.len() / 4 {
            let used = self.entries.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
            self.entries.truncate(used);
            self.entries.shrink_to_fit();
            self.free.retain(|at| (*at as usize) < used);
            self.free.shrink_to_fit();
            self.numbers.shrink_to_fit();
        }
        gone
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.extract(|value| !keep(value));
    }

    pub(super) fn get(&self, at: u32) -> Option<&V> {
        self.entries.get(at as usize)?.as_ref().map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut V> {
        self.entries.get_mut(at as usize)?.as_mut().map(|(_, value)| value)
    }

    pub(super) fn of(&self, key: &K) -> Option<&V> {
        self.get(self.find(key)?)
    }

    pub(super) fn of_mut(&mut self, key: &K) -> Option<&mut V> {
        self.get_mut(self.find(key)?)
    }

    pub(super) fn entry_mut(&mut self, at: u32) -> Option<(&K, &mut V)> {
        self.entries.get_mut(at as usize)?.as_mut().map(|(key, value)| (&*key, value))
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().flatten().map(|(key, value)| (key, value))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries().map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().flatten().map(|(_, value)| value)
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    /// How many more there may be; half of the memory is for what is read of them until they are here.
    pub(super) fn left(&self) -> usize {
        let pieces = self.room.pieces(2 * (size_of::<Option<(K, V)>>() + BESIDE));
        self.free.len().saturating_add(pieces).min(self.capacity.saturating_sub(self.len()))
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_bounded_and_gives_numbers_again() {
        let mut slots = Slots::new(2);
        let (a, b) = (slots.insert("a", 1).unwrap(), slots.insert("b", 2).unwrap());
        assert_eq!((slots.insert("c", 3), slots.find(&"b")), (None, Some(b)));
        assert_eq!((slots.remove(a), slots.remove(a)), (Some(1), None));
        assert_eq!((slots.find(&"a"), slots.insert("c", 3)), (None, Some(a)));
        slots.retain(|value| *value > 2);
        assert_eq!((slots.len(), slots.get(a), slots.get(b)), (1, Some(&3), None));
    }

    #[test]
    fn grows_no_further_than_memory_allows() {
        let (mut slots, room) = (Slots::new(1_000_000), Room::default());
        slots.share(&room);
        room.set(100_000);
        let grown = (0_u64..1_000_000).take_while(|key| slots.insert(*key, [0_u64; 8]).is_some()).count();
        assert!((100_000 / 400..100_000 / 300).contains(&grown) && slots.left() == 0, "{grown}");
        // A place that was given up needs no new memory.
        assert!(slots.remove(7).is_some() && slots.left() == 1);
        assert_eq!((slots.insert(u64::MAX, [0; 8]), slots.insert(u64::MAX - 1, [0; 8])), (Some(7), None));
    }

    #[test]
    fn gives_memory_back_and_keeps_numbers() {
        let mut slots = Slots::new(100_000);
        for key in 0..50_000 {
            slots.insert(key, key);
        }
        assert_eq!(slots.extract(|value| *value >= 3_000).len(), 47_000);
        assert_eq!((slots.entries.len(), slots.entries.capacity() < 5_000), (3_000, true));
        assert!(slots.extract(|value| *value < 10).len() == 10 && slots.of(&2_999) == Some(&2_999));
        let numbers: Vec<_> = (0..11).filter_map(|key| slots.insert(90_000 + key, 1)).collect();
        assert!(numbers.iter().all(|at| *at < 10 || *at == 3_000) && slots.len() == 3_001, "{numbers:?}");
    }
}
