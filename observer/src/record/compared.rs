//! Compares parts of what is recorded.

use observer_proto::v1;

use super::ranges::for_each_window;
use super::{Store, StoreError};
use crate::compare::{First, Side};
use crate::event::{WallTime, Window};
use crate::filter::Filters;
use crate::wire;

/// Compares two parts, each of a store and with the name of its node. Gives nothing once it is not wanted any more.
pub(crate) fn compare(
    stores: &[(Store, String); 2],
    ranges: [[WallTime; 2]; 2],
    filters: &Filters,
    wanted: &dyn Fn() -> bool,
) -> Result<v1::CompareWindowsResponse, StoreError> {
    let each = |take: &mut dyn FnMut(Side, &Window)| -> Result<[[WallTime; 2]; 2], StoreError> {
        let mut ends = [[WallTime(0); 2]; 2];
        for side in [Side::A, Side::B] {
            let ((store, _), range) = (&stores[side as usize], ranges[side as usize]);
            let ends = &mut ends[side as usize];
            for_each_window(store, range, |window| {
                let [start, end] = [window.start, window.end()].map(|time| WallTime(time.0));
                *ends = if ends[1].0 == 0 { [start, end] } else { [ends[0].min(start), ends[1].max(end)] };
                take(side, &window);
                wanted()
            })?;
        }
        Ok(ends)
    };
    let mut first = First::default();
    each(&mut |side, window| first.add(side, window, filters))?;
    let mut second = first.again();
    let ends = each(&mut |side, window| second.add(side, window, filters))?;
    let found = second.judge(wanted);
    let told = |side: usize| Some(wire::compared_side(&found.extents[side], &stores[side].1, ends[side]));
    Ok(v1::CompareWindowsResponse {
        a: told(0),
        b: told(1),
        comparisons: found.rows.iter().map(wire::comparison).collect(),
        total: found.rows.len() as u64,
        left_out: found.left_out,
    })
}
