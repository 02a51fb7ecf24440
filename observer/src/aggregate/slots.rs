//! A bounded table whose entries keep a small number for as long as they are there.

use std::hash::Hash;

use foldhash::{HashMap, HashMapExt as _};

/// Entries by key and by number. A number is given again after its entry was removed.
#[derive(Debug)]
pub(super) struct Slots<K, V> {
    numbers: HashMap<K, u32>,
    entries: Vec<Option<(K, V)>>,
    free: Vec<u32>,
    capacity: usize,
}

impl<K: Clone + Eq + Hash, V> Slots<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { numbers: HashMap::new(), entries: Vec::new(), free: Vec::new(), capacity }
    }

    pub(super) fn find(&self, key: &K) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    /// Adds an entry whose key is not there yet; `None` where there is no room.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<u32> {
        if self.is_full() {
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

    pub(super) fn remove(&mut self, at: u32) {
        if let Some((key, _)) = self.entries.get_mut(at as usize).and_then(Option::take) {
            self.numbers.remove(&key);
            self.free.push(at);
        }
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        for at in 0..self.entries.len() as u32 {
            if self.get(at).is_some_and(|value| !keep(value)) {
                self.remove(at);
            }
        }
    }

    pub(super) fn get(&self, at: u32) -> Option<&V> {
        self.entries.get(at as usize)?.as_ref().map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut V> {
        self.entries.get_mut(at as usize)?.as_mut().map(|(_, value)| value)
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
        slots.remove(a);
        assert_eq!((slots.find(&"a"), slots.insert("c", 3)), (None, Some(a)));
        slots.retain(|value| *value > 2);
        assert_eq!((slots.len(), slots.get(a), slots.get(b)), (1, Some(&3), None));
    }
}
