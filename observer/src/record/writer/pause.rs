//! Nothing is recorded for a while: why, what is missing since, and going on.

use std::io::ErrorKind;

use observer_proto::v1::{Gap, GapReason};

use super::{SPARED_BYTES, Unwritten, Writer};
use crate::event::{BootTime, Now, WallTime};
use crate::record::shared::Standing;
use crate::record::store::{OpenError, Store};

/// Why nothing is recorded, and what is missing since.
pub(super) struct Pause {
    pub(super) reason: String,
    pub(super) since: WallTime,
    /// The number of the last event that was recorded, or will be.
    pub(super) after: u64,
    pub(super) missed: u64,
    pub(super) tried: BootTime,
    /// It does not help to try again.
    pub(super) for_good: bool,
    /// The store is to be opened anew before anything can be written.
    pub(super) broken: bool,
}

/// Whether nothing can be written because the folder is a pod's own root file system.
fn lacks_folder(error: &Unwritten) -> bool {
    matches!(error, Unwritten::Open(OpenError::Io { error, .. }) if error.kind() == ErrorKind::ReadOnlyFilesystem)
}

impl Writer {
    pub(super) fn pause(&mut self, error: &Unwritten, now: Now) {
        let reason = error.to_string();
        self.shared.failed();
        let for_good = matches!(error, Unwritten::Open(OpenError::Refused { .. }));
        let told = reason.clone();
        self.shared.stand(if for_good { Standing::Refused(told) } else { Standing::Paused(told) });
        let broken = !matches!(error, Unwritten::Full { .. });
        let (tried, since, after) = (now.boot, self.newest, self.batch.last_sequence);
        let Some(before) = self.pause.take() else {
            let again = if for_good { "" } else { "; it is tried again each 5 s, and all else goes on" };
            let help = if lacks_folder(error) { " (in a pod, mount a folder of the node there)" } else { "" };
            log::error!("recording is paused: {reason}{help}{again}");
            self.pause = Some(Pause { reason, since, after, missed: 0, tried, for_good, broken });
            return;
        };
        if before.reason != reason {
            log::error!("recording stays paused: {reason}");
        }
        let broken = broken || before.broken;
        self.pause = Some(Pause { reason, tried, for_good, broken, ..before });
    }

    /// Tries to go on.
    pub(super) fn go_on(&mut self, now: Now) {
        let tried = self.open(now).and_then(|()| {
            if let Some(pause) = &mut self.pause {
                pause.broken = false;
            }
            self.write(now)
        });
        if let Err(error) = tried {
            self.pause(&error, now);
            return;
        }
        let Some(Pause { reason, since, after, missed, .. }) = self.pause.take() else { return };
        log::warn!("recording goes on; {missed} events are missing in it");
        if missed > 0 {
            let gap = self.gap(GapReason::Paused, since, now.wall);
            self.batch.gaps.push((after, Gap { count: Some(missed), message: reason, ..gap }));
            self.news(now);
        }
        self.shared.stand(Standing::Recording);
    }

    /// There is enough of the disk left.
    pub(super) fn room_for(&self, store: &Store) -> Result<(), Unwritten> {
        let Some(path) = store.path() else { return Ok(()) };
        let needed: u64 = self.batch.blocks.iter().map(|block| block.data.len() as u64).sum();
        let left = self.shared.settings.disk.left(path);
        match left {
            Some(left) if left < SPARED_BYTES + 2 * needed => {
                Err(Unwritten::Full { path: path.into(), left })
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn open(&mut self, now: Now) -> Result<(), Unwritten> {
        let store = match self.shared.store() {
            Some(store) => {
                self.room_for(&store)?;
                if self.pause.as_ref().is_some_and(|pause| pause.broken) {
                    store.reopen()?;
                }
                store
            }
            None => Store::open(&self.shared.settings.folder, self.limits, now.wall)?,
        };
        self.run = store.begin(self.shared.settings.start)?;
        self.shared.opened(store);
        Ok(())
    }
}
