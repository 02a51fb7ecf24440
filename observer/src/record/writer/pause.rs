//! Nothing is recorded for a while: why, what is missing since, and going on.

use observer_proto::v1::{Gap, GapReason};

use super::{Unwritten, Writer};
use crate::event::{BootTime, Now, WallTime};
use crate::record::shared::Standing;
use crate::record::store::OpenError;

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
}

impl Writer {
    pub(super) fn pause(&mut self, error: &Unwritten, now: Now) {
        let reason = error.to_string();
        self.shared.failed();
        let for_good = matches!(error, Unwritten::Open(OpenError::Refused { .. }));
        let told = reason.clone();
        self.shared.stand(if for_good { Standing::Refused(told) } else { Standing::Paused(told) });
        let (tried, since, after) = (now.boot, self.newest, self.batch.last_sequence);
        let Some(before) = self.pause.take() else {
            let again = if for_good { "" } else { "; it is tried again each 5 s, and all else goes on" };
            log::error!("recording is paused: {reason}{again}");
            self.pause = Some(Pause { reason, since, after, missed: 0, tried, for_good });
            return;
        };
        if before.reason != reason {
            log::error!("recording stays paused: {reason}");
        }
        self.pause = Some(Pause { reason, tried, for_good, ..before });
    }

    /// Tries to go on.
    pub(super) fn go_on(&mut self, now: Now) {
        let tried = self.open(now).and_then(|()| self.write(now));
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
}
