//! The window of a node's stream that is not complete yet.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use observer_proto::v1::watch_summaries_response::Payload;
use observer_proto::v1::{Summary, WindowEnd};

use super::super::super::super::windows::NodeWindow;

/// The window that is not complete yet, of one stream of the daemon's.
#[derive(Debug)]
pub(super) struct Open {
    /// Of a stream of changes: all summaries as they are now, by the daemon's key, each with a key that no other stream gives.
    all: Option<BTreeMap<u64, Summary>>,
    window: NodeWindow,
    begins: bool,
}

impl Open {
    /// Nothing was told yet.
    pub(super) fn new(changes: bool) -> Self {
        Self { all: changes.then(BTreeMap::new), window: NodeWindow::default(), begins: true }
    }

    /// Takes a summary in. Keys are given anew: a stream that is opened again begins with 1, and may mean another edge by it.
    pub(super) fn take(&mut self, summary: Summary, keys: &AtomicU64) {
        let Some(all) = &mut self.all else {
            self.window.summaries.push(summary);
            return;
        };
        let known = all.get(&summary.key).map(|known| known.key);
        let key = known.unwrap_or_else(|| keys.fetch_add(1, Ordering::Relaxed) + 1);
        all.insert(summary.key, Summary { key, ..summary });
    }

    /// Takes in what was lost, or what the recording lacks.
    pub(super) fn note(&mut self, note: Payload) {
        self.window.notes.push(note);
    }

    /// The window, now that it is complete, and whether it is the first one.
    pub(super) fn end(&mut self, end: WindowEnd) -> (NodeWindow, bool) {
        let mut window = std::mem::take(&mut self.window);
        if let Some(all) = &mut self.all {
            for key in &end.ended {
                all.remove(key);
            }
            // What did not change is of this window all the same.
            let of_this = |summary: &Summary| Summary {
                window_start: end.window_start,
                window_ns: end.window_ns,
                ..summary.clone()
            };
            window.summaries = all.values().map(of_this).collect();
        }
        window.end = end;
        (window, std::mem::take(&mut self.begins))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_begins_anew_means_others_by_the_same_keys() {
        let keys = AtomicU64::new(0);
        let told = |open: &mut Open, told: &[u64], ended: &[u64]| {
            for key in told {
                open.take(Summary { key: *key, ..Summary::default() }, &keys);
            }
            let (window, is_first) = open.end(WindowEnd { ended: ended.to_vec(), ..WindowEnd::default() });
            (window.summaries.iter().map(|summary| summary.key).collect::<Vec<_>>(), is_first)
        };
        let (mut one, mut other) = (Open::new(true), Open::new(true));
        assert_eq!(told(&mut one, &[1, 2], &[]), (vec![1, 2], true));
        assert_eq!(told(&mut other, &[1], &[]), (vec![3], true));
        assert_eq!(told(&mut one, &[2, 3], &[1]), (vec![2, 4], false));
        let mut again = Open::new(true);
        assert_eq!(told(&mut again, &[1], &[]), (vec![5], true));
        let mut whole = Open::new(false);
        assert_eq!(told(&mut whole, &[0, 0], &[]), (vec![0, 0], true));
        assert_eq!(told(&mut whole, &[], &[]), (vec![], false));
    }
}
