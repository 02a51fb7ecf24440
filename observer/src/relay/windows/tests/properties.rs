//! Whatever comes, and in whatever order: each window is told once, and only with those of its time.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Site, Starts as _, starts};

proptest! {
    #[test]
    fn each_window_is_told_once_and_only_with_those_of_its_time(
        nodes in vec((0..100_i128, vec((0..6_i128, 0..60_i128), 0..20)), 1..5),
        now in prop_oneof![Just(100_000_i128), 0..2_000_i128],
        past: bool,
        order in vec(0..5_usize, 0..100),
    ) {
        let mut site = Site::with(past, nodes.len(), now);
        let mut left: Vec<_> = nodes.iter().map(|(phase, steps)| {
            let starts = steps.iter().scan(*phase, |start, (missing, _)| {
                *start += 100 * (1 + missing);
                Some(*start)
            });
            starts.zip(steps.iter().map(|(_, waits)| *waits)).collect::<VecDeque<_>>()
        }).collect();
        let mut expected: Vec<_> = left.iter().flatten().map(|(start, _)| *start).collect();
        expected.sort_unstable();
        let mut told = Vec::new();
        let rounds = order.into_iter().chain((0..5).cycle().take(200));
        for node in rounds.map(|node| node % nodes.len()) {
            let Some((start, waits)) = left[node].pop_front() else { continue };
            site.now = site.now.max(start + 100) + waits;
            site.add(node, start);
            site.fall_behind();
            told.extend(site.all());
        }
        told.extend(std::iter::from_fn(|| site.windows.rest()).map(starts));
        for (starts, _) in &told {
            let (first, last) = (starts.iter().min().unwrap(), starts.iter().max().unwrap());
            prop_assert!(last - first <= 110, "{:?}", starts);
        }
        prop_assert_eq!(told.concat_starts(), expected);
    }

    #[test]
    fn whatever_clocks_say_each_window_is_told_once(
        told in vec((0..3_usize, -1_000..200_000_i128, 0..200_i128, 0..100_i128), 0..60),
        past: bool,
    ) {
        let mut site = Site::with(past, 3, 1_000);
        let mut expected: Vec<_> = told.iter().map(|(_, start, ..)| *start).collect();
        expected.sort_unstable();
        let mut all = Vec::new();
        for (node, start, length, waits) in told {
            site.passes(waits);
            site.adds_of(node, start, length);
            site.fall_behind();
            all.extend(site.all());
        }
        all.extend(std::iter::from_fn(|| site.windows.rest()).map(starts));
        prop_assert_eq!(all.concat_starts(), expected);
        prop_assert!(site.windows.held.is_empty() && site.windows.late.is_empty());
    }
}
