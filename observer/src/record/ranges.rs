//! The windows of a part of what is recorded.

use std::sync::Arc;

use observer_proto::v1;
use prost::Message as _;

use super::block::items;
use super::store::{Raw, Store, StoreError};
use super::{Block, Kind};
use crate::event::{WallTime, Window};
use crate::wire::back;

/// Takes each window that begins within a time, oldest first. Both of their clocks are the wall clock.
pub(crate) fn for_each_window(
    store: &Store,
    [since, until]: [WallTime; 2],
    take: &mut dyn FnMut(&Window),
) -> Result<(), StoreError> {
    store.export([since, until], |raw| {
        if let Raw::Block(block) = raw
            && block.kind == Kind::Windows
        {
            for window in of_block(&block)? {
                let start = WallTime(window.start.0);
                if start >= since && start < until {
                    take(&window);
                }
            }
        }
        Ok(())
    })
}

/// All of them.
pub(crate) fn windows(store: &Store, range: [WallTime; 2]) -> Result<Vec<Arc<Window>>, StoreError> {
    let mut windows = Vec::new();
    for_each_window(store, range, &mut |window| windows.push(Arc::new(window.clone())))?;
    Ok(windows)
}

/// The windows of a block.
pub(crate) fn of_block(block: &Block) -> Result<Vec<Window>, StoreError> {
    let raw = block.raw()?;
    let told = items(&raw).filter_map(|(_, item)| v1::RecordedWindow::decode(item).ok());
    Ok(told.map(|told| back::window(&told)).collect())
}
