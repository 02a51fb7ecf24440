//! What a stream of changes has told, over all nodes.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use observer_proto::v1;
use prost::Message as _;

/// Summaries that one stream keeps to compare with, at most.
const MOST_COMPARED: usize = 100_000;

/// There are more than can be kept.
#[derive(Debug)]
pub(in crate::relay) struct TooMany;

/// What was told, by the key that it came with: no two streams of daemons have one in common.
#[derive(Debug, Default)]
pub(in crate::relay) struct Told {
    kept: HashMap<u64, One>,
    keys: u64,
    windows: u64,
    hashers: [RandomState; 2],
}

#[derive(Debug)]
struct One {
    key: u64,
    content: u128,
    window: u64,
}

impl Told {
    /// What of a window is to be told, and how it ends. Each summary has the key that it came with.
    pub(in crate::relay) fn next(
        &mut self,
        summaries: Vec<v1::Summary>,
        end: &mut v1::WindowEnd,
    ) -> Result<Vec<v1::Summary>, TooMany> {
        if summaries.len() > MOST_COMPARED {
            return Err(TooMany);
        }
        end.snapshot = self.windows == 0;
        self.windows += 1;
        end.total = summaries.len() as u64;
        let changed: Vec<_> = summaries.into_iter().filter_map(|summary| self.changed(summary)).collect();
        let newest = self.windows;
        let gone = self.kept.extract_if(|_, told| told.window < newest);
        end.ended = gone.map(|(_, told)| told.key).collect();
        end.ended.sort_unstable();
        end.summaries = changed.len() as u64;
        Ok(changed)
    }

    fn changed(&mut self, mut summary: v1::Summary) -> Option<v1::Summary> {
        // When the window was is no change.
        let (start, length) = (summary.window_start.take(), std::mem::take(&mut summary.window_ns));
        let of = std::mem::take(&mut summary.key);
        let bytes = summary.encode_to_vec();
        let [one, other] = self.hashers.each_ref().map(|hasher| u128::from(hasher.hash_one(&bytes)));
        let content = one << 64 | other;
        let window = self.windows;
        let told = self.kept.entry(of).or_insert_with(|| {
            self.keys += 1;
            One { key: self.keys, content: !content, window }
        });
        told.window = window;
        (summary.window_start, summary.window_ns, summary.key) = (start, length, told.key);
        (std::mem::replace(&mut told.content, content) != content).then_some(summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(node: &str, key: u64, lost: u64) -> v1::Summary {
        v1::Summary { node_name: node.to_owned(), key, lost_events: lost, ..v1::Summary::default() }
    }

    #[test]
    fn changes_alone_are_told_under_keys_of_their_own() {
        let mut told = Told::default();
        let mut next = |summaries: Vec<v1::Summary>| {
            let mut end = v1::WindowEnd::default();
            let told = told.next(summaries, &mut end).unwrap();
            let keys: Vec<_> =
                told.iter().map(|one| (one.node_name.clone(), one.key, one.lost_events)).collect();
            (keys, end.snapshot, end.ended, end.total)
        };
        let of = |node: &str, key, lost| (node.to_owned(), key, lost);
        assert_eq!(
            next(vec![summary("a", 1, 0), summary("b", 2, 0)]),
            (vec![of("a", 1, 0), of("b", 2, 0)], true, vec![], 2)
        );
        assert_eq!(
            next(vec![summary("a", 1, 0), summary("b", 2, 5)]),
            (vec![of("b", 2, 5)], false, vec![], 2)
        );
        assert_eq!(next(vec![summary("a", 1, 0)]), (vec![], false, vec![2], 1));
        assert_eq!(next(vec![summary("b", 2, 0)]), (vec![of("b", 3, 0)], false, vec![1], 1));
    }
}
