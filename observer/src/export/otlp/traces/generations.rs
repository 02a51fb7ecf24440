//! A map that is bounded: what was neither put in nor looked for since it was full twice is forgotten.

use std::hash::Hash;
use std::mem;

use foldhash::HashMap;

/// Holds up to two times `most` entries.
#[derive(Debug)]
pub(super) struct Generations<K, V> {
    most: usize,
    new: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Copy + Eq + Hash, V> Generations<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, new: HashMap::default(), old: HashMap::default() }
    }

    /// Puts one in, and gives what is forgotten for it.
    pub(super) fn put(&mut self, key: K, value: V) -> Option<HashMap<K, V>> {
        self.old.remove(&key);
        let is_full = self.new.len() >= self.most && !self.new.contains_key(&key);
        let forgotten = is_full.then(|| mem::replace(&mut self.old, mem::take(&mut self.new)));
        self.new.insert(key, value);
        forgotten
    }

    /// Takes one out.
    pub(super) fn take(&mut self, key: &K) -> Option<V> {
        self.new.remove(key).or_else(|| self.old.remove(key))
    }

    /// One of them, which is not the next to be forgotten any more.
    pub(super) fn get(&mut self, key: K) -> Option<&mut V> {
        if let Some(value) = self.old.remove(&key) {
            self.put(key, value);
        }
        self.new.get_mut(&key)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.new.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_also_where_all_are_looked_for() {
        let mut map = Generations::new(4);
        for key in 0..100 {
            map.put(key, key);
            for known in 0..=key {
                map.get(known);
                assert!(map.len() <= 8, "{key}");
            }
        }
    }

    #[test]
    fn what_is_looked_for_stays_and_the_rest_is_bounded() {
        let mut map = Generations::new(4);
        for key in 0..100 {
            map.put(key, 10 * key);
            assert_eq!(map.get(0), Some(&mut 0), "{key}");
            assert!(map.len() <= 8);
        }
        assert_eq!(map.get(99).copied(), Some(990));
        assert_eq!(map.get(50), None);
        assert_eq!(map.take(&98), Some(980));
        assert_eq!(map.take(&98), None);
    }
}
